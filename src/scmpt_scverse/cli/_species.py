"""Cells of another species on the command line: read through the human orthologs of their genes."""

from typing import TYPE_CHECKING

import typer

from scmpt_scverse.cli._options import checked_choice

if TYPE_CHECKING:
    from anndata import AnnData

HUMAN = "human"
#: Column of `.var` that is written, and what models are set up with.
HUMAN_SYMBOLS = "human_symbol"


def check_organism(organism: str) -> None:
    """A usage error for a species without a table of orthologs."""
    if organism != HUMAN:
        from scmpt_scverse.pp import organisms

        checked_choice(organism, [HUMAN, *organisms()], "--organism")


def human_symbols(adata: "AnnData", organism: str, layer: str | None, gene_symbols: str | None) -> str | None:
    """The column of `.var` to read: of human orthologs, written here, where the cells are of another species."""
    if organism == HUMAN:
        return gene_symbols
    from scmpt_scverse.pp import map_orthologs

    report = map_orthologs(
        adata,
        organism,
        gene_symbols=None if gene_symbols == "var_names" else gene_symbols,
        layer=None if layer == "X" else layer,
        key_added=HUMAN_SYMBOLS,
    )
    typer.echo(
        f"{report['n_mapped']:.0f} of {report['n_genes']:.0f} {organism} genes have a human ortholog, with "
        f"{report['share_of_expression']:.0%} of the expression: .var[{HUMAN_SYMBOLS!r}]"
    )
    return HUMAN_SYMBOLS
