"""Genes of the page: those that speak for each label, and those that cells can be coloured by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse.pp import NATIVE, Organism
from scmpt_scverse.report._cards import largest_groups
from scmpt_scverse.report._evidence import Description, Evidence, round_robin
from scmpt_scverse.report._expression import CellExpression, GroupMoments

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.report._labelling import Labelling

#: Genes of a card, and genes that cells can be coloured by, where they have room.
N_EVIDENCE = 8
_MOST_COLOURED = 400


@dataclass(frozen=True)
class Genes:
    """What is shown of expression.

    Attributes
    ----------
    evidence
        By label.
    names
        Genes that cells can be coloured by, the most important first.
    values
        Their log-normalised expression in the drawn cells, shape `(n_points, n_names)`.
    missing
        Why nothing of expression is shown; empty where it is.
    """

    evidence: Mapping[str, Evidence]
    names: list[str] = field(default_factory=list)
    values: "FloatArray" = field(default_factory=lambda: np.empty((0, 0)))
    missing: str = ""


@dataclass(frozen=True)
class GeneRequest:
    """Which genes, and where expression is.

    Attributes
    ----------
    genes
        Genes to colour by that the user names.
    layer
        Key of `.layers`; `None` for `.X`.
    gene_symbols
        Column of `.var`; `None` for its names.
    organism
        Species of the cells; `"native"` shows symbols as they are.
    """

    genes: Sequence[str] = ()
    layer: str | None = None
    gene_symbols: str | None = None
    organism: Organism = NATIVE

    @property
    def is_explicit(self) -> bool:
        """Whether the user asked for anything, so that it must not be left out in silence."""
        return bool(self.genes) or (self.layer, self.gene_symbols, self.organism) != (None, None, NATIVE)


def genes_of(
    adata: "AnnData",
    request: GeneRequest,
    labelling: "Labelling",
    rows: "IntArray",
    evidence: Mapping[str, Evidence],
    descriptions: Mapping[str, Description],
) -> Genes:
    """Genes for the page; where none speak for a label yet, those that are higher in its cells than elsewhere.

    Expression that cannot be read is left out, with the reason, unless the user asked for a part of it.

    Parameters
    ----------
    adata, request
        All cells, and what is wanted.
    labelling
        Labels or groups that have cards.
    rows
        Cells to read, ascending.
    evidence, descriptions
        What models wrote, by label.
    """
    try:
        where = {"layer": request.layer, "gene_symbols": request.gene_symbols}
        expression = CellExpression(adata, rows, **where, organism=request.organism)
        asked = expression.symbols_of(request.genes)
        codes = largest_groups(labelling)
        number = np.full(len(labelling.labels), len(codes))
        number[codes] = np.arange(len(codes))
        moments = expression.moments(number[labelling.codes[rows]], len(codes) + 1)
        found = {**_higher_genes(moments, [labelling.labels[code] for code in codes], len(rows)), **evidence}
        names = _coloured(asked, found, descriptions, moments, expression.genes)
        return Genes(found, names, expression.values(names))
    except (TypeError, ValueError) as error:
        if request.is_explicit:
            raise
        return Genes(evidence, missing=str(error))


def _higher_genes(moments: GroupMoments, labels: Sequence[str], n_cells: int) -> dict[str, Evidence]:
    source = f"higher than in other cells: t-test on {n_cells:,} cells"
    genes = {label: moments.higher_genes(group, N_EVIDENCE) for group, label in enumerate(labels)}
    return {label: Evidence(names, source) for label, names in genes.items() if names}


def _coloured(
    asked: Sequence[str],
    evidence: Mapping[str, Evidence],
    descriptions: Mapping[str, Description],
    moments: GroupMoments,
    known: "StrArray",
) -> list[str]:
    """The genes that the user named, those of cards in turn, then the most variable ones."""
    shown = [[*descriptions[label].genes] for label in descriptions] + [each.genes for each in evidence.values()]
    wanted = dict.fromkeys([*asked, *round_robin(shown), *moments.variable_genes(_MOST_COLOURED)])
    present = set(known)
    return [gene for gene in wanted if gene in present][: max(_MOST_COLOURED, len(asked))]
