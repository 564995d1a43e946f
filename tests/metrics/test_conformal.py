import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scmpt_scverse import metrics


def _cells(n: int, seed: int) -> tuple[list[str], pd.DataFrame]:
    """Labels drawn from other probabilities than those claimed: conformal sets need no calibration."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet([0.3, 0.3, 0.3, 0.3], size=n)
    claimed = true**3 / (true**3).sum(axis=1, keepdims=True)
    return ["BDNT"[rng.choice(4, p=row)] for row in true], pd.DataFrame(claimed, columns=list("BDNT"))


def _covered(truth: list[str], sets: pd.DataFrame) -> float:
    return float(np.mean([sets.iloc[i][label] for i, label in enumerate(truth)]))


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_coverage_is_nominal_on_new_cells(alpha: float) -> None:
    coverage = []
    for seed in range(40):
        truth, claimed = _cells(400, seed)
        threshold = metrics.conformal_threshold(claimed[:200], truth[:200], alpha)
        coverage.append(_covered(truth[200:], metrics.conformal_sets(claimed[200:], threshold)))
    assert np.mean(coverage) == pytest.approx(1 - alpha, abs=0.02)


@given(st.integers(1, 60), st.floats(0.02, 0.9))
def test_the_threshold_is_the_exact_quantile_of_finite_samples(n: int, alpha: float) -> None:
    probabilities = np.linspace(0.3, 0.9, n)
    rank = int(np.floor((n + 1) * alpha + 1e-9))
    if rank == 0:
        return
    table = np.column_stack([probabilities, 1 - probabilities])
    threshold = metrics.conformal_threshold(table, ["B"] * n, alpha, labels=["B", "T"])
    assert (probabilities < threshold).sum() == rank - 1


def test_too_few_calibration_cells_give_every_label() -> None:
    truth, claimed = _cells(18, 0)
    with pytest.warns(UserWarning, match="18 calibration cells are too few for alpha=0.05: it takes 19"):
        threshold = metrics.conformal_threshold(claimed, truth, 0.05)
    assert metrics.conformal_sets(claimed, threshold).all(axis=None)
    truth, claimed = _cells(19, 0)
    assert metrics.conformal_threshold(claimed, truth, 0.05) > 0


@pytest.mark.parametrize("n", [4, 8, 15])
def test_draws_make_few_calibration_cells_exact(n: int) -> None:
    """Without them, sets of 4 or 8 calibration cells would hold every label, and of 15, 94 % of true ones."""
    covered, rng = [], np.random.default_rng(0)
    for seed in range(400):
        truth, claimed = _cells(n + 40, seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=f"{n} calibration cells are too few")
            thresholds = metrics.conformal_threshold(claimed[:n], truth[:n], 0.1, draws=rng.random(40))
        covered.append(_covered(truth[n:], metrics.conformal_sets(claimed[n:], thresholds)))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.015)


def test_too_few_cells_with_draws_say_how_many_sets_hold_all() -> None:
    truth, claimed = _cells(3, 0)
    with pytest.warns(UserWarning, match="too few for alpha=0.1: it takes 9. 60% of sets will hold every label"):
        thresholds = metrics.conformal_threshold(claimed, truth, 0.1, draws=np.array([0.0, 0.59, 0.61, 0.99]))
    assert np.isinf(thresholds).tolist() == [True, True, False, False]


def test_unknown_labels_unreadable_cells_and_names() -> None:
    table = pd.DataFrame({"B": [0.9, 0.8, np.nan], "T": [0.1, 0.2, np.nan]}, index=["x", "y", "z"])
    assert metrics.conformal_threshold(table, ["B", "B", "B"], 0.4) == 0.8
    assert metrics.conformal_threshold(table, ["a new one", "B", "B"], 0.4) == -np.inf
    sets = metrics.conformal_sets(table, 0.85)
    assert sets.index.tolist() == ["x", "y", "z"]
    assert sets.to_numpy().tolist() == [[True, False], [False, False], [True, True]]


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5, float("nan"), True, "0.1"])
def test_alpha_out_of_range(alpha: float) -> None:
    truth, claimed = _cells(10, 0)
    with pytest.raises(ValueError, match="`alpha` must be a number between 0 and 1"):
        metrics.conformal_threshold(claimed, truth, alpha)


@pytest.mark.parametrize("draw", [-0.1, 1.0, float("nan")])
def test_draws_out_of_range(draw: float) -> None:
    truth, claimed = _cells(20, 0)
    with pytest.raises(ValueError, match=r"`draws` must be numbers in \[0, 1\)"):
        metrics.conformal_threshold(claimed, truth, 0.1, draws=np.array([0.5, draw]))
