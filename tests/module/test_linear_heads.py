"""The linear solver against scikit-learn, and what stacking promises."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.func import functional_call

from scmpt_scverse.module import _linear_heads as linear_heads
from scmpt_scverse.module._fusion_stacked import StackedFusion
from scmpt_scverse.module._linear_heads import ROUGH, fit_linear
from scmpt_scverse.module._mixture import mixture_weights
from scmpt_scverse.module._principal_axes import FeatureBlocks, PrincipalAxes
from scmpt_scverse.module._stacking import LinearHead, fit_head, stratified_folds


def cells(n_obs: int, n_features: int, n_labels: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_obs) % n_labels
    values = rng.normal(size=(n_obs, n_features)) + rng.normal(size=(n_labels, n_features))[labels] * 0.7
    return torch.from_numpy(values - values.mean(axis=0)).float(), torch.from_numpy(labels)


@pytest.mark.parametrize(("n_obs", "n_features"), [(200, 8), (30, 100)])
@pytest.mark.parametrize("penalty", [1.0, 30.0])
def test_agrees_with_scikit_learn(n_obs: int, n_features: int, penalty: float) -> None:
    features, labels = cells(n_obs, n_features)
    weights = torch.from_numpy(np.random.default_rng(1).integers(0, 3, n_obs)).float()
    axes = PrincipalAxes.of(FeatureBlocks.of(features))
    fits = fit_linear(axes, labels, torch.stack([torch.ones(n_obs), weights]), penalty)
    for fit, sample_weight in enumerate((None, weights.numpy())):
        peer = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000)
        peer.fit(features.numpy(), labels.numpy(), sample_weight)
        ours = fits.log_probabilities(axes.coordinates, fit).exp().numpy()
        np.testing.assert_allclose(ours, peer.predict_proba(features.numpy()), atol=0.01)


def test_a_start_from_a_stronger_penalty_does_not_stop_there() -> None:
    """Labels that can be parted: weights go on growing as the penalty falls, by steps that are small at first."""
    labels = torch.arange(112) % 2
    values = np.random.default_rng(0).normal(size=(112, 5)) + np.where(labels, 3, -3)[:, None]
    axes = PrincipalAxes.of(
        FeatureBlocks.of(torch.from_numpy((values - values.mean(axis=0)) / values.std(axis=0)).float())
    )
    every = torch.ones(1, 112)
    strong = fit_linear(axes, labels, every, 0.015)
    weak, cold = (fit_linear(axes, labels, every, 0.0015, start) for start in (strong, None))
    assert weak.weights.norm() == pytest.approx(float(cold.weights.norm()), rel=0.05)
    assert weak.weights.norm() > 1.2 * strong.weights.norm()


class _Counted(PrincipalAxes):
    """Axes that count how often the cells pass by."""

    n_passes = 0

    def blocks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        type(self).n_passes += 1
        yield from super().blocks()


@pytest.mark.parametrize("smallest", [1.0, 0.01])
def test_a_fit_that_settings_are_compared_by_takes_few_passes(smallest: float) -> None:
    """Labels from six in ten to one in fifty, fits of other cells and weights, features alike or of falling variance.

    A pass over many cells is what a fit costs; without a good guess of the curvature there are hundreds.
    """
    rng = np.random.default_rng(0)
    labels = rng.choice(4, 2000, p=(0.6, 0.3, 0.08, 0.02))
    values = rng.normal(size=(2000, 30)) + rng.normal(size=(4, 30))[labels]
    features = torch.from_numpy((values - values.mean(axis=0)) * np.geomspace(1, smallest, 30)).float()
    axes = PrincipalAxes.of(FeatureBlocks.of(features))
    weights = np.stack([np.ones(2000), np.arange(2000) % 4 != 0, rng.uniform(0, 3, 2000)])
    for penalty, most in ((30.0, 45), (3000.0, 28)):
        _Counted.n_passes = 0
        arguments = torch.from_numpy(labels), torch.from_numpy(weights).float(), penalty
        fits = fit_linear(_Counted(**vars(axes)), *arguments, tolerance=ROUGH)
        assert 5 < _Counted.n_passes <= most
        exact = fit_linear(axes, *arguments)
        for fit in range(3):  # and is good enough for that
            rough, fine = (each.log_probabilities(axes.coordinates, fit) for each in (fits, exact))
            losses = [torch.nn.functional.nll_loss(each, arguments[0]).item() for each in (rough, fine)]
            assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_axes_keep_angles_and_distances() -> None:
    for shape in ((40, 7), (7, 40)):
        features, _ = cells(*shape)
        axes = PrincipalAxes.of(FeatureBlocks.of(features))
        assert torch.allclose(axes.coordinates @ axes.coordinates.T, features @ features.T, atol=1e-3)
        assert torch.allclose(axes.coordinates @ axes.axes.T, features, atol=1e-4)
        assert (axes.squares.diff() <= 0).all()


def test_axes_of_some_cells_are_those_that_these_have_alone() -> None:
    features, _ = cells(60, 200)
    left_out = torch.zeros(2, 60, dtype=torch.bool)
    left_out[0, :6], left_out[1, 6:20] = True, True
    every = PrincipalAxes.of(FeatureBlocks.of(features))
    without = every.without(left_out, 10)
    for rows, coordinates, squares in zip(left_out, without.coordinates, without.squares, strict=True):
        alone = PrincipalAxes.of(FeatureBlocks.of(features[~rows])).first(10)
        assert torch.allclose(squares, alone.squares, rtol=1e-4)
        assert torch.allclose(coordinates.abs(), (features @ alone.axes).abs(), atol=1e-3)
    assert every.without(left_out, len(every.squares)) is every


@pytest.mark.parametrize("seed", range(3))
def test_out_of_fold_is_no_better_than_new_cells(seed: int) -> None:
    """It would be, by up to two thirds, where a few axes were found on the cells that they are tried on."""
    centres = np.random.default_rng(99).normal(size=(4, 2000)) * 0.13

    def drawn(n_obs: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = np.arange(n_obs) % 4
        values = np.random.default_rng(seed).normal(size=(n_obs, 2000)) + centres[labels]
        return torch.from_numpy(values).float(), torch.from_numpy(labels)

    (features, labels), (new, truth) = drawn(200, seed), drawn(2000, 100 + seed)
    head = fit_head(FeatureBlocks.of(features), labels, torch.ones(200), stratified_folds(labels.numpy(), 0))
    out_of_fold = torch.nn.functional.nll_loss(head.out_of_fold, labels)
    of_new = torch.nn.functional.nll_loss((new @ head.weights[-1].T + head.biases[-1]).log_softmax(1), truth)
    assert of_new * 0.95 < out_of_fold < of_new * 1.6  # by heads of fewer cells


def test_out_of_fold_means_unseen() -> None:
    """Where labels are noise, cells are predicted no better than by chance by heads that did not see them."""
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(120, 300))).float()
    labels = torch.from_numpy(np.random.default_rng(1).integers(0, 2, 120))
    head = fit_head(FeatureBlocks.of(features), labels, torch.ones(120), stratified_folds(labels.numpy(), 0))
    assert head.out_of_fold.shape == (120, 2)
    assert (head.out_of_fold.argmax(1) == labels).float().mean() < 0.65
    assert torch.nn.functional.nll_loss(head.out_of_fold, labels) > 0.6


def test_every_label_is_in_every_fold_that_it_can_be_in() -> None:
    labels = np.repeat([0, 1, 2], [40, 6, 1])
    folds = stratified_folds(labels, 3)
    assert [len(np.unique(folds[labels == label])) for label in range(3)] == [10, 6, 1]
    assert len(np.unique(folds)) == 10
    assert np.bincount(stratified_folds(np.zeros(1001, dtype=int), 3)).tolist() == [251, 250, 250, 250]
    assert np.bincount(stratified_folds(np.zeros(1000, dtype=int), 3)).tolist() == [100] * 10
    assert not np.array_equal(folds, stratified_folds(labels, 4))


def test_a_modality_of_noise_has_no_say() -> None:
    features, labels = cells(150, 6)
    noise = torch.from_numpy(np.random.default_rng(2).normal(size=(150, 6))).float()
    folds = stratified_folds(labels.numpy(), 0)
    heads: dict[str, LinearHead] = {
        name: fit_head(FeatureBlocks.of(values), labels, torch.ones(150), folds)
        for name, values in {"good": features, "noise": noise}.items()
    }
    good, bad = mixture_weights(heads, labels, torch.ones(150))
    assert bad < 0.2 * good


def test_solved_head_knows_labels_without_cells() -> None:
    features, labels = cells(60, 5)
    head = StackedFusion({"a": 5}, 5)
    out_of_fold = head.solve(
        {"a": FeatureBlocks.of(features)}, labels + (labels == 2), torch.ones(60), seed=0
    )  # labels 0, 1 and 3 of 5
    probabilities = head({"a": features}).softmax(dim=1)
    assert out_of_fold.logits.shape == (60, 5)
    assert torch.equal(probabilities.argmax(1).unique(), torch.tensor([0, 1, 3]))
    assert probabilities[:, [2, 4]].max() < 1e-6


def test_cells_out_of_fold_are_those_of_the_heads_that_are_kept() -> None:
    features, labels = cells(80, 5)
    inputs = {"a": features[:, :3], "b": features[:, 3:]}
    head = StackedFusion({"a": 3, "b": 2}, 3)
    out_of_fold = head.solve(
        {name: FeatureBlocks.of(each) for name, each in inputs.items()}, labels, torch.ones(80), seed=0
    )
    assert len(out_of_fold.fold_states) == 10
    for fold, state in enumerate(out_of_fold.fold_states):
        left_out = torch.from_numpy(out_of_fold.folds == fold)
        logits = functional_call(head, state, (inputs,))
        torch.testing.assert_close(logits[left_out], out_of_fold.logits[left_out], atol=1e-4, rtol=1e-4)
        assert not torch.allclose(logits, head(inputs), atol=1e-4)


def test_a_modality_without_weight_still_answers_alone() -> None:
    head = StackedFusion({"a": 3, "b": 2}, 4)
    with torch.no_grad():
        head.weights.copy_(torch.tensor([1.0, 0.0]))
    inputs = {"b": torch.randn(6, 2, generator=torch.Generator().manual_seed(0))}
    assert torch.allclose(head(inputs), head.heads[1](inputs["b"]).log_softmax(1))


@pytest.mark.parametrize("penalty", [3.0, 100.0])
def test_second_derivatives_from_a_sample_save_passes_and_change_no_solution(
    monkeypatch: pytest.MonkeyPatch, penalty: float
) -> None:
    """Well parted labels, one of them rare, and cells that weigh nothing: where axes bend least alike."""
    features, labels = cells(3000, 60, n_labels=4)
    features += torch.eye(4).repeat_interleave(15, dim=1)[labels] * 2
    labels = torch.where((labels == 3) & (torch.arange(3000) % 7 > 0), 2, labels)
    weights = torch.ones(3, 3000)
    weights[0, ::3], weights[1, 1::3] = 0, 0
    axes = PrincipalAxes.of(FeatureBlocks.of(features))
    counted = _Counted(**vars(axes))
    start = fit_linear(axes, labels, weights, penalty, tolerance=ROUGH)
    found, passes = [], []
    for many in (10**6, 0):
        monkeypatch.setattr(linear_heads, "_MANY_CELLS", many)
        _Counted.n_passes = 0
        found.append(fit_linear(counted, labels, weights, penalty, start))
        passes.append(_Counted.n_passes)
    assert passes[1] < 0.7 * passes[0]
    for fit in range(3):
        expected, values = (each.log_probabilities(axes.coordinates, fit).exp() for each in found)
        np.testing.assert_allclose(values, expected, atol=2e-4)
    peer = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000).fit(features.numpy(), labels.numpy())
    np.testing.assert_allclose(values, peer.predict_proba(features.numpy()), atol=0.01)
