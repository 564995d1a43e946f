"""Programmes of genes that cells switched on, each judged beside random genes of the same mean expression."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse.knowledge import match_genes

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray
    from scmpt_scverse.zero_shot import Query

#: Fewer genes of a programme say little.
_FEWEST_GENES = 3
#: Genes of a programme that a cell has to express at least: one gene alone is chance.
_FEWEST_EXPRESSED = 2
#: Random sets that a programme is compared with, of genes of the same bin of mean expression.
_N_RANDOM, _N_BINS = 50, 25
#: Standard deviations above the mean of the random sets.
_LIMIT = 3.0


@dataclass(frozen=True)
class Programmes:
    """Programmes over the genes of a query.

    Attributes
    ----------
    names
        Shape `(n_programmes,)`.
    columns
        Genes of each, as columns of the query.
    """

    names: tuple[str, ...]
    columns: "tuple[IntArray, ...]"

    @classmethod
    def of(cls, table: pd.DataFrame, own: Collection[str], genes: "StrArray", is_used: "BoolArray") -> Self:
        """Those of a table that have enough genes which tell cells apart.

        Parameters
        ----------
        table
            In the tidy form of :func:`scmpt_scverse.knowledge.read_markers`; genes of negative weight are left out.
        own
            Names of the programmes that a user gave: warned of where they have too few genes.
        genes
            Symbols of the query, shape `(n_genes,)`.
        is_used
            Genes that differ between cells, shape `(n_genes,)`.

        Raises
        ------
        ValueError
            No programme of the user has any gene of the data.
        """
        given = table[table["type"].isin(list(own))]
        if len(given):
            match_genes(given, genes)  # raises where nothing is left
        try:
            matched = match_genes(table[table["weight"] > 0], genes)
        except ValueError:  # a panel without any gene of the bundled programmes
            matched = table[:0]
        columns = pd.Series(pd.Index(genes).get_indexer(matched["gene"]), index=matched["type"], dtype=np.int64)
        columns = columns[is_used[columns.to_numpy()]]
        found = {name: np.unique(each.to_numpy()) for name, each in columns.groupby(level=0, sort=False)}
        kept = {name: each for name, each in found.items() if len(each) >= _FEWEST_GENES}
        left_out = sorted(set(own) - set(kept))
        if left_out:
            warn_user(
                f"Expected programmes with at least {_FEWEST_GENES} genes that differ between the cells; found fewer "
                f"of {list_some(left_out)}, which are left out. Add genes that the data have."
            )
        return cls(tuple(kept), tuple(kept.values()))


def cells_in_state(query: "Query", programmes: Programmes, *, seed: int = 0) -> "BoolArray":
    """Which cells have switched on each programme, shape `(n_obs, n_programmes)`.

    Parameters
    ----------
    query
        All cells, over all genes.
    programmes
        Over the same genes.
    seed
        Of the random sets.

    Notes
    -----
    A cell is scored by the mean standardised expression of the genes of a programme. It counts if that is more than
    three standard deviations above the mean of 50 sets of as many random genes, drawn from the same of 25 bins of mean
    expression, in the same cell, and if it expresses two of the genes. Cells are compared with the query, so what all
    cells have does not show.
    """
    if not programmes.names:
        return np.zeros((query.n_obs, 0), dtype=bool)
    profiles = _profiles(query, programmes, seed)
    n = len(programmes.names)
    indicators = (profiles[:n] > 0).astype(np.float64)
    found = []
    for matrix in query.chunks():
        scores = query.standardisation.scores(matrix, profiles)
        random = scores[:, n:].reshape(len(scores), n, _N_RANDOM)
        is_high = scores[:, :n] > random.mean(axis=2) + _LIMIT * random.std(axis=2)
        n_expressed = (matrix > 0).astype(np.float64) @ indicators.T
        found.append(is_high & (n_expressed >= _FEWEST_EXPRESSED))
    return np.vstack(found)


def _profiles(query: "Query", programmes: Programmes, seed: int) -> "FloatArray":
    """Programmes, then the random sets of the first, of the second and so on; each has the same length."""
    rng = np.random.default_rng(seed)
    used = np.flatnonzero(query.is_used)
    taken = np.zeros(len(query.is_used), dtype=bool)
    taken[np.concatenate(programmes.columns)] = True
    # Bins of equal size, by rank of the mean.
    order = np.argsort(np.argsort(query.own.mean[used], kind="stable"), kind="stable")
    bin_of = np.full(len(query.is_used), -1)
    bin_of[used] = order * min(_N_BINS, len(used)) // len(used)
    free = {each: np.flatnonzero((bin_of == each) & ~taken) for each in np.unique(bin_of[used])}
    everywhere = np.flatnonzero((bin_of >= 0) & ~taken)
    rows = [_row(len(query.is_used), columns) for columns in programmes.columns]
    for columns in programmes.columns:
        pools = [free[bin_of[column]] if len(free[bin_of[column]]) else everywhere for column in columns]
        drawn = np.stack([rng.choice(pool if len(pool) else used, _N_RANDOM) for pool in pools], axis=1)
        rows += [_row(len(query.is_used), each) for each in drawn]
    return np.stack(rows)


def _row(n_genes: int, columns: "IntArray") -> "FloatArray":
    row = np.zeros(n_genes)
    np.add.at(row, columns, 1 / len(columns))
    return row
