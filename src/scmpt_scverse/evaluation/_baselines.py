"""Simple predictors to compare a model with, trained on the same cells."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from scmpt_scverse._checks import check_same_cells, check_seed, checked_numbers, list_some
from scmpt_scverse._labels import checked_labels, warn_of_doubtful_labels
from scmpt_scverse._registry import Registry
from scmpt_scverse.evaluation._components import VariableComponents
from scmpt_scverse.evaluation._rotation import RotatedLogisticRegression

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import FloatArray, StrArray

_HERE = "scmpt_scverse.evaluation._baselines"
#: Each entry is a function from a seed to a classifier with the interface of scikit-learn.
BASELINES = Registry(
    "baseline",
    {
        "majority": f"{_HERE}:_majority",
        "logistic_regression": f"{_HERE}:_logistic_regression",
        "knn": f"{_HERE}:_knn",
        "expression_logistic_regression": f"{_HERE}:_logistic_regression",
        "pca_logistic_regression": f"{_HERE}:_pca_logistic_regression",
        "pca_knn": f"{_HERE}:_pca_knn",
        "celltypist": f"{_HERE}:_celltypist",
        "scanvi": f"{_HERE}:_scanvi",
    },
)
#: Baselines that read counts; all others read features, log-normalised where these are expression.
COUNT_BASELINES = frozenset({"scanvi"})
_N_NEIGHBORS = 15


def baseline_probabilities(
    baseline: str,
    train_features: "FloatArray | sparse.csr_matrix",
    train_labels: "ArrayLike",
    test_features: "FloatArray | sparse.csr_matrix",
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Train a simple predictor on some cells and predict others.

    Parameters
    ----------
    baseline
        What to train:

        `"majority"`
            The shares of the labels among the training cells, for every cell.
        `"logistic_regression"`, `"knn"`
            Logistic regression on standardised features, or the 15 nearest neighbours; on embeddings or expression.
        `"expression_logistic_regression"`
            The same as `"logistic_regression"`; where a model is evaluated, it reads the expression of all genes.
        `"pca_logistic_regression"`, `"pca_knn"`
            Logistic regression or the 15 nearest neighbours on 50 principal components of the 2,000 most variable
            genes; genes are scaled for the former and not for the latter, which is better for each.
        `"celltypist"`
            CellTypist :cite:p:`dominguezconde2022celltypist` with its defaults: one logistic
            regression per label on scaled, clipped expression.
        `"scanvi"`
            scANVI :cite:p:`xu2021scanvi` on counts; takes about a minute for a few thousand cells.
    train_features
        Expression or embeddings of the training cells, shape `(n_train, n_features)`; sparse stays sparse. Expression
        is log-normalised, except that `"scanvi"` reads counts.
    train_labels
        Their labels, shape `(n_train,)`.
    test_features
        The same features of the test cells, shape `(n_test, n_features)`.
    seed
        Seed of the random number generators.

    Returns
    -------
    DataFrame `(n_test, n_labels)` of probabilities, one row per test cell in order, one column per training label in
    alphabetical order; rows sum to 1.

    Raises
    ------
    TypeError
        Features are not numbers, or `train_labels` is not a column of labels.
    ValueError
        The baseline is unknown, features are not finite, the features or their order differ between training and test
        cells, lengths differ, a label is missing, there are fewer than two labels, or a baseline that reads counts gets
        fractions.

    Warns
    -----
    UserWarning
        Labels read like missing values, or differ only in how they are spelled.

    Notes
    -----
    Standardisation, choice of genes, components and classifier are fitted on the training cells only. Where features
    outnumber cells, logistic regression is solved in the space that the cells span, which is faster and has the same
    solution.

    Examples
    --------
    >>> from scmpt_scverse import datasets, evaluation
    >>> adata = datasets.pbmc68k_reduced()
    >>> train, test = evaluation.cell_splits(adata.obs["bulk_labels"])[0]
    >>> labels = adata.obs["bulk_labels"].to_numpy()
    >>> soft = evaluation.baseline_probabilities("pca_knn", adata.X[train], labels[train], adata.X[test])
    >>> soft.shape
    (140, 10)
    """
    check_seed(seed)
    labels = checked_labels(train_labels, "train_labels")
    train = _checked_features(train_features, "train_features")
    test = _checked_features(test_features, "test_features")
    if train.shape != (len(labels), test.shape[1]):
        raise ValueError(
            f"Expected features of {len(labels)} labelled cells, and the same ones of the test cells; found shapes "
            f"{train.shape} and {test.shape}. Pass the same columns of both."
        )
    check_same_cells(train_features, train_labels, ("train_features", "train_labels"))
    names, others = (getattr(features, "columns", None) for features in (train_features, test_features))
    if names is not None and others is not None and list(names) != list(others):
        raise ValueError(
            f"Expected the same features of training and test cells, in the same order; found {list_some(names, 3)} "
            f"and {list_some(others, 3)}. Pass `test_features[train_features.columns]`."
        )
    warn_of_doubtful_labels(labels, "train_labels")
    return predicted_by(baseline, train, labels, test, seed=seed)


def predicted_by(
    baseline: str,
    train_features: "FloatArray | sparse.csr_matrix",
    labels: "StrArray",
    test_features: "FloatArray | sparse.csr_matrix",
    *,
    seed: int,
) -> pd.DataFrame:
    """:func:`baseline_probabilities` for checked features and labels as text, without further warnings."""
    classifier = BASELINES.load(baseline)(seed)
    n_labels = len(np.unique(labels))
    if n_labels < 2:
        raise ValueError(
            f"Expected at least two different labels to learn from; found {n_labels}. Pass more labelled cells."
        )
    classifier.fit(train_features, labels)
    return pd.DataFrame(classifier.predict_proba(test_features), columns=pd.Index(classifier.classes_.astype(object)))


def _checked_features(features: Any, argument: str) -> "FloatArray | sparse.csr_matrix":
    """Features as the user gave them, an array or a sparse matrix of finite numbers, `(n_obs, n_features)`."""
    if sparse.issparse(features) and features.dtype.kind in "biuf":
        found, values = features, features.data
    else:
        found = values = checked_numbers(features, argument, ndim=2)
    if not np.isfinite(values).all():
        raise ValueError(
            f"Expected finite values in `{argument}`; found NaN or infinite ones. Leave out cells that could not be "
            "embedded."
        )
    return found


class _Standardised(StandardScaler):
    """Standardisation that leaves sparse features sparse, by not centring them."""

    def fit(self, X: "FloatArray | sparse.csr_matrix", y: object = None, sample_weight: Any = None) -> "_Standardised":
        self.with_mean = not sparse.issparse(X)
        super().fit(X, y, sample_weight)
        return self


class _Neighbors(KNeighborsClassifier):
    """Nearest neighbours: 15, or all training cells where there are fewer."""

    def fit(self, X: "FloatArray", y: "StrArray") -> "_Neighbors":
        self.n_neighbors = min(_N_NEIGHBORS, len(y))
        super().fit(X, y)
        return self


def _majority(seed: int) -> DummyClassifier:
    return DummyClassifier(strategy="prior")


def _logistic_regression(seed: int) -> Pipeline:
    return make_pipeline(_Standardised(), RotatedLogisticRegression())


def _knn(seed: int) -> KNeighborsClassifier:
    return _Neighbors()


def _pca_logistic_regression(seed: int) -> Pipeline:
    return make_pipeline(VariableComponents(seed=seed), RotatedLogisticRegression())


def _pca_knn(seed: int) -> Pipeline:
    return make_pipeline(VariableComponents(is_scaled=False, seed=seed), _Neighbors())


def _celltypist(seed: int) -> Any:
    from scmpt_scverse.evaluation._celltypist import CellTypistClassifier

    return CellTypistClassifier()


def _scanvi(seed: int) -> Any:
    from scmpt_scverse.evaluation._scanvi import ScanviClassifier

    return ScanviClassifier(seed=seed)
