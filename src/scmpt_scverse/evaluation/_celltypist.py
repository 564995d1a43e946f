"""CellTypist's classifier, trained on the training cells of a split."""

from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from scmpt_scverse.evaluation._rotation import Rotation

if TYPE_CHECKING:
    from scipy import sparse

    from scmpt_scverse._types import FloatArray, StrArray

#: Standard deviations above which CellTypist clips scaled expression.
_LARGEST = 10.0
#: CellTypist's default for fewer than 50,000 cells.
_MAX_ITER = 1000


class CellTypistClassifier(ClassifierMixin, BaseEstimator):
    """What `celltypist.train` fits with its defaults :cite:p:`dominguezconde2022celltypist`, with scikit-learn only.

    Notes
    -----
    Follows `celltypist/train.py` and `celltypist/models.py` of release 1.7.1, which itself cannot run with
    scikit-learn 1.8 or newer: it passes an argument that was removed. Scaled, clipped expression, and one logistic
    regression for each label. CellTypist gives each label a probability of its own; here they are divided by their sum,
    which does not change the predicted label. CellTypist requires cells normalised to 10,000 counts; here this is not
    checked, since data sets of selected genes would not pass.
    """

    def fit(self, X: "sparse.csr_matrix", y: "StrArray") -> Self:
        """Train on log-normalised expression."""
        self.genes_ = np.flatnonzero(np.asarray(X.sum(axis=0)).ravel() != 0)
        self.scaler_ = StandardScaler().fit(X[:, self.genes_].toarray())
        rotation = Rotation.of(self._scaled(X))
        each_label = OneVsRestClassifier(LogisticRegression(max_iter=_MAX_ITER)).fit(rotation.coordinates, y)
        self.classes_ = each_label.classes_
        # Back to genes, so that a test cell is not compared with every training cell.
        self.coef_, at_origin = rotation.back(np.vstack([each.coef_ for each in each_label.estimators_]))
        self.intercept_ = np.concatenate([each.intercept_ for each in each_label.estimators_]) + at_origin
        return self

    def predict_proba(self, X: "sparse.csr_matrix") -> "FloatArray":
        """Probabilities of shape `(n_obs, n_labels)`, rows sum to 1."""
        scores = self._scaled(X) @ self.coef_.T + self.intercept_  # (n_obs, n_labels), one column for two labels
        if scores.shape[1] == 1:
            scores = np.hstack([-scores, scores])
        own = expit(scores)
        probabilities: FloatArray = own / own.sum(axis=1, keepdims=True)
        return probabilities

    def _scaled(self, X: "sparse.csr_matrix") -> "FloatArray":
        scaled: FloatArray = np.minimum(self.scaler_.transform(X[:, self.genes_].toarray()), _LARGEST)
        return scaled
