"""What stacking promises: it gives way to the best modality, weighs cells, and bridges what is missing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss

from scmpt_scverse._types import FloatArray, IntArray
from scmpt_scverse.module import CellSplit, FitOptions, FusionClassifier
from scmpt_scverse.module._fusion_stacked import StackedFusion
from scmpt_scverse.module._mixture import mixture_weights
from scmpt_scverse.module._principal_axes import FeatureBlocks
from scmpt_scverse.module._stacking import LinearHead, _Search, fit_head, stratified_folds


def head_of(log_probabilities: FloatArray) -> LinearHead:
    """A head of which only what it says out of fold matters."""
    return LinearHead(torch.empty(0), torch.empty(0), torch.from_numpy(log_probabilities).float())


def opinions(seed: int, n_obs: int = 30) -> tuple[dict[str, FloatArray], IntArray, FloatArray]:
    """Log-probabilities of three labels by two modalities, the true labels, one of them rare, and weights of cells."""
    rng = np.random.default_rng(seed)
    labels = np.array([0, 1, 0, 1, 2])[np.arange(n_obs) % 5]
    modalities = {}
    for name, strength in (("a", 1.5), ("b", 1.2)):
        logits = rng.normal(size=(n_obs, 3)) * 2 + strength * np.eye(3)[labels]
        modalities[name] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return modalities, labels, rng.exponential(size=n_obs) ** 2 + 0.05


def softmax(logits: FloatArray) -> FloatArray:
    shifted: FloatArray = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def by_definition(modalities: dict[str, FloatArray], labels: IntArray, cell_weights: FloatArray) -> tuple[Any, float]:
    """The weights that stacking should find, and the share that goes to the best single modality."""
    stacked = np.stack(list(modalities.values()))

    def loss(weights: FloatArray, which: slice | list[int]) -> float:
        mixed = np.einsum("m,mnl->nl", np.abs(weights), stacked[which])
        prior = ((np.abs(weights) - 1 / len(weights)) ** 2).sum() / len(labels)
        return float(log_loss(labels, softmax(mixed), sample_weight=cell_weights, labels=[0, 1, 2]) + prior)

    def solved(which: slice | list[int], n: int) -> tuple[FloatArray, float]:
        found = minimize(loss, np.full(n, 0.5), args=(which,), method="Nelder-Mead", options={"xatol": 1e-6})
        return np.abs(found.x), found.fun

    mixed, _ = solved(slice(None), 2)
    alone = [solved([modality], 1) for modality in range(2)]
    best_modality = int(alone[1][1] < alone[0][1])
    best = alone[best_modality][0][0] * np.eye(2)[best_modality]
    scores = []
    for share in (0, 0.5, 1):
        predicted = np.einsum("m,mnl->nl", (1 - share) * mixed + share * best, stacked).argmax(axis=1)
        scores.append(f1_score(labels, predicted, average="macro"))
    share = (0, 0.5, 1)[int(np.argmax(scores))]
    return (1 - share) * mixed + share * best, share


def test_gives_way_to_the_best_modality_where_that_is_better_out_of_fold() -> None:
    """Not at all, by half or wholly, whichever has the highest macro F1; the least so where several have it."""
    shares = set()
    for seed in (1, 2, 6, 11, 12, 17):
        modalities, labels, cell_weights = opinions(seed)
        expected, share = by_definition(modalities, labels, cell_weights)
        shares.add(share)
        heads = {name: head_of(values) for name, values in modalities.items()}
        found = mixture_weights(heads, torch.from_numpy(labels), torch.from_numpy(cell_weights))
        np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.005)
    assert shares == {0, 0.5, 1}


def mislabelled() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two labels that are easily told apart; 40 of 100 cells have the wrong one, and weigh nothing."""
    labels = np.arange(100) % 2
    values = np.random.default_rng(0).normal(size=(100, 4)) + np.where(labels, 1.5, -1.5)[:, None]
    is_wrong = np.random.default_rng(1).permutation(100) < 40
    given = np.where(is_wrong, 1 - labels, labels)
    weights = torch.from_numpy(np.where(is_wrong, 0.0, 1.0)).float()
    standardised = (values - values.mean(axis=0)) / values.std(axis=0)
    return torch.from_numpy(standardised).float(), torch.from_numpy(labels), torch.from_numpy(given), weights


def test_cells_without_weight_have_no_say() -> None:
    """Neither in the regressions, nor in the choice of their penalty, nor in the mixture."""
    features, labels, given, weights = mislabelled()
    head = fit_head(FeatureBlocks.of(features), given, weights, stratified_folds(given.numpy(), 0))
    assert torch.nn.functional.nll_loss(head.out_of_fold, labels) < 0.05
    mixture = mixture_weights({"a": head, "b": head}, given, weights)
    assert mixture.sum() > 0.9  # the cells of the wrong label would make it as unsure as can be
    assert mixture_weights({"a": head, "b": head}, given, torch.ones(100)).sum() < 0.2


def test_penalties_are_in_units_of_the_variance_and_do_not_grow_with_cells() -> None:
    """A tenth of the cells' number of features stands in sum over cells, as `1 / C` does in scikit-learn."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    features = rng.normal(size=(120, 6)) + rng.normal(size=(3, 6))[labels]
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    folds = stratified_folds(labels, 0)
    arguments = torch.from_numpy(labels), torch.ones(120), folds
    search = _Search.of(FeatureBlocks.of(torch.from_numpy(features).float()), *arguments)
    found = [search.solved(each) for each in search.candidates()]
    assert len(found) >= 2
    for share, head in zip((0.3, 0.03, 0.003, 0.0003), found, strict=False):
        left_out = folds == 2
        for cells, number in ((~left_out, 2), (np.full(120, True), -1)):
            peer = LogisticRegression(C=1 / (share * 6), tol=1e-8, max_iter=5000).fit(features[cells], labels[cells])
            ours = torch.from_numpy(features).float() @ head.weights[number].T + head.biases[number]
            np.testing.assert_allclose(ours.softmax(dim=1).numpy(), peer.predict_proba(features), atol=0.02)
    rescaled = fit_head(FeatureBlocks.of(torch.from_numpy(features * 50).float()), *arguments)
    torch.testing.assert_close(
        rescaled.out_of_fold,
        fit_head(FeatureBlocks.of(torch.from_numpy(features).float()), *arguments).out_of_fold,
        atol=0.01,
        rtol=0.01,
    )


def test_the_candidate_of_least_cross_entropy_is_taken() -> None:
    features, _, given, weights = mislabelled()
    arguments = FeatureBlocks.of(features), given, weights, stratified_folds(given.numpy(), 0)
    search = _Search.of(*arguments)
    candidates = list(search.candidates())
    heads = [search.solved(each) for each in candidates]
    losses = [torch.nn.functional.nll_loss(head.out_of_fold, given, reduction="none") @ weights for head in heads]
    for candidate, loss in zip(candidates, losses, strict=True):
        assert candidate.loss == pytest.approx(float(loss / weights.sum()), rel=0.01)
    assert fit_head(*arguments).out_of_fold.equal(heads[int(np.argmin(losses))].out_of_fold)


def test_a_missing_modality_makes_the_others_weigh_more() -> None:
    """As much as all together, so that what is left is as sure as before."""
    head = StackedFusion({"a": 3, "b": 2, "c": 4}, 5)
    with torch.no_grad():
        head.weights.copy_(torch.tensor([0.9, 0.6, 0.3]))
    generator = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(6, dim, generator=generator) for name, dim in head.modality_dims.items()}
    logs = [layer(inputs[name]).log_softmax(dim=1) for layer, name in zip(head.heads, "abc", strict=True)]
    torch.testing.assert_close(head(inputs), 0.9 * logs[0] + 0.6 * logs[1] + 0.3 * logs[2])
    without_b = {name: inputs[name] for name in "ac"}
    torch.testing.assert_close(head(without_b), 1.8 * (0.75 * logs[0] + 0.25 * logs[2]))
    fused = head.fuse(without_b).unflatten(1, (3, 5))
    assert (fused[:, 1] == 0).all()
    torch.testing.assert_close(fused[:, 2], 0.45 * logs[2])


@pytest.mark.parametrize("favoured", [0, 2])
def test_class_weights_reach_the_solved_head(favoured: int) -> None:
    rng = np.random.default_rng(0)
    codes = np.arange(150) % 3
    values = {"a": (rng.normal(size=(150, 3)) + np.eye(3)[codes]).astype(np.float32)}
    split = CellSplit(np.arange(150), np.arange(0), np.arange(0))
    shares = []
    for weight in (1.0, 50.0):
        classifier = FusionClassifier({"a": 3}, 3)
        weights = torch.ones(3)
        weights[favoured] = weight
        classifier.fit(values, codes, split, FitOptions(class_weight=weights))
        shares.append(np.mean(classifier.logits(values).argmax(axis=1) == favoured))
    assert shares[0] < 0.5
    assert shares[1] > 0.8


def test_validation_cells_are_reported_but_not_learned_from() -> None:
    rng = np.random.default_rng(0)
    codes = np.arange(90) % 3
    values = {"a": (rng.normal(size=(90, 3)) + 2 * np.eye(3)[codes]).astype(np.float32)}
    train, validation = np.arange(60), np.arange(60, 90)
    split, without = (CellSplit(train, some, np.arange(0)) for some in (validation, validation[:0]))
    first, second = FusionClassifier({"a": 3}, 3), FusionClassifier({"a": 3}, 3)
    history = first.fit(values, codes, split, FitOptions()).history
    fit = second.fit(values, codes, without, FitOptions())
    np.testing.assert_array_equal(first.logits(values), second.logits(values))
    assert set(history) == {"train_loss", "validation_loss"}
    assert set(fit.history) == {"train_loss"}
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(first.logits(values)[60:]), torch.tensor(codes[60:]))
    assert history["validation_loss"].iloc[0, 0] == pytest.approx(float(expected), rel=1e-5)
    expected = torch.nn.functional.cross_entropy(fit.held_out.logits, fit.held_out.codes)
    assert history["train_loss"].iloc[0, 0] == pytest.approx(float(expected), rel=1e-5)


def test_labels_of_one_cell_leave_the_weights_equal() -> None:
    """No head that left such a cell out knows its label, so none can be judged, and none must lose its weight."""
    rng = np.random.default_rng(0)
    labels = torch.arange(6)
    weights = torch.ones(6)
    heads = {
        name: fit_head(
            FeatureBlocks.of(torch.from_numpy(rng.normal(size=(6, 4))).float()), labels, weights, np.arange(6)
        )
        for name in ("a", "b", "c")
    }
    np.testing.assert_allclose(mixture_weights(heads, labels, weights), 1 / 3)


def test_labels_of_one_cell_have_no_say_beside_others() -> None:
    features, labels, _, weights = mislabelled()
    folds = stratified_folds(labels.numpy(), 0)
    noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    heads = {
        name: fit_head(FeatureBlocks.of(each), labels, weights, folds) for name, each in (("a", features), ("b", noise))
    }
    alone = mixture_weights(heads, labels, weights)

    single = int(labels.max()) + 1
    more = {}
    for name, head in heads.items():
        known = torch.nn.functional.pad(head.out_of_fold, (0, 1), value=-50.0)
        more[name] = replace(head, out_of_fold=torch.cat([known, torch.zeros(1, single + 1)]))
    more["a"].out_of_fold[-1, single] = -90.0  # the better modality is the surer that this label is not there
    labels, weights = torch.cat([labels, torch.tensor([single])]), torch.cat([weights, torch.ones(1)])
    np.testing.assert_allclose(mixture_weights(more, labels, weights), alone, rtol=1e-3)


def test_few_cells_leave_the_weights_nearly_equal() -> None:
    """The same difference between modalities decides where many cells show it."""
    better, worse = (torch.tensor([[one, 1 - one], [1 - one, one]]).log() for one in (0.8, 0.6))
    shares = []
    for n_cells in (4, 400):
        labels = torch.arange(n_cells) % 2
        nothing = torch.zeros(1)
        heads = {name: LinearHead(nothing, nothing, each[labels]) for name, each in (("a", better), ("b", worse))}
        weights = mixture_weights(heads, labels, torch.ones(n_cells))
        shares.append(weights[1] / weights.sum())
    assert shares[1] + 0.05 < shares[0] < 0.5
