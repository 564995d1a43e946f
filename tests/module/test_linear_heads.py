"""The linear solver against scikit-learn, and what stacking promises."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from scmpt_scverse.module._fusion_stacked import StackedFusion
from scmpt_scverse.module._linear_heads import PrincipalAxes, fit_linear
from scmpt_scverse.module._stacking import LinearHead, fit_head, mixture_weights, stratified_folds


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
    axes = PrincipalAxes.of(features)
    fits = fit_linear(
        axes, torch.nn.functional.one_hot(labels).float(), torch.stack([torch.ones(n_obs), weights]), penalty
    )
    for fit, sample_weight in enumerate((None, weights.numpy())):
        peer = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000)
        peer.fit(features.numpy(), labels.numpy(), sample_weight)
        ours = fits.log_probabilities(axes.coordinates, fit).exp().numpy()
        np.testing.assert_allclose(ours, peer.predict_proba(features.numpy()), atol=0.01)


def test_axes_keep_angles_and_distances() -> None:
    for shape in ((40, 7), (7, 40)):
        features, _ = cells(*shape)
        axes = PrincipalAxes.of(features)
        assert torch.allclose(axes.coordinates @ axes.coordinates.T, features @ features.T, atol=1e-3)
        assert torch.allclose(axes.coordinates @ axes.axes.T, features, atol=1e-4)
        assert (axes.squares.diff() <= 0).all()


def test_out_of_fold_means_unseen() -> None:
    """Where labels are noise, cells are predicted no better than by chance by heads that did not see them."""
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(120, 300))).float()
    labels = torch.from_numpy(np.random.default_rng(1).integers(0, 2, 120))
    head = fit_head(features, labels, torch.ones(120), stratified_folds(labels.numpy(), 0))
    assert head.out_of_fold.shape == (3, 120, 2)
    assert (head.out_of_fold.argmax(2) == labels).float().mean() < 0.65
    assert all(torch.nn.functional.nll_loss(partition, labels) > 0.6 for partition in head.out_of_fold)


def test_every_label_is_in_every_fold_that_it_can_be_in() -> None:
    labels = np.repeat([0, 1, 2], [40, 6, 1])
    folds = stratified_folds(labels, 3)
    for partition in folds:
        assert [len(np.unique(partition[labels == label])) for label in range(3)] == [10, 6, 1]
    assert [len(np.unique(partition)) for partition in folds] == [10, 10, 10]
    assert len(np.unique(folds)) == 30
    assert stratified_folds(np.zeros(201, dtype=int), 3).shape == (1, 201)
    assert np.bincount(stratified_folds(np.zeros(1001, dtype=int), 3)[0]).tolist() == [251, 250, 250, 250]
    assert not np.array_equal(folds, stratified_folds(labels, 4))


def test_a_modality_of_noise_has_no_say() -> None:
    features, labels = cells(150, 6)
    noise = torch.from_numpy(np.random.default_rng(2).normal(size=(150, 6))).float()
    folds = stratified_folds(labels.numpy(), 0)
    heads: dict[str, LinearHead] = {
        name: fit_head(values, labels, torch.ones(150), folds)
        for name, values in {"good": features, "noise": noise}.items()
    }
    good, bad = mixture_weights(heads, labels, torch.ones(150))
    assert bad < 0.2 * good


def test_solved_head_knows_labels_without_cells() -> None:
    features, labels = cells(60, 5)
    head = StackedFusion({"a": 5}, 5, n_hidden=1, n_layers=1, dropout_rate=0.0)
    logits = head.solve({"a": features}, labels + (labels == 2), torch.ones(60), seed=0)  # labels 0, 1 and 3 of 5
    probabilities = head({"a": features}).softmax(dim=1)
    assert logits.shape == (60, 5)
    assert torch.equal(probabilities.argmax(1).unique(), torch.tensor([0, 1, 3]))
    assert probabilities[:, [2, 4]].max() < 1e-6


def test_a_modality_without_weight_still_answers_alone() -> None:
    head = StackedFusion({"a": 3, "b": 2}, 4, n_hidden=1, n_layers=1, dropout_rate=0.0)
    with torch.no_grad():
        head.weights.copy_(torch.tensor([1.0, 0.0]))
    inputs = {"b": torch.randn(6, 2, generator=torch.Generator().manual_seed(0))}
    assert torch.allclose(head(inputs), head.heads[1](inputs["b"]).log_softmax(1))
