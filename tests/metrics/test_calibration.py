import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from scmpt_scverse import metrics
from scmpt_scverse._types import FloatArray


@pytest.fixture
def probabilities() -> FloatArray:
    return np.random.default_rng(0).dirichlet([1, 1, 1], size=300)


@pytest.fixture
def truth(probabilities: FloatArray) -> list[str]:
    """Labels drawn from the very probabilities: perfectly calibrated, but for chance."""
    rng = np.random.default_rng(1)
    return ["BNT"[rng.choice(3, p=row)] for row in probabilities]


def test_values_by_hand() -> None:
    table = pd.DataFrame({"B": [0.9, 0.6, 0.3], "T": [0.1, 0.4, 0.7]})
    found = metrics.calibration_metrics(["B", "T", "T"], table, n_bins=2)
    assert found["ece"] == pytest.approx(abs((0.9 + 0.6 + 0.7) / 3 - 2 / 3))  # all three in (0.5, 1]
    assert found["brier"] == pytest.approx(2 * (0.1**2 + 0.6**2 + 0.3**2) / 3)
    assert found["nll"] == pytest.approx(-np.log([0.9, 0.4, 0.7]).mean())
    assert found["n_cells"] == 3


def test_nll_equals_scikit_learn_and_true_probabilities_are_calibrated(
    probabilities: FloatArray, truth: list[str]
) -> None:
    found = metrics.calibration_metrics(truth, probabilities, labels=list("BNT"))
    assert found["nll"] == pytest.approx(log_loss(truth, probabilities, labels=list("BNT")))
    sharpened = probabilities**4 / (probabilities**4).sum(axis=1, keepdims=True)
    worse = metrics.calibration_metrics(truth, sharpened, labels=list("BNT"))
    assert found["ece"] < 0.1 < worse["ece"]
    assert found["brier"] < worse["brier"]


def test_unknown_labels_count_as_wrong_and_unreadable_cells_do_not_count() -> None:
    table = pd.DataFrame({"B": [1.0, 1.0, np.nan], "T": [0.0, 0.0, np.nan]})
    found = metrics.calibration_metrics(["B", "a new one", "B"], table)
    assert found.to_dict() == {"ece": 0.5, "brier": 1.0, "nll": 0.0, "n_cells": 2, "n_unknown": 1, "n_unreadable": 1}


def test_values_equal_independent_formulas() -> None:
    """Brier and likelihood over a table of zeros and ones, calibration error over bins by hand."""
    table = pd.DataFrame({1: [0.2, 0.7, 0.5, 0.6], 2: [0.3, 0.2, 0.1, 0.1], 3: [0.5, 0.1, 0.4, 0.3]})
    found = metrics.calibration_metrics([3.0, 1.0, 2.0, 3.0], table, n_bins=5)
    p, truth = table.to_numpy(), np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert found["brier"] == pytest.approx(((p - truth) ** 2).sum() / 4)
    assert found["nll"] == pytest.approx(-(truth * np.log(p)).sum() / 4)
    # Confidences 0.5, 0.5 and 0.6 in (0.4, 0.6], one of three right; 0.7, right, in (0.6, 0.8].
    assert found["ece"] == pytest.approx(3 / 4 * abs(1.6 / 3 - 1 / 3) + 1 / 4 * abs(0.7 - 1))


def test_columns_and_truth_are_compared_as_text() -> None:
    """Integer clusters that arrive as floats on either side are the same labels."""
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    for truth in (["1", "2"], [1.0, 2.0], pd.Series([1, 2], dtype="Int64")):
        for columns in (["1", "2"], [1, 2], [1.0, 2.0], [b"1", b"2"]):
            found = metrics.calibration_metrics(truth, p, labels=columns)
            assert found["n_unknown"] == 0
            assert found["nll"] == pytest.approx(-np.log([0.9, 0.8]).mean())


def test_impossible_truth_is_infinitely_unlikely_and_unknown_alone_has_no_likelihood() -> None:
    table = pd.DataFrame({"B": [1.0], "T": [0.0]})
    assert metrics.calibration_metrics(["T"], table)["nll"] == np.inf
    assert np.isnan(metrics.calibration_metrics(["NK"], table)["nll"])


def test_rounded_rows_are_accepted_and_logits_are_not() -> None:
    metrics.calibration_metrics(["B"], pd.DataFrame({"B": [0.6009], "T": [0.4]}))
    with pytest.raises(ValueError, match="found others in 1 of 1 cells"):
        metrics.calibration_metrics(["B"], pd.DataFrame({"B": [0.602], "T": [0.4]}))
    with pytest.raises(ValueError, match="with sums such as '0.5'"):
        metrics.calibration_metrics(["B"], pd.DataFrame({"B": [0.4], "T": [0.1]}))
    partly = pd.DataFrame({"B": [0.6, np.nan], "T": [0.4, 0.4]})
    assert metrics.calibration_metrics(["B", "B"], partly)["n_unreadable"] == 1
    with pytest.raises(ValueError, match="`n_bins` must be a whole number"):
        metrics.calibration_metrics(["B"], pd.DataFrame({"B": [0.6], "T": [0.4]}), n_bins=0)


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        ([[0.5, 0.5]], None, "found an array without"),
        ([[0.5, 0.5], [0.5, 0.5]], ["B", "T"], r"1 cells and 2 labels; found shape \(2, 2\)"),
        ([[3.0, -2.0]], ["B", "T"], "rows that are at least 0 and sum to 1; found others in 1 of 1 cells"),
        ([[np.nan, np.nan]], ["B", "T"], "at least one cell with probabilities; found none among 1"),
    ],
)
def test_bad_probabilities(values: list[list[float]], labels: list[str] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.calibration_metrics(["B"], np.array(values), labels=labels)
