"""Conformal label sets against their definition, and the log-odds they rest on."""

import warnings
from fractions import Fraction
from math import floor

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st

from scmpt_scverse import trust
from scmpt_scverse._types import BoolArray, FloatArray, IntArray


def _cells(n: int, seed: int) -> tuple[list[str], pd.DataFrame]:
    """Labels drawn from other probabilities than those claimed: conformal sets need no calibration."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet([0.3, 0.3, 0.3, 0.3], size=n)
    claimed = true**3 / (true**3).sum(axis=1, keepdims=True)
    return ["BDNT"[rng.choice(4, p=row)] for row in true], pd.DataFrame(claimed, columns=list("BDNT"))


def _covered(truth: list[str], sets: BoolArray) -> float:
    return float(np.mean([sets[i, "BDNT".index(label)] for i, label in enumerate(truth)]))


def _true_scores(truth: list[str], claimed: pd.DataFrame) -> FloatArray:
    values: FloatArray = claimed.to_numpy()[np.arange(len(truth)), ["BDNT".index(label) for label in truth]]
    return values


def _split_sets(scores: FloatArray, true_scores: FloatArray, alpha: float, draw: float = 0.0) -> BoolArray:
    """Sets of one fold, `scores` of shape `(n_new, n_labels)`."""
    folds = np.zeros(len(true_scores), dtype=int)
    return trust.cross_conformal_sets(scores[:, None], true_scores, folds, alpha, draws=np.full(len(scores), draw))


def _by_definition(
    scores: FloatArray, true_scores: FloatArray, folds: IntArray, alpha: Fraction, draws: FloatArray
) -> list[list[bool]]:
    """A label belongs where its score is no less than that of enough calibration cells, counted one by one."""
    n = len(true_scores)
    sets = []
    for by_fold, draw in zip(scores, draws, strict=True):
        needed = floor((n + 1) * alpha + Fraction(draw))
        counts = [
            sum(bool(true_scores[i] <= by_fold[folds[i], label]) for i in range(n)) for label in range(scores.shape[2])
        ]
        sets.append([count >= needed for count in counts])
    return sets


@settings(deadline=None)
@given(st.data())
def test_sets_are_those_of_the_definition(data: st.DataObject) -> None:
    """Scores on a coarse grid, so that ties occur; shares of which `(n + 1) * alpha` is often whole."""
    n, n_folds = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    alpha = Fraction(data.draw(st.integers(1, 19)), 20)
    scores = rng.integers(0, 6, size=(5, n_folds, 3)).astype(float)
    true_scores, folds = rng.integers(0, 6, size=n).astype(float), rng.integers(n_folds, size=n)
    draws = np.array([0.0, 0.25, 0.5, 0.75, 0.875])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* too few for alpha")
        sets = trust.cross_conformal_sets(scores, true_scores, folds, float(alpha), draws=draws)
    assert sets.tolist() == _by_definition(scores, true_scores, folds, alpha, draws)


@pytest.mark.parametrize(
    ("n", "alpha", "rank"), [(9, 0.1, 1), (19, 0.1, 2), (18, 0.1, 1), (99, 0.29, 29), (9, 0.3, 3), (29, 0.1, 3)]
)
def test_one_fold_is_split_conformal_prediction(n: int, alpha: float, rank: int) -> None:
    """The threshold is the score of that rank among true ones, which belongs; 100 * 0.29 counts as 29."""
    true_scores = np.random.default_rng(0).permutation(np.arange(n, dtype=float))
    threshold = np.sort(true_scores)[rank - 1]
    scores = np.array([[threshold, threshold - 1e-12, threshold + 1e-12]])
    assert _split_sets(scores, true_scores, alpha).tolist() == [[True, False, True]]


def test_ties_with_true_scores_belong() -> None:
    assert _split_sets(np.array([[0.5, 0.4]]), np.full(9, 0.5), 0.1).tolist() == [[True, False]]
    assert _split_sets(np.array([[0.5, 0.4]]), np.full(9, 0.5), 0.9).tolist() == [[True, False]]


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_coverage_is_nominal_on_new_cells(alpha: float) -> None:
    coverage = []
    for seed in range(40):
        truth, claimed = _cells(400, seed)
        sets = _split_sets(claimed.to_numpy()[200:], _true_scores(truth[:200], claimed), alpha)
        coverage.append(_covered(truth[200:], sets))
    assert np.mean(coverage) == pytest.approx(1 - alpha, abs=0.02)


def test_too_few_calibration_cells_give_every_label() -> None:
    truth, claimed = _cells(18, 0)
    with pytest.warns(UserWarning, match="18 calibration cells are too few for alpha=0.05: it takes 19"):
        assert _split_sets(claimed.to_numpy(), _true_scores(truth, claimed), 0.05).all()
    truth, claimed = _cells(19, 0)  # no warning
    assert not _split_sets(claimed.to_numpy(), _true_scores(truth, claimed), 0.05).all()


def test_unknown_labels_score_below_all() -> None:
    scores = np.array([[0.9, 0.1]])
    assert _split_sets(scores, np.array([-np.inf, 0.8, 0.8]), 0.25).all()
    assert _split_sets(scores, np.array([0.8, 0.8, 0.8]), 0.25).tolist() == [[True, False]]


@pytest.mark.parametrize("n", [4, 8, 15])
def test_draws_make_few_calibration_cells_exact(n: int) -> None:
    """Without them, sets of 4 or 8 calibration cells would hold every label, and of 15, 94 % of true ones."""
    covered, rng = [], np.random.default_rng(0)
    for seed in range(400):
        truth, claimed = _cells(n + 40, seed)
        true_scores = _true_scores(truth[:n], claimed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=f"{n} calibration cells are too few")
            sets = trust.cross_conformal_sets(
                claimed.to_numpy()[n:, None], true_scores, np.zeros(n, dtype=int), 0.1, draws=rng.random(40)
            )
        covered.append(_covered(truth[n:], sets))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.015)


def test_folds_whose_models_are_unlike_each_other() -> None:
    """Each calibration cell is compared by its own model, so that scores of models need not be on one scale."""
    covered, rng = [], np.random.default_rng(0)
    scales = np.array([1.0, 10.0, 0.1])
    for seed in range(100):
        truth, claimed = _cells(160, seed)
        folds = np.arange(60) % 3
        true_scores = _true_scores(truth[:60], claimed) * scales[folds]
        scores = claimed.to_numpy()[60:, None] * scales[:, None]
        sets = trust.cross_conformal_sets(scores, true_scores, folds, 0.2, draws=rng.random(100))
        covered.append(_covered(truth[60:], sets))
    assert np.mean(covered) == pytest.approx(0.8, abs=0.015)


def test_too_few_cells_with_draws_say_how_many_sets_hold_all() -> None:
    truth, claimed = _cells(7, 0)
    with pytest.warns(UserWarning, match="too few for alpha=0.1: it takes 9. 60% of sets will hold every label"):
        sets = trust.cross_conformal_sets(
            claimed.to_numpy()[3:, None],
            _true_scores(truth[:3], claimed),
            np.zeros(3, dtype=int),
            0.1,
            draws=np.array([0.0, 0.59, 0.61, 0.99]),
        )
    assert sets.all(axis=1).tolist() == [True, True, False, False]


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5, float("nan"), True, "0.1"])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(ValueError, match="`alpha` must be a number between 0 and 1"):
        _split_sets(np.ones((2, 3)), np.ones(20), alpha)


@pytest.mark.parametrize("draw", [-0.1, 1.0, float("nan")])
def test_draws_out_of_range(draw: float) -> None:
    with pytest.raises(ValueError, match=r"`draws` must be numbers in \[0, 1\)"):
        trust.cross_conformal_sets(
            np.ones((2, 1, 3)), np.ones(20), np.zeros(20, dtype=int), 0.1, draws=np.array([0.5, draw])
        )


def test_folds_without_a_model_and_no_cells() -> None:
    scores, draws = np.ones((2, 2, 3)), np.zeros(2)
    with pytest.raises(ValueError, match="`folds` must be numbers of the 2 models"):
        trust.cross_conformal_sets(scores, np.ones(3), np.array([0, 1, 2]), 0.1, draws=draws)
    with pytest.raises(ValueError, match="Expected calibration cells; found none"):
        trust.cross_conformal_sets(scores, np.ones(0), np.zeros(0, dtype=int), 0.1, draws=draws)


def test_shapes_that_do_not_fit() -> None:
    true_scores, folds, draws = np.ones(3), np.zeros(3, dtype=int), np.zeros(2)
    for scores, few in ((np.ones((2, 3)), folds), (np.ones((4, 1, 3)), folds), (np.ones((2, 1, 3)), folds[:2])):
        with pytest.raises(ValueError, match=r"`scores` of shape \(n_new, n_folds, n_labels\)"):
            trust.cross_conformal_sets(scores, true_scores, few, 0.1, draws=draws)


def test_a_cell_that_cannot_be_read_gets_every_label() -> None:
    scores = np.array([[[np.nan, np.nan]], [[0.0, 1.0]]])
    sets = trust.cross_conformal_sets(scores, np.full(20, 0.5), np.zeros(20, dtype=int), 0.1, draws=np.zeros(2))
    assert sets.tolist() == [[True, True], [False, True]]
    by_one_fold = np.array([[[np.nan, np.nan], [0.0, 0.0]]])
    folds = np.arange(20) % 2
    assert trust.cross_conformal_sets(by_one_fold, np.full(20, 0.5), folds, 0.9, draws=np.zeros(1)).all()


def test_log_odds_are_those_of_the_probabilities() -> None:
    logits = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * 3
    assert torch.allclose(trust.log_odds(logits), logits.double().softmax(1).logit(), atol=1e-9)


def test_probabilities_that_round_to_one_are_told_apart() -> None:
    logits = torch.tensor([[40.0, 0.0, 0.0], [60.0, 0.0, 0.0]])
    assert (logits.double().softmax(1)[:, 0] == 1).all()
    first, second = trust.log_odds(logits)[:, 0].tolist()
    assert second - first == 20


def test_nan_stays_nan() -> None:
    odds = trust.log_odds(torch.tensor([[float("nan")] * 3, [0.0, 1.0, 2.0]]))
    assert odds.isnan().all(dim=1).tolist() == [True, False]
    assert trust.log_odds(torch.zeros(0, 3)).shape == (0, 3)


def test_sets_by_cumulative_probability() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.95, 0.03, 0.02], [1 / 3, 1 / 3, 1 / 3], [np.nan] * 3])
    sets = trust.cumulative_sets(probabilities, 0.2)
    assert sets.tolist() == [[True, True, False], [True, False, False], [True, True, True], [True, True, True]]
    # Exactly reached, up to rounding, is reached.
    assert trust.cumulative_sets(np.array([[0.1, 0.7, 0.2]]), 0.1).tolist() == [[False, True, True]]
    assert trust.cumulative_sets(np.array([[0.6, 0.4]]), 0.99).tolist() == [[True, False]]
    with pytest.raises(ValueError, match="`alpha` must be a number between 0 and 1"):
        trust.cumulative_sets(probabilities, 0)
