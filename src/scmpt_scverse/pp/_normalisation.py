"""Log-normalised expression from values of unknown scale, and cells as weights of genes made from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from scmpt_scverse._types import StrArray
    from scmpt_scverse.pp._expression import GeneExpression

#: Logarithms of expression stay below; larger numbers, and whole ones, are counts, TPM or RPKM.
_LARGEST_LOGARITHM = 50.0
_TARGET_SUM = 1e4


@dataclass(frozen=True)
class Normalisation:
    """Log-normalisation, unless the values are logarithms already."""

    is_logarithmic: bool

    @classmethod
    def of(cls, matrix: sparse.csr_matrix) -> "Normalisation":
        """What the values of some cells need."""
        values = matrix.data
        return cls(bool(values.size and values.max() < _LARGEST_LOGARITHM and np.any(values != np.rint(values))))

    def __call__(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        """Log-normalised float32 expression, shape as given."""
        matrix = matrix.astype(np.float32)
        return matrix if self.is_logarithmic else _log_normalised(matrix)


def log_normalised_cells(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Log-normalised float32 expression, where each cell is judged by its own values: its neighbours do not matter."""
    matrix = matrix.astype(np.float32)
    n_expressed = np.diff(matrix.indptr)
    row = np.repeat(np.arange(matrix.shape[0]), n_expressed)
    has_fractions = np.bincount(row, matrix.data != np.rint(matrix.data), matrix.shape[0]) > 0
    is_logarithmic = has_fractions & (matrix.max(axis=1).toarray().ravel() < _LARGEST_LOGARITHM)
    values = np.where(is_logarithmic[row], matrix.data, _log_normalised(matrix).data)
    return sparse.csr_matrix((values, matrix.indices, matrix.indptr), matrix.shape)


def are_linear(chunks: Iterable[sparse.csr_matrix]) -> bool:
    """Whether values are neither counts nor logarithms: some are fractions, and some larger than any logarithm."""
    has_fractions, largest = False, 0.0
    for matrix in chunks:
        has_fractions |= bool(np.any(matrix.data != np.rint(matrix.data)))
        largest = max(largest, float(matrix.data.max(initial=0)))
    return has_fractions and largest >= _LARGEST_LOGARITHM


def log_normalised(matrix: sparse.csr_matrix, *, is_linear: bool) -> sparse.csr_matrix:
    """Log-normalised float32 expression on the scale of training data for which :func:`are_linear` decided.

    Where these are linear, so is every cell, although the values of some may look like logarithms; otherwise each cell
    is judged by its own values.
    """
    return Normalisation(is_logarithmic=False)(matrix) if is_linear else log_normalised_cells(matrix)


@dataclass(frozen=True)
class GeneWeights:
    """The weights of genes in some cells.

    Attributes
    ----------
    matrix
        Positive float32 CSR, shape `(n_obs, n_genes)`. The rows of cells with any expression sum to 1, others are
        empty.
    genes
        Symbols of the columns, shape `(n_genes,)`.
    """

    matrix: sparse.csr_matrix
    genes: "StrArray"

    def __len__(self) -> int:
        return int(self.matrix.shape[0])


def gene_weights_of(expression: "GeneExpression", power: float) -> GeneWeights:
    """Log-normalised expression of each cell to some power, divided by its sum."""
    matrix = log_normalised_cells(expression.matrix).power(power)
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    shares = matrix.data / np.repeat(totals, np.diff(matrix.indptr))
    return GeneWeights(sparse.csr_matrix((shares, matrix.indices, matrix.indptr), matrix.shape), expression.genes)


def _log_normalised(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    per_value = np.repeat(_TARGET_SUM / np.maximum(totals, 1), np.diff(matrix.indptr))
    return sparse.csr_matrix((np.log1p(matrix.data * per_value), matrix.indices, matrix.indptr), matrix.shape)
