"""Log-normalised expression from values of unknown scale, and gene weights computed from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, StrArray
    from scmpt_scverse.pp._expression import GeneExpression

#: Logarithms of expression stay below this; larger or whole numbers are counts, TPM or RPKM.
LARGEST_LOGARITHM = 50.0
TARGET_SUM = 1e4


@dataclass(frozen=True)
class Normalisation:
    """Log-normalisation to 10,000 per cell, unless the values are logarithms already."""

    is_logarithmic: bool

    @classmethod
    def of(cls, matrix: sparse.csr_matrix) -> "Normalisation":
        """Decide from the values of some cells."""
        values = matrix.data
        return cls(bool(values.size and values.max() < LARGEST_LOGARITHM and np.any(values != np.rint(values))))

    def __call__(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        """Log-normalised float32 expression, shape as given."""
        matrix = matrix.astype(np.float32)
        return matrix if self.is_logarithmic else _log_normalised(matrix)


def log_normalised_cells(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Log-normalised float32 expression; whether a cell holds logarithms is decided from its own values only."""
    matrix = matrix.astype(np.float32)
    values = np.where(_logarithms(matrix), matrix.data, _log_normalised(matrix).data)
    return sparse.csr_matrix((values, matrix.indices, matrix.indptr), matrix.shape)


def _logarithms(matrix: sparse.csr_matrix) -> "BoolArray":
    """Which values are logarithms, decided cell by cell; shape `(n_values,)`."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    has_fractions = np.bincount(row, matrix.data != np.rint(matrix.data), matrix.shape[0]) > 0
    is_logarithmic = has_fractions & (matrix.max(axis=1).toarray().ravel() < LARGEST_LOGARITHM)
    return np.asarray(is_logarithmic[row])


def are_linear(chunks: Iterable[sparse.csr_matrix]) -> bool:
    """Whether values are neither counts nor logarithms: some are fractions, and some too large for a logarithm."""
    has_fractions, largest = False, 0.0
    for matrix in chunks:
        has_fractions |= bool(np.any(matrix.data != np.rint(matrix.data)))
        largest = max(largest, float(matrix.data.max(initial=0)))
    return has_fractions and largest >= LARGEST_LOGARITHM


def log_normalised(matrix: sparse.csr_matrix, *, is_linear: bool) -> sparse.csr_matrix:
    """Log-normalised float32 expression, given what :func:`are_linear` found for the training data.

    If these are linear, so is every cell, even if its values look like logarithms; otherwise this is decided from the
    values of each cell.
    """
    return Normalisation(is_logarithmic=False)(matrix) if is_linear else log_normalised_cells(matrix)


@dataclass(frozen=True)
class ExpressionScale:
    """How values become log-normalised expression, as decided on the training cells.

    Attributes
    ----------
    is_linear
        Whether the training data are neither counts nor logarithms (:func:`are_linear`).
    total
        Total of every cell before the logarithm, over the genes that are read. `None` is 10,000, and leaves cells of
        logarithms unchanged, whatever genes they were normalised over. With about a hundred counts per cell, as on a
        panel, 10,000 would turn one count into 4.6 and two into 5.3, and logarithms of a cell would be on another scale
        than its counts.
    """

    is_linear: bool
    total: float | None = None

    @classmethod
    def of_panel(cls, chunks: Iterable[sparse.csr_matrix], *, is_linear: bool) -> Self:
        """The scale for a panel: the median total of the cells, at most 10,000."""
        totals = np.concatenate([_linear_totals(matrix, _linear(matrix, is_linear=is_linear)) for matrix in chunks])
        return cls(is_linear, min(TARGET_SUM, float(np.median(totals[totals > 0]))))

    def __call__(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        """Log-normalised float32 expression, shape as given."""
        if self.total is None:
            return log_normalised(matrix, is_linear=self.is_linear)
        values = _linear(matrix, is_linear=self.is_linear)
        totals = _linear_totals(matrix, values)
        factors = np.divide(self.total, totals, out=np.zeros_like(totals), where=totals > 0)
        values = np.log1p(values * np.repeat(factors, np.diff(matrix.indptr))).astype(np.float32)
        return sparse.csr_matrix((values, matrix.indices, matrix.indptr), matrix.shape)


def _linear(matrix: sparse.csr_matrix, *, is_linear: bool) -> "FloatArray":
    """Values with any logarithm undone, shape `(n_values,)`."""
    values = matrix.data.astype(np.float64)
    if not is_linear:
        logarithms = _logarithms(matrix.astype(np.float32))
        values[logarithms] = np.expm1(values[logarithms])
    return values


def _linear_totals(matrix: sparse.csr_matrix, values: "FloatArray") -> "FloatArray":
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return np.bincount(row, values, matrix.shape[0]).astype(np.float64)  # without values, bincount returns integers


@dataclass(frozen=True)
class GeneWeights:
    """Weights of genes in some cells.

    Attributes
    ----------
    matrix
        Positive float32 CSR, shape `(n_obs, n_genes)`. Rows sum to 1; those of cells without expression are empty.
    genes
        Symbols of the columns, shape `(n_genes,)`.
    """

    matrix: sparse.csr_matrix
    genes: "StrArray"

    def __len__(self) -> int:
        return int(self.matrix.shape[0])


def gene_weights_of(expression: "GeneExpression", power: float) -> GeneWeights:
    """Log-normalised expression of each cell raised to `power`, divided by its sum."""
    matrix = log_normalised_cells(expression.matrix).power(power)
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    shares = matrix.data / np.repeat(totals, np.diff(matrix.indptr))
    return GeneWeights(sparse.csr_matrix((shares, matrix.indices, matrix.indptr), matrix.shape), expression.genes)


def _log_normalised(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    per_value = np.repeat(TARGET_SUM / np.maximum(totals, 1), np.diff(matrix.indptr))
    return sparse.csr_matrix((np.log1p(matrix.data * per_value), matrix.indices, matrix.indptr), matrix.shape)
