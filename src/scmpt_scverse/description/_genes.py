"""Genes for and against a type: those that its score rests on, and that really differ from the other cells."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse.description._evidence import State, StatedGene

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray
    from scmpt_scverse.description._expression import SubjectExpression
    from scmpt_scverse.description._states import Programmes

#: Genes that are stated for and against a type, and of a state.
_N_FOR, _N_AGAINST, _N_OF_STATE = 5, 3, 4
#: Standard errors by which the mean of a group, and standard deviations by which a cell, has to differ from the others.
_LEAST_OF_GROUP, _LEAST_OF_CELL = 3.0, 1.0
#: Share of the cells that have to express a gene that is stated as higher.
_LEAST_FRACTION = 0.1
#: Of the largest share for the type, the part that a share against it has to reach.
_LEAST_AGAINST = 0.2
#: Share of cells in a state from which it is stated, and their number; and the share from which it is stated although
#: no gene is higher than in the other cells, which may all be in that state.
_LEAST_IN_STATE, _FEWEST_IN_STATE, _MOST_IN_STATE = 0.1, 3, 0.5
#: Genes of a profile that tables of evidence list in any case.
_N_OF_PROFILE = 10


def stated_genes(
    expression: "SubjectExpression",
    row: int,
    weights: "FloatArray",
    shares: "FloatArray",
    genes: "StrArray",
    *,
    is_cell: bool,
) -> tuple[StatedGene, ...]:
    """Genes for and against a type, each side most important first.

    Parameters
    ----------
    expression, row
        Of the group or the cell.
    weights, shares
        Of the profile of the type, and in its score, shape `(n_genes,)`.
    genes
        Symbols, shape `(n_genes,)`.
    is_cell
        Whether it is one cell.

    Notes
    -----
    For it speak genes of the profile that are higher than in the other cells. Against it speak genes of the profile
    that are lower, and genes whose weight is negative that are higher. That a gene is absent which the type does not
    have anyway is not stated.
    """
    higher, lower = _differing(expression, row, is_cell=is_cell)
    speaks_for = np.flatnonzero((shares > 0) & (weights > 0) & higher)
    speaks_for = speaks_for[np.argsort(-shares[speaks_for], kind="stable")][:_N_FOR]
    largest = shares[speaks_for].max(initial=0)
    speaks_against = np.flatnonzero(
        (shares < -_LEAST_AGAINST * largest) & (((weights > 0) & lower) | ((weights < 0) & higher))
    )
    speaks_against = speaks_against[np.argsort(shares[speaks_against], kind="stable")][:_N_AGAINST]
    return (
        *(StatedGene(str(genes[gene]), "for", True, float(shares[gene])) for gene in speaks_for),
        *(StatedGene(str(genes[gene]), "against", bool(higher[gene]), float(shares[gene])) for gene in speaks_against),
    )


def states_of(
    expression: "SubjectExpression",
    row: int,
    shares: "FloatArray",
    rest_shares: "FloatArray",
    programmes: "Programmes",
    genes: "StrArray",
    *,
    is_cell: bool,
) -> tuple[State, ...]:
    """Programmes that enough of the cells have switched on, most frequent first.

    Parameters
    ----------
    expression, row, genes, is_cell
        As in :func:`stated_genes`.
    shares, rest_shares
        Of the cells of the group, and of all other cells, in the state of each programme, shape `(n_programmes,)`.
    programmes
        Their genes.
    """
    higher, _ = _differing(expression, row, is_cell=is_cell)
    states = []
    for number in np.argsort(-shares, kind="stable"):
        n_in_state = shares[number] * expression.n_cells[row]
        if shares[number] < _LEAST_IN_STATE or (n_in_state < _FEWEST_IN_STATE - 0.5 and not is_cell):
            continue
        columns = programmes.columns[number]
        columns = columns[higher[columns]]
        columns = columns[np.argsort(-expression.difference[row, columns], kind="stable")][:_N_OF_STATE]
        names = tuple(str(genes[column]) for column in columns)
        if not names and shares[number] < _MOST_IN_STATE:
            continue
        states.append(State(programmes.names[number], float(shares[number]), float(rest_shares[number]), names))
    return tuple(states)


def gene_rows(
    expression: "SubjectExpression",
    row: int,
    weights: "FloatArray",
    shares: "FloatArray",
    scale: "FloatArray",
    genes: "StrArray",
    stated: tuple[StatedGene, ...],
    states: tuple[State, ...],
) -> pd.DataFrame:
    """What is known of every stated gene, and of the first genes of the profile, one row each; see `describe`."""
    roles = {gene: "state" for state in states for gene in state.genes}
    roles |= {each.gene: each.side for each in stated}
    top = np.argsort(-weights, kind="stable")[:_N_OF_PROFILE]
    top = top[weights[top] > 0]
    places = {str(genes[place]): int(place) for place in top}
    missing = [gene for gene in roles if gene not in places]
    places |= dict(zip(missing, pd.Index(genes).get_indexer(missing).tolist(), strict=True))
    columns: IntArray = np.array(list(places.values()), dtype=np.int64)
    difference = expression.mean[row, columns] - expression.rest_mean[row, columns]
    return pd.DataFrame(
        {
            "gene": list(places),
            "role": [roles.get(gene, "") for gene in places],
            "share": shares[columns],
            "profile": weights[columns],
            "observed": np.divide(difference, scale[columns], out=np.zeros(len(columns)), where=scale[columns] > 0),
            "mean": expression.mean[row, columns],
            "rest_mean": expression.rest_mean[row, columns],
            "fraction": expression.fraction[row, columns],
            "rest_fraction": expression.rest_fraction[row, columns],
        }
    )


def _differing(expression: "SubjectExpression", row: int, *, is_cell: bool) -> "tuple[BoolArray, BoolArray]":
    """Which genes are clearly higher, and which lower, than in the other cells; each of shape `(n_genes,)`."""
    least = _LEAST_OF_CELL if is_cell else _LEAST_OF_GROUP
    difference = expression.difference[row]
    higher = (difference >= least) & (expression.fraction[row] >= _LEAST_FRACTION)
    return higher, difference <= -least
