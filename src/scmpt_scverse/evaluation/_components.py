"""Principal components of variable genes, fitted on training cells only."""

import warnings
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from scipy import sparse

    from scmpt_scverse._types import FloatArray, IntArray

#: Standard deviations at which scaled expression is clipped, as is customary.
_LARGEST = 10.0


class VariableComponents(TransformerMixin, BaseEstimator):
    """The usual pipeline: variable genes, scaling if wanted, principal components.

    Parameters
    ----------
    n_genes
        Number of most variable genes to keep, by dispersion within bins of the mean; all expressed genes if there are
        no more.
    n_components
        Number of components, at most one less than the number of cells or genes.
    is_scaled
        Scale every gene to unit variance first.
    seed
        Seed of the solver.
    solver
        Of the decomposition, as for :class:`sklearn.decomposition.PCA`. `"arpack"` gives the same components whatever
        the order of the cells; `"auto"` takes a randomised one for many cells, which does not.
    """

    def __init__(
        self,
        n_genes: int = 2000,
        n_components: int = 50,
        *,
        is_scaled: bool = True,
        seed: int = 0,
        solver: Literal["auto", "arpack"] = "auto",
    ) -> None:
        self.n_genes = n_genes
        self.n_components = n_components
        self.is_scaled = is_scaled
        self.seed = seed
        self.solver = solver

    def fit(self, X: "sparse.csr_matrix", y: object = None) -> Self:
        """Select genes, and fit scale and components, on log-normalised expression of training cells."""
        self.genes_ = variable_genes(X, self.n_genes)
        self.scaler_ = StandardScaler(with_std=self.is_scaled).fit(X[:, self.genes_].toarray())
        scaled = self._scaled(X)
        n_components = min(self.n_components, min(scaled.shape) - 1)
        self.pca_ = PCA(n_components, svd_solver=self.solver, random_state=self.seed).fit(scaled)
        return self

    def transform(self, X: "sparse.csr_matrix") -> "FloatArray":
        """Components of any cells, shape `(n_obs, n_components)`."""
        components: FloatArray = self.pca_.transform(self._scaled(X))
        return components

    def _scaled(self, X: "sparse.csr_matrix") -> "FloatArray":
        scaled: FloatArray = np.minimum(self.scaler_.transform(X[:, self.genes_].toarray()), _LARGEST)
        return scaled


def variable_genes(expression: "sparse.csr_matrix", n_genes: int) -> "IntArray":
    """Columns of the most variable genes of log-normalised expression, ascending."""
    import scanpy as sc
    from anndata import AnnData

    is_expressed = np.asarray((expression != 0).sum(axis=0)).ravel() > 0
    expressed = np.flatnonzero(is_expressed)
    if len(expressed) <= n_genes:
        return expressed
    cells = AnnData(expression[:, expressed], var=pd.DataFrame(index=expressed.astype(str)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bins with one gene, and pandas deprecations in scanpy
        table = sc.pp.highly_variable_genes(cells, n_top_genes=n_genes, inplace=False)
    return expressed[table["highly_variable"].to_numpy()]
