"""Logistic regression of few cells on many genes, solved in the space that the cells span.

With a penalty on squared weights, every solution is a combination of the training cells. So the cells can be rotated
into as many coordinates as there are cells without changing any prediction, which makes the solver's steps cheaper.

scikit-learn has the same rotation as `KernelPCA(kernel="linear")` and `PCA(svd_solver="full")`. For 1,280 cells of
8,000 genes, fit and prediction take 0.3 s here, 0.9 s with the former and 2.6 s with the latter; for 2,400 cells of
15,000 genes 1.1 s here and 14 s with the latter (one core).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse
from scipy.linalg import lapack, solve_triangular
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray, StrArray


@dataclass(frozen=True)
class Rotation:
    """Centred cells in coordinates of their own span, and the way back.

    Attributes
    ----------
    coordinates
        Coordinates of each cell, shape `(n_obs, rank)`; distances and angles are those of the centred cells.
    """

    coordinates: "FloatArray"
    _features: "FloatArray | sparse.csr_matrix"
    _mean: "FloatArray"
    _pivots: "IntArray"

    @classmethod
    def of(cls, features: "FloatArray | sparse.csr_matrix") -> Self:
        """Rotate cells, shape `(n_obs, n_features)`; sparse is not densified."""
        product: Any = features @ features.T
        gram = (product.toarray() if sparse.issparse(product) else product).astype(np.float64)
        gram -= gram.mean(axis=0)
        gram -= gram.mean(axis=1, keepdims=True)
        # Cholesky with pivoting, because centred cells do not have full rank.
        factor, pivots, rank, _ = lapack.dpstrf(gram, lower=1, tol=1e-9 * gram.diagonal().max())
        pivots = pivots - 1
        coordinates = np.empty((len(gram), rank))
        coordinates[pivots] = np.tril(factor)[:, :rank]
        mean = np.asarray(features.mean(axis=0), dtype=np.float64).ravel()
        return cls(coordinates, features, mean, pivots[:rank])

    def back(self, weights: "FloatArray") -> "tuple[FloatArray, FloatArray]":
        """Weights of coordinates, `(n_outputs, rank)`, as weights of features, with the intercepts that these need."""
        triangle = self.coordinates[self._pivots]
        of_cells = solve_triangular(triangle, weights.T, lower=True, trans="T").T
        of_features = np.asarray(of_cells @ self._features[self._pivots])
        of_features -= of_cells.sum(axis=1, keepdims=True) * self._mean
        return of_features, -of_features @ self._mean


class RotatedLogisticRegression(LogisticRegression):
    """:class:`sklearn.linear_model.LogisticRegression` with its default penalty, faster where features outnumber cells.

    Parameters
    ----------
    C, max_iter, tol
        As in scikit-learn. Its default tolerance stops so early that probabilities are off by several hundredths, and
        differently in other coordinates; the default here is small enough for both to reach the same solution.
    """

    coef_: "FloatArray"
    intercept_: "FloatArray"

    def __init__(self, *, C: float = 1.0, max_iter: int = 2000, tol: float = 1e-6) -> None:
        super().__init__(C=C, max_iter=max_iter, tol=tol)

    def fit(self, X: "FloatArray | sparse.csr_matrix", y: "StrArray", sample_weight: Any = None) -> Self:
        """Fit; the same weights as scikit-learn's up to the tolerance of the solver."""
        if X.shape[0] >= X.shape[1]:
            super().fit(X, y, sample_weight)
            return self
        rotation = Rotation.of(X)
        super().fit(rotation.coordinates, y, sample_weight)
        self.coef_, at_origin = rotation.back(self.coef_)
        self.intercept_ = self.intercept_ + at_origin
        self.n_features_in_ = X.shape[1]
        return self
