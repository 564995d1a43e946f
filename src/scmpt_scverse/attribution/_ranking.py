"""From scores of genes in cells to a ranking of genes per group."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse, stats

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray

#: Keeps the logarithm of a gene that a group does not express finite; scanpy's number.
_PSEUDO = 1e-9


@dataclass(frozen=True)
class GroupStatistics:
    """Of one group, for every gene; each of shape `(n_genes,)`.

    Attributes
    ----------
    scores
        Mean score over the group's cells.
    pvals, pvals_adj
        Two-sided one-sample t-test of the cells' scores against 0, and the same after Benjamini and Hochberg; NaN for
        a group of one cell.
    logfoldchanges
        log2 of the group's mean expression over that of the other cells; NaN where there are none.
    """

    scores: "FloatArray"
    pvals: "FloatArray"
    pvals_adj: "FloatArray"
    logfoldchanges: "FloatArray"


def group_statistics(
    scores: sparse.csr_matrix, log_expression: sparse.csr_matrix, is_in_group: "BoolArray"
) -> GroupStatistics:
    """Statistics of a group.

    Parameters
    ----------
    scores
        Shape `(n_cells, n_genes)`.
    log_expression
        Log-normalised expression of the same cells, shape as `scores`.
    is_in_group
        Shape `(n_cells,)`.
    """
    mean, pvals = t_test(scores[is_in_group])
    fold = np.full(scores.shape[1], np.nan)
    if not is_in_group.all():
        inside, outside = (_mean(log_expression[cells].expm1()) for cells in (is_in_group, ~is_in_group))
        fold = np.log2((inside + _PSEUDO) / (outside + _PSEUDO))
    adjusted = pvals if np.isnan(pvals).any() else stats.false_discovery_control(pvals)
    return GroupStatistics(mean, pvals, adjusted, fold)


def t_test(scores: sparse.csr_matrix) -> "tuple[FloatArray, FloatArray]":
    """Mean of every column, and the p-value of a two-sided t-test against 0; zeros count as scores of 0."""
    n_cells = scores.shape[0]
    mean = _mean(scores)
    if n_cells < 2:
        return mean, np.full(scores.shape[1], np.nan)
    variance = np.maximum(_mean(scores.multiply(scores)) - mean**2, 0) * n_cells / (n_cells - 1)
    error = np.sqrt(variance / n_cells)
    t = np.divide(mean, error, out=np.zeros_like(mean), where=error > 0)
    return mean, 2 * stats.t.sf(np.abs(t), df=n_cells - 1)


def _mean(matrix: sparse.csr_matrix) -> "FloatArray":
    return np.asarray(matrix.mean(axis=0), dtype=np.float64).ravel()
