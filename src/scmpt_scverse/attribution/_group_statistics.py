"""Statistics of a group of cells per gene: mean score, t-test against 0, fold change of expression."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse, stats
from sklearn.utils.sparsefuncs import mean_variance_axis

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray

#: Pseudocount of fold changes, as in scanpy.
_PSEUDO = 1e-9


@dataclass(frozen=True)
class GroupStatistics:
    """Statistics of one group; each of shape `(n_genes,)`.

    Attributes
    ----------
    scores
        Mean score over the cells of the group.
    pvals, pvals_adj
        P-value of a two-sided one-sample t-test of the scores against 0, and adjusted by Benjamini and Hochberg; NaN
        for a group of one cell, 1 for genes whose scores are all 0.
    logfoldchanges
        log2 fold change of expression against the other cells, as `sc.tl.rank_genes_groups` computes it, from means of
        log-normalised values; NaN where there are no other cells.
    """

    scores: "FloatArray"
    pvals: "FloatArray"
    pvals_adj: "FloatArray"
    logfoldchanges: "FloatArray"


def group_statistics(
    scores: sparse.csr_matrix, log_expression: sparse.csr_matrix, is_in_group: "BoolArray"
) -> GroupStatistics:
    """Statistics of the scores and the expression of one group.

    Parameters
    ----------
    scores
        Scores of all explained cells, shape `(n_cells, n_genes)`.
    log_expression
        Log-normalised expression (natural logarithm of 1 + x) of the same cells, shape as `scores`.
    is_in_group
        Which cells are in the group, shape `(n_cells,)`.
    """
    mean, pvals = t_test(scores[is_in_group])
    fold = np.full(scores.shape[1], np.nan)
    if not is_in_group.all():
        inside, outside = (np.expm1(_mean(log_expression[cells])) for cells in (is_in_group, ~is_in_group))
        fold = np.log2((inside + _PSEUDO) / (outside + _PSEUDO))
    adjusted = pvals if np.isnan(pvals).any() else stats.false_discovery_control(pvals)
    return GroupStatistics(mean, pvals, adjusted, fold)


def t_test(scores: sparse.csr_matrix) -> "tuple[FloatArray, FloatArray]":
    """Mean of every column, and the p-value of a two-sided t-test against 0; missing entries count as scores of 0."""
    n_cells = scores.shape[0]
    # In float32, variances of scores that vary little would be lost.
    mean, variance = mean_variance_axis(scores.astype(np.float64), axis=0)
    if n_cells < 2:
        return mean, np.full(scores.shape[1], np.nan)
    error = np.sqrt(variance / (n_cells - 1))
    # Equal scores in all cells: infinitely far from 0, unless they are 0.
    t = np.divide(mean, error, out=np.where(mean == 0, 0.0, np.inf), where=error > 0)
    return mean, 2 * stats.t.sf(np.abs(t), df=n_cells - 1)


def _mean(matrix: sparse.csr_matrix) -> "FloatArray":
    return np.asarray(matrix.astype(np.float64).mean(axis=0)).ravel()
