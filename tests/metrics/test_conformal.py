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


def _scores_of_truth(truth: list[str], claimed: pd.DataFrame) -> np.ndarray:
    return claimed.to_numpy()[np.arange(len(truth)), ["BDNT".index(label) for label in truth]]


@pytest.mark.parametrize("n", [4, 8, 15])
def test_draws_make_few_calibration_cells_exact(n: int) -> None:
    """Without them, sets of 4 or 8 calibration cells would hold every label, and of 15, 94 % of true ones."""
    covered, rng = [], np.random.default_rng(0)
    for seed in range(400):
        truth, claimed = _cells(n + 40, seed)
        of_truth = _scores_of_truth(truth[:n], claimed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=f"{n} calibration cells are too few")
            sets = metrics.cross_conformal_sets(
                claimed.to_numpy()[n:, None], of_truth, np.zeros(n, dtype=int), 0.1, draws=rng.random(40)
            )
        covered.append(_covered(truth[n:], pd.DataFrame(sets, columns=list("BDNT"))))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.015)


def test_one_fold_is_split_conformal_prediction() -> None:
    truth, claimed = _cells(500, 0)
    split = metrics.conformal_sets(claimed[99:], metrics.conformal_threshold(claimed[:99], truth[:99], 0.1))
    cross = metrics.cross_conformal_sets(
        claimed.to_numpy()[99:, None],
        _scores_of_truth(truth[:99], claimed),
        np.zeros(99, dtype=int),
        0.1,
        draws=np.zeros(401),
    )
    np.testing.assert_array_equal(cross, split.to_numpy())


def test_folds_whose_models_are_unlike_each_other() -> None:
    """Each calibration cell is compared by its own model, so that scores of models need not be on one scale."""
    covered, rng = [], np.random.default_rng(0)
    scales = np.array([1.0, 10.0, 0.1])
    for seed in range(100):
        truth, claimed = _cells(160, seed)
        folds = np.arange(60) % 3
        of_truth = _scores_of_truth(truth[:60], claimed) * scales[folds]
        scores = claimed.to_numpy()[60:, None] * scales[:, None]
        sets = metrics.cross_conformal_sets(scores, of_truth, folds, 0.2, draws=rng.random(100))
        covered.append(_covered(truth[60:], pd.DataFrame(sets, columns=list("BDNT"))))
    assert np.mean(covered) == pytest.approx(0.8, abs=0.015)


def test_too_few_cells_with_draws_say_how_many_sets_hold_all() -> None:
    truth, claimed = _cells(7, 0)
    with pytest.warns(UserWarning, match="too few for alpha=0.1: it takes 9. 60% of sets will hold every label"):
        sets = metrics.cross_conformal_sets(
            claimed.to_numpy()[3:, None],
            _scores_of_truth(truth[:3], claimed),
            np.zeros(3, dtype=int),
            0.1,
            draws=np.array([0.0, 0.59, 0.61, 0.99]),
        )
    assert sets.all(axis=1).tolist() == [True, True, False, False]


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
    with pytest.raises(ValueError, match=r"`draws` must be numbers in \[0, 1\)"):
        metrics.cross_conformal_sets(
            np.ones((2, 1, 3)), np.ones(20), np.zeros(20, dtype=int), 0.1, draws=np.array([0.5, draw])
        )


def test_folds_without_a_model_and_no_cells() -> None:
    scores, draws = np.ones((2, 2, 3)), np.zeros(2)
    with pytest.raises(ValueError, match="`folds` must be numbers of the 2 models"):
        metrics.cross_conformal_sets(scores, np.ones(3), np.array([0, 1, 2]), 0.1, draws=draws)
    with pytest.raises(ValueError, match="Expected calibration cells; found none"):
        metrics.cross_conformal_sets(scores, np.ones(0), np.zeros(0, dtype=int), 0.1, draws=draws)


def test_shapes_that_do_not_fit() -> None:
    of_truth, folds, draws = np.ones(3), np.zeros(3, dtype=int), np.zeros(2)
    for scores, few in ((np.ones((2, 3)), folds), (np.ones((4, 1, 3)), folds), (np.ones((2, 1, 3)), folds[:2])):
        with pytest.raises(ValueError, match=r"`scores` of shape \(n_new, n_folds, n_labels\)"):
            metrics.cross_conformal_sets(scores, of_truth, few, 0.1, draws=draws)


def test_a_cell_that_cannot_be_read_gets_every_label() -> None:
    scores = np.array([[[np.nan, np.nan]], [[0.0, 1.0]]])
    sets = metrics.cross_conformal_sets(scores, np.full(20, 0.5), np.zeros(20, dtype=int), 0.1, draws=np.zeros(2))
    assert sets.tolist() == [[True, True], [False, True]]
