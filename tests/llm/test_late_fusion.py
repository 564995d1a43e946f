"""Late fusion: weight 0 is the head, and a fitted weight does no harm where it was fitted."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from scmpt_scverse.llm._late_fusion import fit_weight, mix, mix_cross_fitted, mix_probabilities


def opinions(seed: int, n_cells: int = 40, n_labels: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Head, language model (silent on every fifth cell) and labels."""
    rng = np.random.default_rng(seed)
    head = rng.dirichlet(np.ones(n_labels), n_cells).astype(np.float32)
    labels = np.where(rng.random(n_cells) < 0.6, head.argmax(axis=1), rng.integers(n_labels, size=n_cells))
    said = np.where(rng.random(n_cells) < rng.random(), labels, rng.integers(n_labels, size=n_cells))
    other = np.full((n_cells, n_labels), 0.1 / (n_labels - 1))
    other[np.arange(n_cells), said] = 0.9
    other[::5] = np.nan
    return head, other, labels


def test_weight_0_is_the_head_bit_for_bit() -> None:
    head, other, _ = opinions(0)
    head[3] = np.nan  # a cell that the encoders could not read
    mixed = mix_probabilities(head, other, 0)
    assert mixed.dtype == head.dtype
    assert mixed.tobytes() == head.tobytes()
    assert mixed is not head


@given(st.integers(0, 50), st.floats(0, 1))
def test_mixture_is_a_distribution_between_both(seed: int, weight: float) -> None:
    head, other, _ = opinions(seed)
    mixed = mix_probabilities(head, other, weight)
    assert np.allclose(mixed.sum(axis=1), 1, atol=1e-6)
    silent = np.isnan(other).any(axis=1)
    assert mixed[silent].tobytes() == head[silent].tobytes()
    assert (mixed[~silent] >= np.minimum(head, other)[~silent] - 1e-6).all()
    assert (mixed[~silent] <= np.maximum(head, other)[~silent] + 1e-6).all()


@given(st.integers(0, 200))
def test_fitted_weight_is_never_below_the_head(seed: int) -> None:
    head, other, labels = opinions(seed)
    weight = fit_weight(head, other, labels)
    mixed = mix_probabilities(head, other, weight)
    rows = np.arange(len(labels))
    assert (mixed.argmax(axis=1) == labels).mean() >= (head.argmax(axis=1) == labels).mean()
    assert np.log(np.maximum(mixed[rows, labels], 1e-6)).sum() >= np.log(np.maximum(head[rows, labels], 1e-6)).sum()


def test_weight_follows_who_is_right() -> None:
    head, other, labels = opinions(1)
    right = np.where(np.arange(4) == labels[:, None], 0.97, 0.01)
    wrong = np.where(np.arange(4) == (labels[:, None] + 1) % 4, 0.97, 0.01)
    assert fit_weight(head, right, labels) == 1
    assert fit_weight(head, wrong, labels) < 0.1
    assert fit_weight(head, head.astype(float), labels) == 0
    assert fit_weight(head, np.full(other.shape, np.nan), labels) == 0


def test_cross_fitting_keeps_a_cell_out_of_its_own_weight() -> None:
    head = np.array([[0.6, 0.4]] * 10)
    labels = np.array([0] * 5 + [1] * 5)
    other = np.where(np.arange(2) == labels[:, None], 1.0, 0.0)
    other[3] = [0.0, 1.0]  # wrong about one cell, of which only the other cells' folds know
    mixed = mix_cross_fitted(head, other, labels, n_folds=10)
    own_weight = (head[3, 0] - mixed[3, 0]) / (head[3, 0] - other[3, 0])
    assert own_weight == pytest.approx(1, abs=0.011)  # the others recommend full trust
    assert fit_weight(head, other, labels) < 1
    assert np.array_equal(mix_cross_fitted(head, other, labels, seed=3), mix_cross_fitted(head, other, labels, seed=3))
    assert np.array_equal(mix_cross_fitted(head[:1], other[:1], labels[:1]), head[:1])


def test_mix_judges_cells_by_weights_that_were_fitted_without_them() -> None:
    head, other, labels = opinions(2)
    labelled = np.arange(0, 40, 2)
    labels[1::2] = -1  # unlabelled, and never read
    mixture = mix(head, other, labels, labelled)
    ours, theirs, truth = head[labelled], other[labelled], labels[labelled]
    assert mixture.weight == fit_weight(ours, theirs, truth) > 0
    assert np.array_equal(mixture.probabilities, mix_probabilities(head, other, mixture.weight))
    assert np.array_equal(mixture.held_out, mix_cross_fitted(ours, theirs, truth))
    assert not np.array_equal(mixture.held_out, mixture.probabilities[labelled])
    given = mix(head, other, labels, labelled, weight=0.3)
    assert given.weight == 0.3
    assert np.array_equal(given.held_out, given.probabilities[labelled])
    without = mix(head, other, labels, labelled[:0])
    assert without.weight == 0
    assert without.probabilities.tobytes() == head.tobytes()
    assert len(without.held_out) == 0


def test_bad_input() -> None:
    head, other, labels = opinions(0)
    with pytest.raises(ValueError, match="same cells and labels from both"):
        mix_probabilities(head, other[:, :2], 0.5)
    with pytest.raises(ValueError, match="`weight` must be a share from 0 to 1; found 1.5"):
        mix_probabilities(head, other, 1.5)
    with pytest.raises(ValueError, match="found 0 for 0 cells"):
        fit_weight(head[:0], other[:0], labels[:0])
    with pytest.raises(ValueError, match="Expected labels from 0 to 3; found 0 to 4"):
        fit_weight(head, other, np.where(np.arange(40) == 0, 4, 0))
