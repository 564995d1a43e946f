"""Cells of another species on the command line: which orthologs they are read through, and how much that keeps."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scmpt_scverse.cli._options import checked_choice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

    from scmpt_scverse.pp import Organism


def chosen_organism(organism: str | None, orthologs: Path | None) -> "Organism | None":
    """The species that `--organism` and `--orthologs` name together; a usage error where they name none.

    `None` where a query is of the species that the model was trained on.
    """
    from scmpt_scverse.pp import AUTO, HUMAN, NATIVE, Orthologs, checked_organism, organisms

    if orthologs is None:
        if organism is None:
            return None
        checked_choice(organism, [HUMAN, *organisms(), AUTO, NATIVE], "--organism", "Of others, pass --orthologs FILE.")
        return checked_organism(organism)
    if organism is None or organism in (HUMAN, AUTO, NATIVE):
        raise typer.BadParameter("It needs --organism with the name of the species.", param_hint="--orthologs")
    return Orthologs.of(organism, orthologs)


def where_read(
    adata: "AnnData",
    registry: "Mapping[str, Any]",
    layer: str | None,
    gene_symbols: str | None,
    organism: "Organism | None",
) -> dict[str, Any]:
    """`layer`, `gene_symbols` and `organism` for the methods of a model with that registry, "auto" as what it is.

    Says how many genes are read through orthologs.
    """
    from scmpt_scverse.modalities import ExpressionSource

    source = ExpressionSource.registered(registry).of_query(adata, layer, gene_symbols, organism)
    source.check(adata)
    tell_share(adata, **source.arguments)
    return {"layer": layer, "gene_symbols": gene_symbols, "organism": source.organism}


def tell_share(adata: "AnnData", *, layer: str | None, gene_symbols: str | None, organism: "Organism") -> None:
    """Say how many genes are read through orthologs; nothing of human cells."""
    from scmpt_scverse.pp import Orthologs, ortholog_columns, ortholog_report

    if isinstance(organism, Orthologs):
        report = ortholog_report(adata, ortholog_columns(adata, gene_symbols, organism), layer=layer)
        typer.echo(
            f"{report['n_mapped']:.0f} of {report['n_genes']:.0f} {organism.organism} genes have a human ortholog, "
            f"with {report['share_of_expression']:.0%} of the expression."
        )
