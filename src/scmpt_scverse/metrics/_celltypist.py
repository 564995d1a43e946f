"""CellTypist, trained on the training cells of a split."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, Self
from unittest import mock

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from scmpt_scverse._optional import import_optional
from scmpt_scverse.metrics._rotation import Rotation

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, StrArray

#: Standard deviations at which CellTypist cuts scaled expression.
_LARGEST = 10.0


class CellTypistClassifier(ClassifierMixin, BaseEstimator):
    """`celltypist.train` with its defaults :cite:p:`dominguezconde2022celltypist`, as a classifier of scikit-learn.

    Notes
    -----
    CellTypist gives each label a probability of its own; here they are divided by their sum, which does not change the
    predicted label. What checks that the cells are log-normalised to 10,000 counts is off, because data sets of chosen
    genes, or on another scale, would not pass.
    """

    def fit(self, X: "sparse.csr_matrix", y: "StrArray") -> Self:
        """Train on log-normalised expression."""
        with _quiet():
            celltypist = import_optional("celltypist", extra="baselines", purpose="The baseline 'celltypist'")
            training = import_module("celltypist.train")
            genes = np.arange(X.shape[1]).astype(str)
            with mock.patch.object(training, "LogisticRegression", _classifier_for(training)):
                self.model_ = celltypist.train(X.toarray(), labels=y, genes=genes, check_expression=False, n_jobs=1)
        self.classes_ = self.model_.classifier.classes_
        return self

    def predict_proba(self, X: "sparse.csr_matrix") -> "FloatArray":
        """Probabilities of shape `(n_obs, n_labels)`, rows sum to 1."""
        genes = np.asarray(self.model_.classifier.features, dtype=np.int64)
        scaled = np.minimum(self.model_.scaler.transform(X[:, genes].toarray()), _LARGEST)
        _, own, _ = self.model_.predict_labels_and_prob(scaled)
        probabilities: FloatArray = own / own.sum(axis=1, keepdims=True)
        return probabilities


class _OneVersusRest(LogisticRegression):
    """What `LogisticRegression(multi_class="ovr")` was before scikit-learn 1.8."""

    def __init__(self, *, C: float, solver: str, max_iter: int, multi_class: str, n_jobs: int | None = None) -> None:
        super().__init__(C=C, solver=solver, max_iter=max_iter, n_jobs=n_jobs)
        self.multi_class = multi_class

    def fit(self, X: "FloatArray", y: "StrArray") -> Self:
        """One classifier for each label, on cells that are rotated once for all."""
        rotation = Rotation.of(X)
        one = LogisticRegression(C=self.C, solver=self.solver, max_iter=self.max_iter)
        classifiers = OneVsRestClassifier(one).fit(rotation.coordinates, y)
        self.classes_ = classifiers.classes_
        self.coef_, at_origin = rotation.back(np.vstack([each.coef_ for each in classifiers.estimators_]))
        self.intercept_ = np.concatenate([each.intercept_ for each in classifiers.estimators_]) + at_origin
        return self


def _classifier_for(training: Any) -> type[LogisticRegression]:
    """The classifier of CellTypist, or its like where scikit-learn dropped an argument that CellTypist 1.7.1 passes."""
    own: type[LogisticRegression] = training.LogisticRegression
    return own if "multi_class" in signature(own).parameters else _OneVersusRest


@contextmanager
def _quiet() -> Iterator[None]:
    """CellTypist prints, calls what others deprecate, and configures logging for the whole program when imported."""
    root, own = logging.getLogger(), logging.getLogger("celltypist.logger")
    handlers, root_level, own_level = list(root.handlers), root.level, own.level
    own.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(root_level)
        own.setLevel(own_level)
