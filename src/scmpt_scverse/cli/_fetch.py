"""The commands that fetch cells. What is heavy to import is imported inside them."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from scmpt_scverse.cli._files import check_output
from scmpt_scverse.cli._genes_file import read_genes
from scmpt_scverse.cli._group import is_interactive
from scmpt_scverse.cli._options import Force, Genes
from scmpt_scverse.cli._tables import table_of

#: Labels that are printed.
_N_SHOWN = 40

fetch = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Fetch labelled cells to train on.")


@fetch.command()
def census(
    output: Annotated[
        Path | None, typer.Argument(metavar="OUT.h5ad", help="File to write.", show_default="none, with --dry-run")
    ] = None,
    obs_filter: Annotated[
        str | None,
        typer.Option("--filter", help="Which cells, as in the example.", show_default="all cells"),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="Date of a Census release, or path or URI of any SOMA experiment.", show_default="2025-11-08"
        ),
    ] = None,
    organism: Annotated[str, typer.Option(help="Species, in a release: human, mouse, ...")] = "human",
    labels_key: Annotated[str, typer.Option(help="Column of the cells with labels.")] = "cell_type",
    max_cells_per_label: Annotated[
        int | None, typer.Option(min=1, help="Fetch at most this many cells of each label.", show_default="all")
    ] = None,
    batch_key: Annotated[
        str,
        typer.Option(help="Column of donors or studies, from which these are taken in turn; `none` draws from all."),
    ] = "donor_id",
    copies: Annotated[bool, typer.Option("--copies", help="Also copies of cells that are in several studies.")] = False,
    genes: Genes = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same cells.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the cells of each label.")] = False,
    force: Force = False,
) -> None:
    """Copy the counts of cells of the CELLxGENE Census, with their labels, to a file; needs the extra `census`.

    Example: `scmpt fetch census blood.h5ad --filter "tissue_general == 'blood' and disease == 'normal'"
    --max-cells-per-label 2000`, then `scmpt train blood.h5ad my_model --labels-key cell_type --batch-key donor_id`
    """
    if output is None and not dry_run:
        raise typer.BadParameter("Name a file to write, or pass --dry-run.", param_hint="OUT.h5ad")
    if output is not None:
        check_output(output, source=None, force=force)
    chosen = None if genes is None else read_genes(genes, None)
    from scmpt_scverse.datasets import census_labels, fetch_census

    options: dict[str, Any] = {
        "organism": organism,
        "labels_key": labels_key,
        "max_cells_per_label": max_cells_per_label,
        "batch_key": None if batch_key == "none" else batch_key,
        "primary_only": not copies,
        "seed": seed,
        **({} if source is None else {"source": source}),
    }
    if dry_run or output is None:
        labels = census_labels(obs_filter, **options)
    else:
        labels = fetch_census(output, obs_filter, **options, genes=chosen, progress=is_interactive())
    title = obs_filter or "all cells"
    if len(labels) > _N_SHOWN:
        title = f"{title} (the {_N_SHOWN} most frequent of {len(labels)} labels)"
    Console().print(table_of(labels[:_N_SHOWN], title, index="label"))
    n_cells = int(labels["n_cells"].sum())
    if dry_run or output is None:
        typer.echo(f"Would fetch {n_cells} cells of {(labels['n_cells'] > 0).sum()} labels.")
        return
    typer.echo(f"Fetched {n_cells} cells of {(labels['n_cells'] > 0).sum()} labels: {output}")
    typer.echo(f"Next: scmpt train {output} MODEL_DIR --labels-key {labels_key}")
