"""Gene tokens: a cell as vocabulary ids and expression bins, as scGPT reads it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy import sparse

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray

Selection: TypeAlias = Literal["highest", "sample"]
SELECTIONS = ("highest", "sample")

_Hashes: TypeAlias = npt.NDArray[np.uint64]
#: Rows handled at a time: bounds the working memory, and the arrays stay in the processor's cache.
_BLOCK_ROWS = 256


@dataclass(frozen=True)
class GeneTokens:
    """The genes of some cells as tokens, one cell after another, without the `<cls>` token.

    Attributes
    ----------
    indptr
        Cell `i` has the tokens `indptr[i]` to `indptr[i + 1] - 1`; shape `(n_obs + 1,)`.
    gene_ids
        Vocabulary ids, ascending within a cell, int64, shape `(n_tokens,)`.
    bins
        Expression bins from 1 to `n_bins - 1`, int16, shape `(n_tokens,)`.
    """

    indptr: "IntArray"
    gene_ids: "IntArray"
    bins: "IntArray"

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> "IntArray":
        """Number of tokens of each cell, shape `(n_obs,)`."""
        return np.diff(self.indptr)

    def contents(self) -> Iterator[bytes]:
        """Each cell's tokens as bytes."""
        for start, stop in pairwise(self.indptr):
            yield self.gene_ids[start:stop].tobytes() + self.bins[start:stop].tobytes()

    def highest(self, max_genes: int) -> "IntArray":
        """Positions of the tokens with the highest bins, at most `max_genes` per cell, ascending; ties by position."""
        cell = np.repeat(np.arange(len(self)), self.lengths)
        order = np.lexsort((-self.bins.astype(np.int64), cell))
        rank = np.arange(len(order)) - self.indptr[:-1][cell]
        return np.sort(order[rank < max_genes])

    def take(self, rows: "IntArray") -> "GeneTokens":
        """Some of the cells, in the order of `rows`."""
        lengths = self.lengths[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        source = np.repeat(self.indptr[:-1][rows] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return GeneTokens(indptr, self.gene_ids[source], self.bins[source])


def vocabulary_ids(genes: "StrArray", vocabulary: Mapping[str, int]) -> "IntArray":
    """The vocabulary id of every gene symbol, -1 if it has none, shape `(n_genes,)`."""
    return np.fromiter((vocabulary.get(gene, -1) for gene in genes), dtype=np.int64, count=len(genes))


def tokenize_genes(
    matrix: "sparse.csr_matrix",
    gene_ids: "IntArray",
    *,
    n_bins: int = 51,
    max_genes: int = 1199,
    selection: Selection = "highest",
    seed: int = 0,
) -> GeneTokens:
    """Turn expression into gene tokens.

    The tokens of a cell depend on its own genes and values and on `seed`, not on other cells, the order of columns or
    the global random state.

    Parameters
    ----------
    matrix
        Non-negative expression, shape `(n_obs, n_genes)`. Apart from the rounding of quantiles, only the order of
        values within a cell matters.
    gene_ids
        Vocabulary id of each column, shape `(n_genes,)`; columns with -1 are left out before anything else.
    n_bins
        Number of bins, including the bin of genes without expression, which have no token.
    max_genes
        Most genes to keep per cell. Bins are computed from the whole cell.
    selection
        Which genes to keep in a longer cell: those of `"highest"` expression (ties at random), or a random `"sample"`.
    seed
        Seed for spreading ties and for `selection`.

    Notes
    -----
    scGPT :cite:p:`cui2024scgpt` bins by quantiles and spreads equal values at random over the bins they span; its code
    (`scgpt/preprocess.py` and `data_collator.py` of version 0.2.4) draws from the global random state, and samples
    genes of cells beyond the maximal length. Here a hash replaces the random numbers.
    """
    blocks = [
        _tokenize_block(matrix[start : start + _BLOCK_ROWS], gene_ids, n_bins, max_genes, selection, seed)
        for start in range(0, matrix.shape[0], _BLOCK_ROWS)
    ]
    lengths = np.concatenate([np.zeros(1, dtype=np.int64), *(block.lengths for block in blocks)])
    return GeneTokens(
        np.cumsum(lengths),
        np.concatenate([np.empty(0, dtype=np.int64), *(block.gene_ids for block in blocks)]),
        np.concatenate([np.empty(0, dtype=np.int16), *(block.bins for block in blocks)]),
    )


def _tokenize_block(
    matrix: "sparse.csr_matrix", gene_ids: "IntArray", n_bins: int, max_genes: int, selection: Selection, seed: int
) -> GeneTokens:
    cell = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    ids = gene_ids[matrix.indices]
    values = matrix.data.astype(np.float32)  # scGPT's precision of values; it decides what a tie is
    expressed = np.flatnonzero((ids >= 0) & (values > 0))
    # By vocabulary id, so that tokens do not depend on the order of the data set's columns.
    order = expressed[np.argsort(_sort_key(cell[expressed], ids[expressed]))]
    cell, ids, values = cell[order], ids[order], values[order]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=matrix.shape[0]))])
    hashes = _token_hashes(ids, indptr, seed)
    bins = _spread(*bin_spans(values, indptr, n_bins), hashes)
    # Hashed once more: selecting by the hash that chose the bins would keep only some bins of a tie.
    kept = _select(cell, values, _mix(hashes), max_genes, selection)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell[kept], minlength=matrix.shape[0]))])
    return GeneTokens(indptr, ids[kept], bins[kept])


def bin_spans(values: "FloatArray", indptr: "IntArray", n_bins: int) -> "tuple[IntArray, IntArray]":
    """Lowest and highest bin of every value; they are equal unless several quantiles of the cell equal the value.

    Parameters
    ----------
    values
        Positive float32 values of some cells, one cell after another, shape `(n_tokens,)`.
    indptr
        Where cells start and end, shape `(n_obs + 1,)`.
    n_bins
        The `n_bins - 1` bin edges of a cell are its quantiles 0 to 1 in equal steps, interpolated as
        `numpy.quantile` does. The lowest bin of a value is one more than the number of edges below it, the highest the
        number of edges at or below it, and the lowest at most the highest.
    """
    n_tokens = values.size
    lengths = np.diff(indptr)
    starts, lengths = indptr[:-1][lengths > 0], lengths[lengths > 0]  # cells without genes have no edges
    cell = np.repeat(np.arange(lengths.size), lengths)

    order, tie = _rank_ties(cell, values)
    ranked = values[order]
    ties = np.flatnonzero(np.diff(tie, prepend=-1, append=n_tokens))  # where ties start, and the end
    tie_start, tie_stop = ties[tie], ties[tie + 1]

    last = lengths[:, None] - 1
    position = np.linspace(0, 1, n_bins - 1) * last  # (n_cells, n_edges), as are all below
    below = np.floor(position).astype(np.int64)
    weight = position - below
    above = np.minimum(below + 1, last) + starts[:, None]
    below += starts[:, None]
    left, right = ranked[below], ranked[above]
    gap = right - left
    # Interpolated from the nearer end, as in numpy; another formula would round some edges to the other side.
    edges = np.where(weight < 0.5, left + gap * weight, right - gap * (1 - weight))

    # An edge lies between two neighbours in rank, so counting edges per value is a cumulative sum over ranks.
    first_at_least = np.where(edges <= left, tie_start[below], above)
    first_greater = np.where(edges < right, above, tie_stop[above])
    edges_before = cell * (n_bins - 1)
    lowest, highest = np.empty((2, n_tokens), dtype=np.int64)
    highest[order] = np.cumsum(np.bincount(first_at_least.ravel(), minlength=n_tokens))[:n_tokens] - edges_before
    lowest[order] = np.cumsum(np.bincount(first_greater.ravel(), minlength=n_tokens))[:n_tokens] - edges_before + 1
    return np.minimum(lowest, highest), highest


def _spread(lowest: "IntArray", highest: "IntArray", hashes: _Hashes) -> "IntArray":
    """Bins from `lowest` to `highest`, uniformly; 32 bits of the hash are the random number."""
    n_choices = (highest - lowest + 1).astype(np.uint64)
    step = ((hashes >> np.uint64(32)) * n_choices) >> np.uint64(32)
    return (highest - step.astype(np.int64)).astype(np.int16)


def _select(
    cell: "IntArray", values: "FloatArray", lottery: _Hashes, max_genes: int, selection: Selection
) -> "BoolArray":
    """Which tokens are kept if a cell has more than `max_genes`: the last ones by value, then by lottery."""
    lengths = np.bincount(cell)
    kept = np.ones(cell.size, dtype=bool)
    candidates = np.flatnonzero(lengths[cell] > max_genes)
    if not candidates.size:
        return kept
    cell, values = cell[candidates], values[candidates]
    group = cell.copy()
    if selection == "highest":
        order, tie = _rank_ties(cell, values)
        group[order] = tie
    # 40 bits of the lottery decide within a group, of which a block has fewer than 2**24.
    key = (group.astype(np.uint64) << np.uint64(40)) | (lottery[candidates] >> np.uint64(24))
    tokens_to_end_of_cell = np.cumsum(lengths * (lengths > max_genes))[cell] - np.arange(cell.size)
    kept[candidates[np.argsort(key)[tokens_to_end_of_cell > max_genes]]] = False
    return kept


def _rank_ties(cell: "IntArray", values: "FloatArray") -> "tuple[IntArray, IntArray]":
    """Order of tokens by cell and ascending value, and for each in that order the number of its tie."""
    # The bits of positive floats ascend like the floats.
    key = _sort_key(cell, values.view(np.uint32))
    order = np.argsort(key)
    return order, np.cumsum(np.diff(key[order], prepend=key[order[:1]]) > 0)


def _sort_key(cell: "IntArray", number: "npt.NDArray[np.integer[Any]]") -> _Hashes:
    """One integer, which numpy sorts fastest, that orders by cell, then by a number below 2**32."""
    return (cell.astype(np.uint64) << np.uint64(32)) | number.astype(np.uint64)


def _token_hashes(ids: "IntArray", indptr: "IntArray", seed: int) -> _Hashes:
    """A hash of the seed, the set of genes in the cell, and the gene; shape `(n_tokens,)`."""
    genes = _mix(ids.astype(np.uint64))
    # Sums wrap around at 2**64, so differences of the running sum are exact, and the order of genes does not matter.
    running = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(genes)])
    cells = _mix((running[indptr[1:]] - running[indptr[:-1]]) ^ _mix(np.array([seed], dtype=np.uint64)))
    return _mix(genes + np.repeat(cells, np.diff(indptr)))


def _mix(x: _Hashes) -> _Hashes:
    """One step of the splitmix64 generator (Steele, Lea and Flood, 2014) for every number."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
