"""Score cells against gene profiles: how far each cell is from the mean, in the direction of a profile."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray


#: Avoids division by zero for a cell at the mean, which has no direction.
_SMALLEST_SQUARE = 1e-12


@dataclass(frozen=True)
class Standardisation:
    """Mean and scale of each gene over cells.

    Attributes
    ----------
    mean
        Shape `(n_genes,)`.
    scale
        Standard deviation plus the median over genes, so that a gene expressed in three cells does not outweigh all
        others :cite:p:`tusher2001sam`; 0 for a gene that does not vary. Shape `(n_genes,)`.
    """

    mean: "FloatArray"
    scale: "FloatArray"

    @classmethod
    def of(cls, chunks: "Iterable[sparse.csr_matrix]") -> Self:
        """From log-normalised expression, chunk by chunk, each of shape `(n_obs, n_genes)`."""
        n_obs = 0
        sums: FloatArray = np.zeros(1)
        squares: FloatArray = np.zeros(1)
        for matrix in chunks:
            n_obs += matrix.shape[0]
            matrix = matrix.astype(np.float64)  # in float32, a constant gene would seem to vary
            sums = sums + np.asarray(matrix.sum(axis=0)).ravel()
            squares = squares + np.asarray(matrix.power(2).sum(axis=0)).ravel()
        mean = sums / n_obs
        deviation = np.sqrt(np.maximum(squares / n_obs - mean**2, 0))
        varies = deviation > 1e-6 * np.maximum(mean, 1)
        floor = np.median(deviation[varies]) if varies.any() else 0.0
        return cls(mean, np.where(varies, deviation + floor, 0.0))

    @classmethod
    def average(cls, parts: Sequence[Self]) -> Self:
        """Mean over studies; for each gene, over the studies in which it varies."""
        known = np.stack([each.varies for each in parts])
        n_known = np.maximum(known.sum(axis=0), 1)
        mean, scale = (
            np.where(known, np.stack(values), 0).sum(axis=0) / n_known
            for values in ([each.mean for each in parts], [each.scale for each in parts])
        )
        return cls(mean, scale)

    def toward(self, other: Self, share: float) -> Self:
        """Moved by a `share` in [0, 1] of the way to another; a gene that varies in only one has its values."""
        both = self.varies & other.varies
        part = np.where(both, share, np.where(self.varies, 0.0, 1.0))
        return type(self)((1 - part) * self.mean + part * other.mean, (1 - part) * self.scale + part * other.scale)

    def of_genes(self, is_used: "BoolArray") -> Self:
        """The same for some genes; others are treated as constant."""
        return type(self)(self.mean, np.where(is_used, self.scale, 0.0))

    @property
    def varies(self) -> "BoolArray":
        """Which genes vary, shape `(n_genes,)`."""
        return self.scale > 0

    def dense(self, matrix: sparse.csr_matrix) -> "FloatArray":
        """Standardised expression, float32 of shape `(n_obs, n_genes)`; 0 where a gene does not vary."""
        values = (matrix.toarray() - self.mean) * self._inverse
        return values.astype(np.float32)

    def scores(self, matrix: sparse.csr_matrix, profiles: "FloatArray") -> "FloatArray":
        """Products of profiles `(n_profiles, n_genes)` with standardised cells scaled to length 1; never densifies.

        Returns
        -------
        Shape `(n_obs, n_profiles)`; the cosine similarity if a profile has length 1. Linear in the standardised cell
        apart from its length, so a gene contributes its standardised value times its weight in the profile, divided by
        that length.
        """
        return self.scorer(profiles)(matrix)

    def scorer(self, profiles: "FloatArray") -> "Callable[[sparse.csr_matrix], FloatArray]":
        """A function that gives :meth:`scores` for these profiles; float32 for float32 profiles, else float64."""
        dtype = np.float32 if profiles.dtype == np.float32 else np.float64
        scaled = np.asarray(profiles, dtype=np.float64) * self._inverse
        offsets = scaled @ self.mean
        weights = np.ascontiguousarray(scaled.T, dtype=dtype)  # (n_genes, n_profiles)
        return lambda matrix: np.divide(matrix @ weights - offsets, self.lengths(matrix)[:, None])

    def lengths(self, matrix: sparse.csr_matrix) -> "FloatArray":
        """Length of each standardised cell, shape `(n_obs,)`."""
        lengths: FloatArray = np.sqrt(np.maximum(self._squares(matrix, self._inverse**2), _SMALLEST_SQUARE))
        return lengths

    def moments(self, matrix: sparse.csr_matrix, weights: "FloatArray") -> "tuple[FloatArray, FloatArray]":
        """Weighted sums of standardised values, and of their squares, in each cell; never densifies.

        `weights` are of shape `(n_sums, n_genes)`, both results of shape `(n_obs, n_sums)`.
        """
        scaled = (weights * self._inverse).T
        return matrix @ scaled - self.mean @ scaled, self._squares(matrix, (weights * self._inverse**2).T)

    def _squares(self, matrix: sparse.csr_matrix, precision: "FloatArray") -> "FloatArray":
        """Sums over genes of squared distances to the mean times `precision`, `(n_genes,)` or `(n_genes, n_sums)`."""
        mixed = matrix @ (precision.T * self.mean).T
        squares: FloatArray = matrix.power(2) @ precision - 2 * mixed + self.mean**2 @ precision
        return squares

    @property
    def _inverse(self) -> "FloatArray":
        return np.divide(1.0, self.scale, out=np.zeros_like(self.scale), where=self.varies)
