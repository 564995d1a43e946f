"""How much more counts vary than Poisson distributed ones, estimated by moments."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

    from scmpt_scverse._types import FloatArray, IntArray

#: Bounds of dispersions: beyond the upper one, counts are as good as Poisson distributed.
_DISPERSIONS = (0.1, 100.0)


def log_dispersions(counts: "sparse.csr_matrix", groups: "IntArray") -> "FloatArray":
    """Logarithm of the dispersion of each gene within groups of cells, float32 of shape `(n_genes,)`.

    Parameters
    ----------
    counts
        Raw counts, shape `(n_cells, n_genes)`; every cell has some.
    groups
        Group of each cell, such as its type in its batch, shape `(n_cells,)`.

    Notes
    -----
    Counts with mean `m` and dispersion `d` have the variance `m + m**2 / d`; in a group, the mean of a gene is the same
    share of each cell.
    """
    beyond, squares = np.zeros(counts.shape[1]), np.zeros(counts.shape[1])
    for group in np.unique(groups):
        some = counts[groups == group]
        totals = np.asarray(some.sum(axis=1)).ravel()
        share = np.asarray(some.sum(axis=0)).ravel() / totals.sum()
        of_means = share**2 * np.square(totals).sum()
        around = np.asarray(some.power(2).sum(axis=0)).ravel() - 2 * share * (some.T @ totals) + of_means
        beyond += around - share * totals.sum()
        squares += of_means
    ratios = np.divide(squares, beyond, out=np.full_like(squares, np.inf), where=beyond > 0)
    return np.log(ratios.clip(*_DISPERSIONS)).astype(np.float32)
