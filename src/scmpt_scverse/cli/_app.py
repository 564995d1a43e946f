"""The commands. What is heavy to import is imported inside them, so that `--help` answers at once."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scmpt_scverse._checks import list_some
from scmpt_scverse._folders import check_new_folder
from scmpt_scverse._h5ad import is_zarr_store, read_cells
from scmpt_scverse.cli._align import align
from scmpt_scverse.cli._annotate import annotate, search
from scmpt_scverse.cli._describe import describe
from scmpt_scverse.cli._encoder_commands import cache, embed, pretrain, probe
from scmpt_scverse.cli._fetch import fetch
from scmpt_scverse.cli._files import (
    check_checkpoints,
    check_model_dir,
    check_output,
    save_or_rescue,
    save_or_rescue_each,
)
from scmpt_scverse.cli._genes_file import read_genes
from scmpt_scverse.cli._group import Group, is_interactive, quiet_libraries
from scmpt_scverse.cli._joined import FILE_KEY, joined_cells
from scmpt_scverse.cli._models import read_model
from scmpt_scverse.cli._options import (
    Force,
    Genes,
    GeneSymbols,
    InFile,
    Layer,
    MaxEpochs,
    ModelDir,
    Organism,
    OrthologsFile,
    QueryGeneSymbols,
    QueryLayer,
    QueryOrganism,
    Seed,
    checked_choice,
    choose_encoders,
    parse_obsm_keys,
)
from scmpt_scverse.cli._refine import refine
from scmpt_scverse.cli._report import report
from scmpt_scverse.cli._species import chosen_organism, where_read
from scmpt_scverse.cli._tables import table_of

app = typer.Typer(
    cls=Group, no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False
)


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Annotate single cells, with a labelled reference or from the names of cell types.

    Start with `scmpt demo`: it annotates real cells in one or two minutes, without your data or a network.

    Exit codes: 0, it worked; 1, it failed, and stderr says why; 2, the command was not understood.
    """


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the page, the model and the cells.")] = Path(
        "scmpt_demo"
    ),
    splits: Annotated[int, typer.Option(min=2, help="Number of splits of the cells; the table shows the mean.")] = 5,
    seed: Seed = 0,
    max_epochs: MaxEpochs = None,
) -> None:
    """Annotate 700 real blood cells, each with a model that has not seen it, and compare with simpler predictors.

    Example: `scmpt demo --out my_demo`
    """
    check_new_folder(out)
    from scmpt_scverse.cli._demo import run_demo

    run_demo(out, seed=seed, n_splits=splits, max_epochs=max_epochs, console=Console())


for _command in (embed, pretrain, probe, cache, refine):
    app.command()(_command)
app.add_typer(fetch, name="fetch")


@app.command()
def train(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="IN.h5ad...", help="Labelled cells, in any number of files.", show_default=False),
    ],
    model_dir: ModelDir,
    labels_key: Annotated[str, typer.Option(help="Column of .obs with cell types.", show_default=False)],
    unlabeled_category: Annotated[
        list[str] | None, typer.Option(help="A label that means `not known`; repeatable.", show_default="Unknown")
    ] = None,
    organism: Organism = "human",
    orthologs: OrthologsFile = None,
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    batch_key: Annotated[str | None, typer.Option(help="Column of .obs with batches.")] = None,
    preset: Annotated[str | None, typer.Option(help="mini (no download), large or paper.", show_default="mini")] = None,
    fusion: Annotated[
        str | None, typer.Option(help="How modalities are fused: stacked, concat, ...", show_default="the preset's")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Text encoder, or `none`.", show_default="the preset's")] = None,
    knowledge: Annotated[
        str | None,
        typer.Option(
            help="Scores for known cell types: `knowledge`, your own text model, or `none`.",
            show_default="the preset's",
        ),
    ] = None,
    expression: Annotated[
        str | None, typer.Option(help="Expression encoder, or `none`.", show_default="the preset's")
    ] = None,
    counts: Annotated[bool, typer.Option(help="Fuse expression itself, if the preset does.")] = True,
    obsm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=KEY", help="A modality that is already in .obsm, instead of its encoder; repeatable."
        ),
    ] = None,
    genes: Genes = None,
    max_epochs: MaxEpochs = None,
    seed: Seed = 0,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.")] = "auto",
    max_cells_per_label: Annotated[
        int | None, typer.Option(min=1, help="Use at most this many cells of each label.", show_default="all")
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep moments of the cells there: if killed, the same command goes on."),
    ] = None,
    force: Force = False,
) -> None:
    """Train a model on labelled cells and save it.

    Cells without a label are left out. Embeddings in the file are used, missing ones are computed. Several files are
    joined on disk, over the genes that all of them have, and are the batches unless --batch-key names others.

    Examples: `scmpt train cells.h5ad my_model --labels-key cell_type`, `scmpt train blood.h5ad marrow.h5ad my_model
    --labels-key cell_type`, `scmpt train cells.h5ad my_model --labels-key cell_type --genes panel.h5ad`
    """
    obsm_keys = parse_obsm_keys(obsm or [])
    from scmpt_scverse.modalities import DEFAULT_PRESET, PRESETS
    from scmpt_scverse.module import FUSIONS

    checked_choice(preset, list(PRESETS), "--preset")
    checked_choice(fusion, FUSIONS.names(), "--fusion")
    preset = DEFAULT_PRESET if preset is None else preset
    named = {"text": text, "knowledge": knowledge, "expression": expression}
    encoders = choose_encoders(preset, named, counts=counts, obsm_keys=obsm_keys)
    check_model_dir(model_dir, force=force)
    if checkpoints is not None:
        head = fusion or PRESETS[preset].fusion
        if not getattr(FUSIONS.load(head), "can_resume", False):
            raise typer.BadParameter(f"Only of a stacked head; found {head!r}.", param_hint="--checkpoints")
        check_checkpoints(checkpoints, model_dir)
    species = chosen_organism(organism, orthologs)
    panel = None if genes is None else read_genes(genes, gene_symbols)
    import scvi

    from scmpt_scverse import SCMPT

    quiet_libraries()
    scvi.settings.seed = seed
    unlabeled = unlabeled_category or "Unknown"
    with joined_cells(sources, labels_key, unlabeled, gene_symbols) as adata:
        SCMPT.setup_anndata(
            adata,
            labels_key,
            unlabeled_category=unlabeled,
            layer=layer,
            gene_symbols=gene_symbols,
            organism=species or "human",
            batch_key=FILE_KEY if batch_key is None and len(sources) > 1 else batch_key,
            obsm_keys=obsm_keys or None,
        )
        model = SCMPT(adata, encoders=encoders, fusion=fusion, preset=preset, genes=panel)
        where_read(adata, model.registry, None, None, None)
        model.embed(progress=is_interactive())
        model.train(
            max_epochs=max_epochs,
            max_cells_per_label=max_cells_per_label,
            accelerator=accelerator,
            checkpoints=checkpoints,
            enable_progress_bar=is_interactive(),
        )
        save_or_rescue(lambda folder: model.save(str(folder), overwrite=force), model_dir)
    typer.echo(f"Learned {len(model.labels)} labels from {sum(model.record.label_counts.values())} cells: {model_dir}")
    typer.echo(f"Next: scmpt annotate {model_dir} QUERY.h5ad OUT.h5ad")


app.command()(annotate)
app.command()(align)
app.command()(search)
app.command()(describe)
app.command()(report)


@app.command()
def evaluate(
    model_dir: ModelDir,
    source: InFile,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the whole table to this file.")] = None,
    cross_validate: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Train new heads on N splits of these cells, and score them."),
    ] = None,
    group_key: Annotated[
        str | None, typer.Option(help="Column of .obs with donors or studies, never on both sides of a split.")
    ] = None,
    organism: QueryOrganism = None,
    orthologs: OrthologsFile = None,
    layer: QueryLayer = None,
    gene_symbols: QueryGeneSymbols = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the macro F1 of the splits, with intervals.")
    ] = None,
    force: Force = False,
) -> None:
    """Compare predictions with labels on cells that were not trained on, next to simpler predictors.

    Labels are read from the column that the model learned from.

    Examples: `scmpt evaluate my_model labelled.h5ad --csv scores.csv`, `scmpt evaluate my_model labelled.h5ad
    --cross-validate 5 --group-key donor --figure scores.png`
    """
    if cross_validate is None and (group_key is not None or figure is not None):
        raise typer.BadParameter("It needs --cross-validate.", param_hint="--group-key, --figure")
    for output, suffix in ((csv, ".csv"), (figure, ".png")):
        if output is not None:
            check_output(output, source=source, force=force, suffix=suffix)
    species = chosen_organism(organism, orthologs)
    adata = read_cells(source)
    model = read_model(model_dir)
    where = where_read(adata, model.registry, layer, gene_symbols, species)
    model.embed(adata, progress=is_interactive(), **where)
    results: dict[Path, Callable[[Path], object]] = {}
    if cross_validate is None:
        scores = model.evaluate(adata, **where)
    else:
        from scmpt_scverse.cli._cross_validate import cross_validated, draw_metrics, mean_metrics

        summary = cross_validated(model, adata, cross_validate, group_key, **where)
        scores = mean_metrics(summary)
        if figure is not None:
            results[figure] = partial(draw_metrics, summary)
    shown = [name for name in ("accuracy", "macro_f1", "lower", "upper", "ece", "n_cells") if name in scores]
    Console().print(table_of(scores[shown], str(source), index="predictor"))
    if csv is not None:
        results = {csv: lambda path: scores.to_csv(path, index_label="predictor"), **results}
    save_or_rescue_each(results)


@app.command()
def info(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL|FILE.h5ad", help="What to describe.", show_default="this machine"),
    ] = None,
) -> None:
    """Describe this machine and the encoders, a saved model, or the cells in a file.

    Examples: `scmpt info`, `scmpt info my_model`, `scmpt info scmmgpt-mini`, `scmpt info cells.h5ad`
    """
    from scmpt_scverse.cli._info import describe_cells, describe_machine, describe_model

    console = Console()
    if path is None:
        describe_machine(console)
    elif path.exists() and (not path.is_dir() or is_zarr_store(path)):
        describe_cells(path, console)
    else:
        from scmpt_scverse._hub import repository_of
        from scmpt_scverse.model import pretrained_names

        if not path.exists() and repository_of(path) is None and str(path) not in pretrained_names():
            raise FileNotFoundError(
                f"Expected a model or an .h5ad file at {path}; found none. Check the path, or pass the name of a model "
                f"that comes with this package ({list_some(pretrained_names())})."
            )
        describe_model(path, console)
