"""Bring expression of unknown scale to log-normalised values, for what is computed beside the encoders."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

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


def _log_normalised(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    per_value = np.repeat(_TARGET_SUM / np.maximum(totals, 1), np.diff(matrix.indptr))
    return sparse.csr_matrix((np.log1p(matrix.data * per_value), matrix.indices, matrix.indptr), matrix.shape)
