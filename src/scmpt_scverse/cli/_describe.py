"""The command that describes groups of cells, or cells, in words. What is heavy to import is imported inside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmpt_scverse._checks import check_key
from scmpt_scverse._h5ad import read_cells
from scmpt_scverse.cli._annotate import _text_model, _text_options
from scmpt_scverse.cli._files import check_output, save_or_rescue
from scmpt_scverse.cli._models import check_text_model
from scmpt_scverse.cli._options import (
    Background,
    Force,
    InFile,
    Model,
    OrthologsFile,
    QueryGeneSymbols,
    QueryLayer,
    QueryOrganism,
)
from scmpt_scverse.cli._species import chosen_organism, where_read

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = (".csv", ".md")
#: Headings of a page, with the column that is written below each.
_PARTS = {
    "for": "genes_for",
    "against": "genes_against",
    "states": "states",
    "unusual": "unusual",
    "other labels": "candidates",
    "kinds": "path",
}
#: Descriptions that are printed.
_N_SHOWN = 10


def describe(
    model: Model,
    source: InFile,
    output: Annotated[
        Path, typer.Argument(metavar="OUT.csv|OUT.md", help="Table or page to write.", show_default=False)
    ],
    groupby: Annotated[
        str | None, typer.Option(help="Column of .obs with groups, such as clusters.", show_default="each cell")
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(help="A cell type to choose from; repeatable.", show_default="all types that the model knows"),
    ] = None,
    labels_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Cell types, one per line, optionally with a description or markers after a tab.",
            show_default=False,
        ),
    ] = None,
    tissue: Annotated[
        str | None, typer.Option(help="Choose from the cell types of this tissue.", show_default=False)
    ] = None,
    programmes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Table of further gene programmes, with columns type and gene.", show_default=False
        ),
    ] = None,
    writer: Annotated[
        str,
        typer.Option(
            help="Writer: retrieval, or language-model if the model was trained with one in Python (stage describe)."
        ),
    ] = "retrieval",
    refine: Annotated[
        str | None,
        typer.Option(help="How to use other cells of the file: none, smooth or self-train.", show_default="self-train"),
    ] = None,
    back_off: Annotated[
        float, typer.Option(min=0.01, max=1, help="Probability that a cell type has to reach to be named.")
    ] = 0.8,
    background: Background = None,
    organism: QueryOrganism = None,
    orthologs: OrthologsFile = None,
    layer: QueryLayer = None,
    gene_symbols: QueryGeneSymbols = None,
    force: Force = False,
) -> None:
    """Describe groups of cells in a sentence or two, with the genes that speak for and against the type.

    The text model compares the cells of the file with one another, so pass all cells of a study.

    Example: `scmpt describe scmmgpt-mini query.h5ad clusters.md --groupby leiden --labels "B cell" --labels "T cell"`
    """
    if output.suffix.lower() not in _SUFFIXES:
        raise typer.BadParameter(
            f"Expected a name that ends in .csv for a table or .md for a page; found {output}.", param_hint="OUT"
        )
    check_output(output, source=source, force=force, suffix=output.suffix)
    species = chosen_organism(organism, orthologs)
    check_text_model(model)
    options = _text_options(labels, labels_file, tissue, refine, None, None)
    if programmes is not None:
        from scmpt_scverse.knowledge import merged_programmes

        merged_programmes(programmes)
    adata = read_cells(source)
    if groupby is not None:
        check_key(groupby, adata.obs.columns, "adata.obs")
    opened = _text_model(model, background)
    table = opened.describe(
        adata,
        groupby,
        programmes=programmes,
        writer=writer,
        back_off=back_off,
        **where_read(adata, opened.registry, layer, gene_symbols, species),
        **options,
    )
    if output.suffix.lower() == ".md":
        save_or_rescue(lambda path: path.write_text(_page(table, source.name), encoding="utf-8"), output)
    else:
        save_or_rescue(lambda path: table.to_csv(path), output)
    what = "cells" if groupby is None else f"groups of {groupby!r}"
    typer.echo(f"Described {len(table)} {what}: {output}")
    for name, text in table["description"].head(_N_SHOWN).items():
        typer.echo(f"{name}: {text}")


def _page(table: "pd.DataFrame", title: str) -> str:
    """A page in Markdown, with a section per group or cell."""
    parts = [f"# {_plain(title)}"]
    for name, row in table.iterrows():
        parts.append(f"## {_plain(str(name))} ({row['n_cells']} cell{'' if row['n_cells'] == 1 else 's'})")
        parts.append(_plain(row["description"]))
        lines = [f"- {heading}: {_plain(row[column])}" for heading, column in _PARTS.items() if row[column]]
        parts += ["\n".join(lines)] if lines else []
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Text in one line, in which Markdown and HTML find no markup."""
    line = " ".join(text.split())
    for sign in "\\`*_[]<>#":
        line = line.replace(sign, f"\\{sign}")
    return line
