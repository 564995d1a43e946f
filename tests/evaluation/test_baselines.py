import logging
import warnings
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from scmpt_scverse.datasets import pbmc68k_reduced
from scmpt_scverse.evaluation import _celltypist, baseline_probabilities
from scmpt_scverse.evaluation._baselines import BASELINES
from scmpt_scverse.metrics import classification_metrics

CELLS = pbmc68k_reduced()
LABELS = CELLS.obs["bulk_labels"].astype(str).to_numpy()
IS_TEST = np.arange(CELLS.n_obs) % 3 == 0
#: What a baseline has to reach on these cells, well below what it does; majority is at 0.34.
FLOOR = {"logistic_regression": 0.8, "knn": 0.6, "pca_logistic_regression": 0.78, "pca_knn": 0.75, "celltypist": 0.8}


def _probabilities(baseline: str, rows: "np.ndarray | None" = None) -> pd.DataFrame:
    test = CELLS.X[IS_TEST]
    return baseline_probabilities(baseline, CELLS.X[~IS_TEST], LABELS[~IS_TEST], test if rows is None else test[rows])


@pytest.mark.parametrize("baseline", sorted(FLOOR))
def test_baselines_predict_real_cells(baseline: str) -> None:
    soft = _probabilities(baseline)

    assert soft.columns.tolist() == sorted(set(LABELS))
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-6)
    found = classification_metrics(LABELS[IS_TEST], soft.idxmax(axis=1))
    assert found["accuracy"] > FLOOR[baseline]


@pytest.mark.parametrize("baseline", sorted(FLOOR))
def test_a_prediction_does_not_depend_on_the_other_test_cells(baseline: str) -> None:
    """Nothing is learned from test cells: not the scale, not the genes, not the components."""
    few = np.array([7, 100, 3])
    np.testing.assert_allclose(_probabilities(baseline, few), _probabilities(baseline).iloc[few], atol=1e-5)


def test_majority_gives_the_shares_and_the_first_of_equals() -> None:
    soft = _probabilities("majority")
    shares = pd.Series(LABELS[~IS_TEST]).value_counts(normalize=True).sort_index()
    np.testing.assert_allclose(soft, np.tile(shares, (len(soft), 1)))
    features = np.array([[0.0], [1.0], [10.0], [11.0]])
    labels = ["low", "low", "high", "high"]
    linear = baseline_probabilities("logistic_regression", features, labels, features[[3, 0, 2]])
    assert linear.idxmax(axis=1).tolist() == ["high", "low", "high"]
    majority = baseline_probabilities("majority", features, labels, features[[3, 0, 2]])
    assert majority.idxmax(axis=1).tolist() == ["high"] * 3  # a tie: first in alphabetical order


def test_scale_of_a_feature_does_not_matter_and_sparse_stays_sparse() -> None:
    features = CELLS.X[:100]
    labels = pd.Series(["even", "odd"] * 50)
    scaled = sparse.csr_matrix(features.multiply(np.linspace(0.1, 10, features.shape[1])))

    predicted = [baseline_probabilities("logistic_regression", x, labels, x).idxmax(axis=1) for x in (features, scaled)]

    assert (predicted[0] == predicted[1]).mean() > 0.98


def test_few_cells_are_enough() -> None:
    for baseline in ("knn", "pca_knn", "pca_logistic_regression", "logistic_regression"):
        soft = baseline_probabilities(baseline, CELLS.X[:6], ["B", "T"] * 3, CELLS.X[6:8])
        assert soft.shape == (2, 2)


class _OneVersusRest(OneVsRestClassifier):
    """`LogisticRegression(multi_class="ovr")` as scikit-learn had it before 1.8, which CellTypist calls."""

    def __init__(self, estimator: Any = None, **options: Any) -> None:
        options = {name: value for name, value in options.items() if name not in {"multi_class", "n_jobs"}}
        super().__init__(estimator or LogisticRegression(tol=1e-8, **options))


@pytest.mark.parametrize("labels", [LABELS, np.where(LABELS == "Dendritic", "Dendritic", "other")])
def test_celltypist_is_that_of_the_package(labels: "np.ndarray", monkeypatch: pytest.MonkeyPatch) -> None:
    """Same steps as `celltypist.train`; both solved to a small tolerance, since they differ in coordinates."""
    celltypist = _imported_quietly()
    training, cells = import_module("celltypist.train"), CELLS.X.toarray()
    monkeypatch.setattr(training, "LogisticRegression", _OneVersusRest)
    monkeypatch.setattr(_celltypist, "LogisticRegression", partial(LogisticRegression, tol=1e-8))
    theirs = celltypist.train(
        cells[~IS_TEST], labels=labels[~IS_TEST], genes=CELLS.var_names, check_expression=False, n_jobs=1
    )
    genes = CELLS.var_names.get_indexer(theirs.classifier.features)
    scaled = np.minimum(theirs.scaler.transform(cells[IS_TEST][:, genes]), 10)
    _, expected, predicted = theirs.predict_labels_and_prob(scaled)

    soft = baseline_probabilities("celltypist", CELLS.X[~IS_TEST], labels[~IS_TEST], CELLS.X[IS_TEST])

    np.testing.assert_allclose(soft, expected / expected.sum(axis=1, keepdims=True), atol=1e-3)
    assert soft.idxmax(axis=1).tolist() == predicted.tolist()


def _imported_quietly() -> Any:
    """CellTypist configures logging for the whole program when imported."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        celltypist = pytest.importorskip("celltypist")
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("celltypist.logger").setLevel(logging.ERROR)
    return celltypist


@pytest.mark.slow
def test_scanvi_reads_counts_and_leaves_random_states_as_they_were() -> None:
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(np.expm1(CELLS.X.toarray())))  # counts of the same profiles
    state = np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002
    soft = baseline_probabilities("scanvi", counts[~IS_TEST], LABELS[~IS_TEST], counts[IS_TEST])
    assert classification_metrics(LABELS[IS_TEST], soft.idxmax(axis=1))["accuracy"] > 0.6
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], state)  # noqa: NPY002


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="at least two different labels to learn from; found 1"):
        baseline_probabilities("majority", np.eye(3), ["B", "B", "B"], np.eye(3))
    with pytest.raises(ValueError, match="Unknown `baseline='knnn'`. Choose one of .* Did you mean 'knn'?"):
        baseline_probabilities("knnn", np.eye(3), ["B", "B", "T"], np.eye(3))
    with pytest.raises(ValueError, match="Expected counts for the baseline 'scanvi'; found fractions"):
        baseline_probabilities("scanvi", CELLS.X, LABELS, CELLS.X)
    assert "majority" in BASELINES.names()
