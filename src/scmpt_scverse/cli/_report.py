"""The command that writes the page about annotated cells. What is heavy to import is imported inside it."""

from pathlib import Path
from typing import Annotated

import typer

from scmpt_scverse._h5ad import read_cells
from scmpt_scverse.cli._files import check_output
from scmpt_scverse.cli._options import Force, GeneSymbols, InFile, Layer, OrthologsFile
from scmpt_scverse.cli._species import chosen_organism


def report(
    source: InFile,
    output: Annotated[Path, typer.Argument(metavar="OUT.html", help="Page to write.", show_default=False)],
    key: Annotated[
        str | None,
        typer.Option(help="Prefix of the columns of a model.", show_default="scmpt, else scmmgpt"),
    ] = None,
    group_key: Annotated[
        str | None, typer.Option(help="Column of .obs with groups, such as clusters.", show_default="the predictions")
    ] = None,
    basis: Annotated[
        str | None, typer.Option(help="Embedding to draw, a key of .obsm such as umap.", show_default="UMAP or PCA")
    ] = None,
    genes: Annotated[
        list[str] | None,
        typer.Option(
            help="A gene to colour cells by; repeatable.", show_default="those of the labels, and variable ones"
        ),
    ] = None,
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    organism: Annotated[
        str | None,
        typer.Option(help="Species of the cells, to name genes by human orthologs.", show_default="names as they are"),
    ] = None,
    orthologs: OrthologsFile = None,
    max_points: Annotated[int, typer.Option(min=1, help="Maximum number of cells to draw.")] = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed for the choice of drawn cells.")] = 0,
    force: Force = False,
) -> None:
    """Write one web page about annotated cells: an interactive plot, a card per label, and how it was made.

    The page is self-contained, so it can be sent to others. Expression is not loaded as a whole.

    Example: `scmpt report annotated.h5ad report.html --genes CD3D --genes NKG7`
    """
    check_output(output, source=source, force=force, suffix=".html")
    species = chosen_organism(organism, orthologs)
    adata = read_cells(source, backed=True)
    from scmpt_scverse.pl import report as write_report

    write_report(
        adata,
        output,
        key=key,
        group_key=group_key,
        basis=basis,
        genes=genes or (),
        layer=layer,
        gene_symbols=gene_symbols,
        organism=species or "native",
        title=source.name,
        max_points=max_points,
        seed=seed,
    )
    typer.echo(f"Now open the page in a browser: {output.absolute()}")
