"""How long a head is trained, and what is kept of it."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from scmpt_scverse.module import CellSplit, Fit, FitOptions, FusionClassifier, HeadOptions
from scmpt_scverse.module._gradient_fit import _default_max_epochs

N_OBS = 40
NOBODY = np.arange(0)


def cells(strength: float = 0.0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two labels, apart by `strength`."""
    codes = np.arange(N_OBS) % 2
    values = np.random.default_rng(0).normal(size=(N_OBS, 3)) + strength * codes[:, None]
    return {"a": values.astype(np.float32)}, codes


def fitted(split: CellSplit, *, strength: float = 0.0, **options: Any) -> tuple[FusionClassifier, Fit]:
    values, codes = cells(strength)
    torch.manual_seed(0)
    classifier = FusionClassifier({"a": 3}, 2, fusion="concat", options=HeadOptions(n_hidden=8))
    trainer = {"enable_progress_bar": False, "precision": "32-true", **options.pop("trainer", {})}
    return classifier, classifier.fit(values, codes, split, FitOptions(trainer=trainer, **options))


SPLIT = CellSplit(np.arange(30), np.arange(30, 40), NOBODY)


@pytest.mark.parametrize(
    ("n_obs", "n_epochs"),
    [(1, 400), (20_000, 400), (40_000, 200), (60_000, 133), (8_000_000, 1), (16_000_001, 1), (10**9, 1)],
)
def test_more_cells_are_seen_in_fewer_epochs(n_obs: int, n_epochs: int) -> None:
    assert _default_max_epochs(n_obs) == n_epochs


def test_training_stops_where_the_loss_falls_no_further() -> None:
    """A learning rate of nothing wins nothing: the first epoch is the best, and twenty more are waited for."""
    _, stopped = fitted(SPLIT, plan={"lr": 1e-12}, max_epochs=30)
    assert len(stopped.history["validation_loss"]) == len(stopped.history["train_loss"]) == 21
    for all_epochs in (
        fitted(SPLIT, plan={"lr": 1e-12}, max_epochs=30, early_stopping=False)[1],
        fitted(SPLIT, plan={"lr": 1e-12}, max_epochs=30, trainer={"early_stopping_patience": 40})[1],
        fitted(CellSplit(SPLIT.train, NOBODY, NOBODY), plan={"lr": 1e-12}, max_epochs=30)[1],
    ):
        assert len(all_epochs.history["train_loss"]) == 30


def test_a_loss_that_falls_by_less_than_a_thousandth_stops_training() -> None:
    losses = []
    for lr in (3e-6, 3e-3):
        history = fitted(SPLIT, strength=2.0, plan={"lr": lr}, max_epochs=30)[1].history["validation_loss"]
        losses.append(history.iloc[:, 0].to_numpy(dtype=float))
    assert (np.diff(losses[0]) < 0).all()
    assert losses[0][0] - losses[0][-1] < 1e-3
    assert len(losses[0]) == 21
    assert losses[1][0] - losses[1][-1] > 1e-2
    assert len(losses[1]) == 30


def test_held_out_logits_are_those_of_validation_cells_by_the_best_weights() -> None:
    classifier, fit = fitted(SPLIT, strength=1.0, plan={"lr": 0.05}, max_epochs=25)
    values, codes = cells(1.0)
    np.testing.assert_allclose(fit.held_out.logits, classifier.logits(values)[30:], atol=1e-6)
    np.testing.assert_array_equal(fit.held_out.codes, codes[30:])
    assert fit.held_out.folds.tolist() == [0] * 10
    best = fit.history["validation_loss"].iloc[:, 0].to_numpy(dtype=float).min()
    assert functional.cross_entropy(fit.held_out.logits, fit.held_out.codes).item() == pytest.approx(best, rel=1e-5)
    assert not classifier.training


def test_labels_weigh_the_same_if_balanced() -> None:
    """As scikit-learn weighs them; a label without a cell has a weight that nothing uses."""
    codes = np.array([0] * 6 + [2] * 3 + [3])
    options = FitOptions(class_weight="balanced")
    found = options.label_weights(torch.from_numpy(codes), 5)
    assert found is not None
    expected = compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=codes)
    np.testing.assert_allclose(found[[0, 2, 3]], expected, rtol=1e-6)
    assert torch.isfinite(found).all()
    own = torch.tensor([1.0, 2.0])
    assert FitOptions(class_weight=own).label_weights(torch.from_numpy(codes), 2) is own
    assert FitOptions().label_weights(torch.from_numpy(codes), 5) is None


def test_weights_of_labels_reach_the_loss() -> None:
    rare = CellSplit(np.r_[np.arange(0, 40, 2), [1, 3]], NOBODY, NOBODY)
    shares = [
        (fitted(rare, plan={"lr": 1e-2}, max_epochs=30, class_weight=each)[0].logits(cells()[0]).argmax(axis=1)).mean()
        for each in (None, "balanced")
    ]
    assert shares[0] < 0.15
    assert shares[1] > 0.3


def test_the_global_random_state_is_left_alone_and_the_seed_decides() -> None:
    state = torch.get_rng_state()
    torch.manual_seed(5)
    expected = torch.rand(1)
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(5)
        values, codes = cells()
        classifier = FusionClassifier({"a": 3}, 2, fusion="concat", options=HeadOptions(n_hidden=8, dropout_rate=0.5))
        torch.manual_seed(5)
        options = FitOptions(seed=seed, max_epochs=3, plan={"lr": 0.1}, trainer={"enable_progress_bar": False})
        classifier.fit(values, codes, SPLIT, options)
        assert torch.equal(torch.rand(1), expected)
        found.append(classifier.logits(values))
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])
    torch.set_rng_state(state)
