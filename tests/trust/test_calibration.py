"""Temperature, rejection at exact shares, and what is kept of calibration."""

import numpy as np
import pytest
import torch

from scmpt_scverse import trust
from scmpt_scverse._types import BoolArray
from scmpt_scverse.trust._calibration import Calibration, fit_temperature


def calibration(is_correct: BoolArray | list[bool]) -> Calibration:
    """Of cells whose confidence falls from cell to cell, stored in another order than that."""
    n = len(is_correct)
    confidence = np.linspace(0.99, 0.5, n)
    order = np.random.default_rng(0).permutation(n)
    return Calibration(1.0, confidence[order], np.asarray(is_correct)[order], np.zeros(n), np.zeros(n, dtype=int))


def n_kept(found: Calibration, reject: trust.Reject) -> int:
    return int((found.confidence >= found.least_confidence(reject)).sum())


@pytest.mark.parametrize("scale", [0.05, 1.0, 3.0, 30.0])
def test_temperature_undoes_a_scale(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 4, generator=generator) * 2
    codes = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits * scale, codes) == pytest.approx(scale, rel=0.06)


def test_everything_is_said_of_calibrated_logits() -> None:
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
