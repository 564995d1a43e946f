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


def test_figures_by_hand() -> None:
    table = pd.DataFrame({"B": [0.9, 0.6, 0.3], "T": [0.1, 0.4, 0.7]})
    figures = metrics.calibration_metrics(["B", "T", "T"], table, n_bins=2)
    assert figures["ece"] == pytest.approx(abs((0.9 + 0.6 + 0.7) / 3 - 2 / 3))  # all three in (0.5, 1]
    assert figures["brier"] == pytest.approx(2 * (0.1**2 + 0.6**2 + 0.3**2) / 3)
    assert figures["nll"] == pytest.approx(-np.log([0.9, 0.4, 0.7]).mean())
    assert figures["n_cells"] == 3


def test_nll_equals_scikit_learn_and_true_probabilities_are_calibrated(
    probabilities: FloatArray, truth: list[str]
) -> None:
    figures = metrics.calibration_metrics(truth, probabilities, labels=list("BNT"))
    assert figures["nll"] == pytest.approx(log_loss(truth, probabilities, labels=list("BNT")))
    sharpened = probabilities**4 / (probabilities**4).sum(axis=1, keepdims=True)
    worse = metrics.calibration_metrics(truth, sharpened, labels=list("BNT"))
    assert figures["ece"] < 0.1 < worse["ece"]
    assert figures["brier"] < worse["brier"]


def test_unknown_labels_count_as_wrong_and_unreadable_cells_do_not_count() -> None:
    table = pd.DataFrame({"B": [1.0, 1.0, np.nan], "T": [0.0, 0.0, np.nan]})
    figures = metrics.calibration_metrics(["B", "a new one", "B"], table)
    assert figures.to_dict() == {"ece": 0.5, "brier": 1.0, "nll": 0.0, "n_cells": 2, "n_unknown": 1, "n_unreadable": 1}


def test_curve_holds_every_cell_once(probabilities: FloatArray, truth: list[str]) -> None:
    curve = metrics.reliability_curve(truth, probabilities, labels=list("BNT"), n_bins=5)
    assert curve["n_cells"].sum() == 300
    inside = [confidence in interval for interval, confidence in curve["confidence"].items()]
    assert all(inside)
    certain = metrics.reliability_curve(["B"], np.array([[1.0, 0.0]]), labels=["B", "T"])
    assert certain.index[0].right == 1.0
    assert certain.loc[certain.index[0]].tolist() == [1.0, 1.0, 1.0]


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
