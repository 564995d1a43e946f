"""scANVI, trained on the training cells of a split."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

from scmpt_scverse.evaluation._components import variable_genes

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy import sparse

    from scmpt_scverse._types import FloatArray, StrArray

_LABELS_KEY, _UNLABELED = "label", "unlabeled"


class ScanviClassifier(ClassifierMixin, BaseEstimator):
    """:class:`scvi.model.SCANVI` on variable genes :cite:p:`xu2021scanvi`, as a classifier of scikit-learn.

    Parameters
    ----------
    n_genes
        Number of most variable genes to keep.
    max_epochs, max_epochs_labels
        Epochs of scVI, and then of scANVI. Fewer than scvi-tools takes for small data sets, so that a split takes about
        a minute.
    seed
        Seed of weights and batches.
    """

    def __init__(self, n_genes: int = 2000, max_epochs: int = 60, max_epochs_labels: int = 20, seed: int = 0) -> None:
        self.n_genes = n_genes
        self.max_epochs = max_epochs
        self.max_epochs_labels = max_epochs_labels
        self.seed = seed

    def fit(self, X: "sparse.csr_matrix", y: "StrArray") -> Self:
        """Train on counts; `ValueError` for fractions."""
        if np.any(X.data != np.rint(X.data)):
            raise ValueError(
                "Expected counts for the baseline 'scanvi'; found fractions. Leave the baseline out, or pass counts."
            )
        from scvi.model import SCANVI, SCVI

        self.genes_ = _variable_genes_of_counts(X, self.n_genes)
        cells = self._cells(X)
        cells.obs[_LABELS_KEY] = pd.Categorical(y)
        with _own_random_state(self.seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of third parties: workers, sizes of the last batch
            SCVI.setup_anndata(cells, labels_key=_LABELS_KEY)
            unsupervised = SCVI(cells)
            unsupervised.train(self.max_epochs, accelerator="cpu", enable_progress_bar=False)
            self.model_ = SCANVI.from_scvi_model(unsupervised, unlabeled_category=_UNLABELED)
            self.model_.train(self.max_epochs_labels, accelerator="cpu", enable_progress_bar=False)
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: "sparse.csr_matrix") -> "FloatArray":
        """Probabilities of shape `(n_obs, n_labels)`, rows sum to 1."""
        cells = self._cells(X)
        cells.obs[_LABELS_KEY] = pd.Categorical([_UNLABELED] * cells.n_obs)
        with _own_random_state(self.seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            soft = self.model_.predict(cells, soft=True)
        probabilities: FloatArray = soft[list(self.classes_)].to_numpy()
        return probabilities

    def _cells(self, counts: "sparse.csr_matrix") -> "AnnData":
        from anndata import AnnData

        names = [f"cell{i}" for i in range(counts.shape[0])]
        return AnnData(
            counts[:, self.genes_].astype(np.float32),
            obs=pd.DataFrame(index=names),
            var=pd.DataFrame(index=self.genes_.astype(str)),
        )


def _variable_genes_of_counts(counts: "sparse.csr_matrix", n_genes: int) -> "np.ndarray":
    totals = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    logarithms = counts.astype(np.float32).multiply(1e4 / totals[:, None]).tocsr()
    return variable_genes(logarithms.log1p(), n_genes)


@contextmanager
def _own_random_state(seed: int) -> Iterator[None]:
    """scvi-tools seeds every global generator; restore them afterwards."""
    import scvi
    import torch

    own_seed, numpy_state, python_state = scvi.settings.seed, np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            scvi.settings.seed = seed
            yield
    finally:
        scvi.settings._seed = own_seed
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
