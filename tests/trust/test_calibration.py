"""Temperature, rejection at exact shares, and what is kept of calibration."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from scmpt_scverse import trust
from scmpt_scverse._types import BoolArray
from scmpt_scverse.trust._calibration import Calibration, check_reject, fit_temperature, warn_of_few_cells


def calibration(is_correct: BoolArray | list[bool]) -> Calibration:
    """Of cells whose confidence falls from cell to cell, stored in another order than that."""
    n = len(is_correct)
    confidence = np.linspace(0.99, 0.5, n)
    order = np.random.default_rng(0).permutation(n)
    return Calibration(1.0, confidence[order], np.asarray(is_correct)[order], np.zeros(n), np.zeros(n, dtype=int))


def n_kept(found: Calibration, reject: trust.Reject) -> int:
    """Of cells whose probabilities are float32, as predictions are."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`reject=.*` keeps no cell")
        return int((found.confidence.astype(np.float32) >= found.least_confidence(reject)).sum())


@pytest.mark.parametrize("scale", [0.05, 1.0, 3.0, 30.0])
def test_temperature_undoes_a_scale(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 4, generator=generator) * 2
    codes = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits * scale, codes) == pytest.approx(scale, rel=0.06)


def test_everything_is_computed_from_calibrated_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 4, generator=generator) * 6
    codes = torch.multinomial((logits / 4).softmax(dim=1), 1, generator=generator)[:, 0]
    found = Calibration.fit(logits, codes, np.arange(500) % 3)
    assert found.temperature == pytest.approx(4, rel=0.3)
    probabilities = (logits.double() / found.temperature).softmax(dim=1)
    np.testing.assert_allclose(found.confidence, probabilities.max(dim=1).values, rtol=1e-6)
    assert found.is_correct.tolist() == (logits.argmax(dim=1) == codes).tolist()
    true = probabilities[torch.arange(500), codes]
    np.testing.assert_allclose(found.true_scores, true.logit(), atol=1e-4)
    assert found.folds.tolist() == [0, 1, 2] * 166 + [0, 1]


@pytest.mark.parametrize(
    ("is_correct", "share", "kept"),
    [
        ([True] * 9, 0.1, 9),  # (0 + 1) / (9 + 1)
        ([True] * 8, 0.1, 0),
        ([True] * 18 + [False], 0.1, 19),  # (1 + 1) / (19 + 1)
        ([True] * 17 + [False], 0.1, 17),
        ([False] + [True] * 18, 0.1, 19),
        ([False] + [True] * 17, 0.1, 0),
        ([True] * 8 + [False] * 9, 0.5, 15),  # (7 + 1) / (15 + 1)
        ([False] * 5, 1.0, 5),
        ([True] * 50, 0.0, 0),
    ],
)
def test_errors_count_one_more_than_was_seen(is_correct: list[bool], share: float, kept: int) -> None:
    assert n_kept(calibration(is_correct), share) == kept
    assert n_kept(calibration(is_correct), {"error": share}) == kept


@pytest.mark.parametrize(
    ("n", "share", "kept"),
    [
        (10, 0.3, 3),
        (10, 0.25, 3),
        (10, 1.0, 10),
        (10, 0, 0),
        (100, 0.07, 7),
        (100, 0.55, 55),
        (100, 0.551, 56),
        (3, 0.1, 1),
    ],
)
def test_coverage_keeps_the_share_that_was_asked_for(n: int, share: float, kept: int) -> None:
    """100 * 0.07 counts as 7, though it is more in floating point."""
    assert n_kept(calibration([True] * n), {"coverage": share}) == kept


@pytest.mark.parametrize(
    ("share", "needed"), [(0.05, 19), (0.1, 9), (0.29, 3), (1 / 3, 2), (0.01, 99), (1 - 0.9, 9), (0.5, 1), (1, 1)]
)
def test_the_fewest_calibration_cells_of_a_share(share: float, needed: int) -> None:
    """One fewer keeps no cell and says how many it takes; with the number itself, cells that are all right are kept."""
    assert trust.cells_for(share) == needed
    assert n_kept(calibration([True] * needed), share) == needed
    if needed > 1:
        few = calibration([True] * (needed - 1))
        with pytest.warns(UserWarning, match=rf"keeps no cell: it takes at least {needed} .* found {needed - 1}\."):
            assert few.least_confidence(share) == float("inf")
        assert n_kept(few, {"coverage": 1.0}) == needed - 1


def test_why_no_cell_is_kept_where_there_are_enough() -> None:
    wrong_at_first = calibration([False] + [True] * 17)
    with pytest.warns(UserWarning, match=r"the surest of the 18 calibration cells are wrong .* pass 0\.105 or more"):
        assert wrong_at_first.least_confidence(0.1) == float("inf")
    assert n_kept(wrong_at_first, 0.106) == 18
    with pytest.warns(UserWarning, match=r"`reject=0` keeps no cell: no number of calibration cells"):
        assert calibration([True] * 50).least_confidence(0.0) == float("inf")
    assert trust.cells_for(0) is None


def test_cells_of_equal_confidence_are_kept_or_rejected_together() -> None:
    """Their order is chance: 20 right ones that come before 20 wrong ones of the same confidence show nothing."""
    is_correct = np.array([True] * 20 + [False] * 20 + [True] * 5)
    confidence = np.array([0.9] * 40 + [0.8] * 5)
    found = Calibration(1.0, confidence, is_correct, np.zeros(45), np.zeros(45, dtype=int))
    assert n_kept(found, 0.1) == 0
    assert n_kept(found, 0.5) == 45
    surer, right = np.insert(confidence, 0, 0.95), np.insert(is_correct, 0, True)
    assert n_kept(Calibration(1.0, surer, right, np.zeros(46), np.zeros(46, dtype=int)), 0.1) == 0
    beyond_float32 = Calibration(1.0, 1 - np.arange(45) * 1e-12, is_correct, np.zeros(45), np.zeros(45, dtype=int))
    assert n_kept(beyond_float32, 0.1) == 0


def test_few_cells_calibrate_with_a_warning() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    Calibration.fit(logits, logits.argmax(dim=1), np.zeros(5, dtype=int))  # no warning
    for n in (1, 4):
        with pytest.warns(UserWarning, match=f"calibrated on {n} cells?, too few .* at least 5 are needed"):
            Calibration.fit(logits[:n], logits[:n].argmax(dim=1), np.zeros(n, dtype=int))


def test_nothing_is_lost_as_arrays() -> None:
    """Folds keep their order also where there are more than ten."""
    generator = torch.Generator().manual_seed(0)
    states = [
        {"heads.0.weight": torch.randn(3, 2, generator=generator), "bias.0": torch.randn(3, generator=generator)}
        for _ in range(12)
    ]
    logits = torch.randn(24, 3, generator=generator)
    before = Calibration.fit(logits, logits.argmax(dim=1).roll(1), np.arange(24) % 12, states)
    after = Calibration.from_arrays(before.arrays())
    assert after.temperature == before.temperature
    for name in ("confidence", "is_correct", "true_scores", "folds"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == getattr(before, name).dtype
    assert len(after.fold_states) == 12
    for one, other in zip(after.fold_states, before.fold_states, strict=True):
        assert list(one) == list(other)
        assert all(torch.equal(one[name], other[name]) for name in other)


def test_label_sets_are_those_of_the_calibration_cells() -> None:
    found = Calibration(1.0, np.ones(9), np.ones(9, dtype=bool), np.arange(9.0), np.arange(9) % 3)
    logits = torch.tensor([[[0.0, 2.0], [0.0, 5.0], [1.0, 1.0]], [[0.0, 9.0], [0.0, 9.0], [0.0, 9.0]]])
    expected = trust.cross_conformal_sets(
        trust.log_odds(logits).numpy(), found.true_scores, found.folds, 0.3, draws=np.zeros(2)
    )
    assert found.label_sets(logits, 0.3, np.zeros(2)).tolist() == expected.tolist()
    assert expected.any()
    assert not expected.all()


def test_shares_of_any_number_type() -> None:
    shares: list[Any] = [np.float32(0.1), np.float64(0.1), 0.1, 1, np.int64(1)]
    for share in shares:
        assert check_reject(share) == ("error", float(share))
        assert check_reject({"coverage": share}) == ("coverage", float(share))
    for wrong in (True, np.True_, np.nan, -0.1, 1.1, "0.1", None):
        with pytest.raises(ValueError, match="`reject` must be a share from 0 to 1"):
            check_reject(wrong)  # type: ignore[arg-type]


def test_few_cells_are_counted_in_words() -> None:
    for n_cells, words in ((1, "It has 1 cell, too few to tell"), (2, "It has 2 cells, too few to tell")):
        with pytest.warns(UserWarning, match=words):
            warn_of_few_cells(n_cells, "It has", "tell", "Add cells.")
