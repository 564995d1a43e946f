"""Expression of groups of cells, or of single cells, beside that of all other cells of the query."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.zero_shot import Query

#: Groups, and cells, at a time: several dense rows over all genes are held of each.
_BLOCK_SIZE = 128
#: Fewer cells have no spread of their own to speak of; that of the other cells stands for it.
_FEW_CELLS = 3
_SMALLEST = 1e-9


@dataclass(frozen=True)
class Totals:
    """Sums over all cells that can be read.

    Attributes
    ----------
    sums, squares, n_expressing
        Log-normalised expression, its squares, and cells that express a gene; each of shape `(n_genes,)`.
    n_cells
        Cells.
    """

    sums: "FloatArray"
    squares: "FloatArray"
    n_expressing: "FloatArray"
    n_cells: int


@dataclass(frozen=True)
class SubjectExpression:
    """Expression of some groups, or of some cells, beside that of the others.

    Attributes
    ----------
    numbers
        Which groups or cells these are, shape `(n_subjects,)`.
    n_cells
        Cells that can be read in each, shape `(n_subjects,)`.
    mean, rest_mean
        Log-normalised expression, of them and of all other cells, shape `(n_subjects, n_genes)`; NaN without cells.
    fraction, rest_fraction
        Share of cells that express a gene, shape `(n_subjects, n_genes)`.
    difference
        Between both means, over its standard error, shape `(n_subjects, n_genes)`; 0 where there are no other cells.
    """

    numbers: "IntArray"
    n_cells: "IntArray"
    mean: "FloatArray"
    rest_mean: "FloatArray"
    fraction: "FloatArray"
    rest_fraction: "FloatArray"
    difference: "FloatArray"


def totals_of(query: "Query") -> Totals:
    """Sums over all cells of a query, over its genes."""
    sums, squares, n_expressing = (np.zeros(len(query.is_used)) for _ in range(3))
    n_cells = 0
    for matrix in query.chunks():
        matrix = matrix.astype(np.float64)
        sums += np.asarray(matrix.sum(axis=0)).ravel()
        squares += np.asarray(matrix.power(2).sum(axis=0)).ravel()
        n_expressing += matrix.getnnz(axis=0)
        n_cells += int((np.diff(matrix.indptr) > 0).sum())
    return Totals(sums, squares, n_expressing, n_cells)


def group_expression(query: "Query", codes: "IntArray", n_groups: int, totals: Totals) -> Iterator[SubjectExpression]:
    """Expression of groups, some at a time.

    Parameters
    ----------
    query
        All cells.
    codes
        Group of each cell, shape `(n_obs,)`; -1 for none.
    n_groups
        Number of groups.
    totals
        From :func:`totals_of`.
    """
    for first in range(0, n_groups, _BLOCK_SIZE):
        numbers = np.arange(first, min(first + _BLOCK_SIZE, n_groups))
        sums, squares, n_expressing = (np.zeros((len(numbers), len(query.is_used))) for _ in range(3))
        n_cells = np.zeros(len(numbers), dtype=np.int64)
        for rows, matrix in _numbered(query):
            members = _indicator(codes[rows] - first, len(numbers))
            matrix = matrix.astype(np.float64)
            sums += (members @ matrix).toarray()
            squares += (members @ matrix.power(2)).toarray()
            n_expressing += (members @ (matrix > 0).astype(np.float64)).toarray()
            n_cells += np.asarray(members @ (np.diff(matrix.indptr) > 0), dtype=np.int64)
        yield _beside_rest(numbers, n_cells, sums, squares, n_expressing, totals)


def cell_expression(query: "Query", totals: Totals) -> Iterator[SubjectExpression]:
    """Expression of all cells, some at a time, in order."""
    for rows, matrix in _numbered(query):
        for start in range(0, len(rows), _BLOCK_SIZE):
            values = matrix[start : start + _BLOCK_SIZE].toarray().astype(np.float64)
            is_expressed = values > 0
            numbers = rows[start : start + len(values)]
            n_cells = is_expressed.any(axis=1).astype(np.int64)
            yield _beside_rest(numbers, n_cells, values, values**2, is_expressed.astype(np.float64), totals)


def group_directions(query: "Query", codes: "IntArray", numbers: "IntArray") -> "FloatArray":
    """Mean of the standardised cells of length 1 of some groups, shape `(n_groups, n_genes)`.

    The product with a profile is the mean score of the cells, so times the weight of a gene it is the share of
    that gene. `numbers` ascend by one.
    """
    standardisation, is_used = query.standardisation, query.is_used
    sums, inverse_lengths, n_cells = (
        np.zeros((len(numbers), len(is_used))),
        np.zeros(len(numbers)),
        np.zeros(len(numbers)),
    )
    for rows, matrix in _numbered(query):
        is_readable = np.diff(matrix.indptr) > 0
        members = _indicator(np.where(is_readable, codes[rows] - numbers[0], -1), len(numbers))
        weights = 1 / standardisation.lengths(matrix)
        sums += (members @ sparse.diags(weights) @ matrix.astype(np.float64)).toarray()
        inverse_lengths += members @ weights
        n_cells += np.asarray(members.sum(axis=1)).ravel()
    centred = sums - inverse_lengths[:, None] * standardisation.mean
    scaled = np.divide(centred, standardisation.scale, out=np.zeros_like(centred), where=is_used)
    return scaled / np.maximum(n_cells, 1)[:, None]


def cell_directions(query: "Query", rows: "IntArray") -> "FloatArray":
    """Some standardised cells, each of length 1, shape `(n_cells, n_genes)`; as :func:`group_directions`."""
    matrix = query.take(rows)[1]
    directions: FloatArray = query.standardisation.dense(matrix) / query.standardisation.lengths(matrix)[:, None]
    return directions


def _numbered(query: "Query") -> "Iterator[tuple[IntArray, sparse.csr_matrix]]":
    """Chunks of cells with their row numbers."""
    first = 0
    for matrix in query.chunks():
        yield np.arange(first, first + matrix.shape[0]), matrix
        first += matrix.shape[0]


def _indicator(codes: "IntArray", n_groups: int) -> sparse.csr_matrix:
    """Which cells belong to each group, shape `(n_groups, n_cells)`; codes out of range belong to none."""
    cells = np.flatnonzero((codes >= 0) & (codes < n_groups))
    return sparse.csr_matrix((np.ones(len(cells)), (codes[cells], cells)), shape=(n_groups, len(codes)))


def _beside_rest(
    numbers: "IntArray",
    n_cells: "IntArray",
    sums: "FloatArray",
    squares: "FloatArray",
    n_expressing: "FloatArray",
    totals: Totals,
) -> SubjectExpression:
    mean, fraction, variance = _moments(sums, squares, n_expressing, n_cells)
    n_rest = totals.n_cells - n_cells
    rest_mean, rest_fraction, rest_variance = _moments(
        totals.sums - sums, totals.squares - squares, totals.n_expressing - n_expressing, n_rest
    )
    has_spread = (n_cells >= _FEW_CELLS)[:, None]
    own_variance = np.where(has_spread, variance, rest_variance) / np.maximum(n_cells, 1)[:, None]
    error = np.sqrt(own_variance + rest_variance / np.maximum(n_rest, 1)[:, None])
    difference = np.nan_to_num((mean - rest_mean) / np.maximum(np.nan_to_num(error), _SMALLEST))
    return SubjectExpression(numbers, n_cells, mean, rest_mean, fraction, rest_fraction, difference)


def _moments(
    sums: "FloatArray", squares: "FloatArray", n_expressing: "FloatArray", n_cells: "IntArray"
) -> "tuple[FloatArray, FloatArray, FloatArray]":
    """Mean, share of cells that express a gene, and variance, of groups; NaN without cells."""
    n = np.where(n_cells > 0, n_cells, np.nan)[:, None]
    mean = sums / n
    return mean, n_expressing / n, np.maximum(squares / n - mean**2, 0)
