"""Programmes of genes that cells switched on, each judged beside random genes of the same mean expression."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse.knowledge import match_genes

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray
    from scmpt_scverse.zero_shot import Query

#: Fewer genes of a programme say little.
_FEWEST_GENES = 3
#: Genes of a programme that a cell has to express at least: one gene alone is chance.
_FEWEST_EXPRESSED = 2
#: Bins of mean expression from which random genes are drawn.
_N_BINS = 25
#: Standard deviations above the mean of random genes.
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


def cells_in_state(query: "Query", programmes: Programmes) -> "BoolArray":
    """Which cells have switched on each programme, shape `(n_obs, n_programmes)`.

    Parameters
    ----------
    query
        All cells, over all genes.
    programmes
        Over the same genes.

    Notes
    -----
    A cell is scored by the mean standardised expression of the genes of a programme. It counts if that is more than
    three standard deviations above what as many random genes have in the same cell, and if it expresses two of the
    genes. Random genes are as in :cite:t:`tirosh2016dissecting`: for each gene of the programme, one of the same of 25
    bins of mean expression. Their mean and standard deviation are computed, not estimated from a few draws, so they
    do not depend on a seed. Cells are compared with the query, so what all cells have does not show.
    """
    if not programmes.names:
        return np.zeros((query.n_obs, 0), dtype=bool)
    n_genes = len(query.is_used)
    pools = _Pools.of(query, programmes)
    members = np.stack([_weights(columns, n_genes) for columns in programmes.columns])
    sizes = np.array([len(columns) for columns in programmes.columns])
    found = []
    for matrix in query.chunks():
        scores, _ = query.standardisation.moments(matrix, members)
        means, squares = query.standardisation.moments(matrix, pools.weights)
        variances = np.maximum(squares - means**2, 0) @ pools.shares.T / sizes
        is_high = scores > means @ pools.shares.T + _LIMIT * np.sqrt(variances)
        n_expressed = (matrix > 0).astype(np.float64) @ (members > 0).astype(np.float64).T
        found.append(is_high & (n_expressed >= _FEWEST_EXPRESSED))
    return np.vstack(found)


@dataclass(frozen=True)
class _Pools:
    """Genes from which random ones are drawn, each with the same chance.

    Attributes
    ----------
    weights
        Chance of each gene in each pool, shape `(n_pools, n_genes)`.
    shares
        Share of the genes of each programme that stand for a pool, shape `(n_programmes, n_pools)`.
    """

    weights: "FloatArray"
    shares: "FloatArray"

    @classmethod
    def of(cls, query: "Query", programmes: Programmes) -> Self:
        """Bins of mean expression, without the genes of any programme; where none is left, all bins together."""
        n_genes = len(query.is_used)
        taken = np.zeros(n_genes, dtype=bool)
        taken[np.concatenate(programmes.columns)] = True
        used = np.flatnonzero(query.is_used)
        n_bins = min(_N_BINS, len(used))
        bin_of = np.full(n_genes, -1)
        # By rank, so that bins have the same size; genes of the same mean are in the same bin.
        bin_of[used] = (rankdata(query.own.mean[used]) - 0.5) * n_bins // len(used)
        free = [np.flatnonzero((bin_of == each) & ~taken) for each in range(n_bins)]
        everywhere = np.concatenate(free)
        left = everywhere if len(everywhere) else used
        pools = [each if len(each) else left for each in free]
        shares = [np.bincount(bin_of[columns], minlength=n_bins) / len(columns) for columns in programmes.columns]
        return cls(np.stack([_weights(pool, n_genes) for pool in pools]), np.stack(shares))


def _weights(columns: "IntArray", n_genes: int) -> "FloatArray":
    """Weights of genes whose weighted sum is the mean over some columns."""
    weights = np.zeros(n_genes)
    weights[columns] = 1 / len(columns)
    return weights
