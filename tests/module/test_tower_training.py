"""What a tower is trained by, against the formula, and what its steps see."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from scmpt_scverse.module import LabelledStudy, TowerOptions, TrainingRun
from scmpt_scverse.module._profile_tower import ProfileTower, marker_axes
from scmpt_scverse.module._tower_training import AlignmentLoss, _Step, _Steps, fit_tower

N_TYPES, N_WORDINGS, DIM, N_GENES = 6, 3, 5, 8
CPU = TrainingRun("cpu")


@pytest.fixture
def texts() -> torch.Tensor:
    return torch.randn(N_TYPES, N_WORDINGS, DIM, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def markers() -> torch.Tensor:
    return torch.rand(N_TYPES, N_GENES, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tower() -> ProfileTower:
    torch.manual_seed(0)
    return ProfileTower(DIM, torch.randn(N_GENES, 4), 7)


def study(n_cells: int = 20, types: tuple[int, ...] = (2, 0)) -> LabelledStudy:
    """Cells of five of the genes."""
    values = np.random.default_rng(n_cells).normal(size=(n_cells, 5)).astype(np.float32)
    return LabelledStudy(values, np.array([0, 2, 3, 5, 7]), np.arange(n_cells) % len(types), np.array(types))


def test_a_tower_writes_a_small_network_and_a_linear_map_on_axes(tower: ProfileTower, texts: torch.Tensor) -> None:
    first, _, last = tower.network
    some = texts[:, 0]
    with torch.no_grad():
        hidden = functional.gelu(first(some))
        torch.testing.assert_close(tower(some), (last(hidden) + tower.linear(some)) @ tower.axes.T)
    assert hidden.shape == (N_TYPES, 7)
    assert tower.device == torch.device("cpu")


def test_axes_are_the_best_of_their_number() -> None:
    """Their product with the coordinates comes as near to unit profiles as singular vectors do."""
    profiles = torch.rand(12, 30, generator=torch.Generator().manual_seed(0)) * 5
    unit = functional.normalize(profiles, dim=1)
    singular = torch.linalg.svdvals(unit)
    torch.manual_seed(0)
    for n_axes in (3, 12, 40):
        axes, coordinates = marker_axes(profiles, n_axes)
        kept = min(n_axes, 12)
        assert (axes.shape, coordinates.shape) == ((30, kept), (12, kept))
        left = (unit - coordinates @ axes.T).norm().item()
        assert left == pytest.approx(singular[kept:].norm().item(), rel=0.05, abs=1e-4)
        # Both share the singular values, so that neither starts out larger.
        torch.testing.assert_close(axes.norm(dim=0), coordinates.norm(dim=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["n_hidden", "n_axes", "n_steps", "types_per_step", "cells_per_step"])
def test_numbers_of_things_are_at_least_one(name: str) -> None:
    TowerOptions(**{name: 1})
    with pytest.raises(ValueError, match=f"`{name}` must be a whole number of at least 1; found 0"):
        TowerOptions(**{name: 0})


def test_other_options_are_checked() -> None:
    TowerOptions(lr=1e-9, noise=0.0, gene_dropout=1.0, seed=0)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"lr": 0.0}, "`lr` must be above 0; found 0.0"),
        ({"noise": -0.1}, "`noise` must be at least 0; found -0.1"),
        ({"gene_dropout": 1.1}, "`gene_dropout` must be a share from 0 to 1; found 1.1"),
        ({"seed": -1}, "`seed` must be"),
    ]
    for options, message in wrong:
        with pytest.raises(ValueError, match=message):
            TowerOptions(**options)


def test_the_loss_is_contrast_and_distance_of_types_and_the_labels_of_cells(
    tower: ProfileTower, texts: torch.Tensor, markers: torch.Tensor
) -> None:
    studies = [study(), study(9, (1, 3, 4))]
    step = _Step(
        np.array([4, 0, 3]),
        np.array([0, 2, 1]),
        [
            (np.array([3, 8, 11]), np.array([1, 0]), torch.tensor([1.0, 0, 1, 1, 1])),
            (np.array([0, 5]), np.array([2, 2, 0]), torch.tensor([1.0, 1, 1, 0, 1])),
        ],
    )
    with torch.no_grad():
        cosines = functional.cosine_similarity(
            tower(texts[[4, 0, 3], [0, 2, 1]])[:, None], markers[[4, 0, 3]][None], dim=2
        )
        own = torch.arange(3)
        both = functional.cross_entropy(cosines / 0.07, own) + functional.cross_entropy(cosines.T / 0.07, own)
        expected = both / 2 + (1 - cosines.diag()).mean()
        torch.testing.assert_close(
            AlignmentLoss(tower, texts, markers, [], 0.0).training_loss(step._replace(cells=[])), expected
        )
        for each, (rows, wordings, kept) in zip(studies, step.cells, strict=True):
            profiles = tower(texts[each.types, wordings])[:, each.genes] * kept
            cells = torch.from_numpy(each.values[rows]) * kept
            cosines = functional.cosine_similarity(cells[:, None], profiles[None], dim=2)
            expected += functional.cross_entropy(12 * cosines, torch.from_numpy(each.codes[rows])) / 2
        loss = AlignmentLoss(tower, texts, markers, studies, 0.0)
        torch.testing.assert_close(loss.training_loss(step), expected)
    assert loss.n_cells(step) == 3
    assert loss.validation_metrics(step) == {}


def test_noise_is_in_units_of_the_spread_of_texts(
    tower: ProfileTower, texts: torch.Tensor, markers: torch.Tensor
) -> None:
    loss = AlignmentLoss(tower, texts, markers, [], 0.4)
    torch.manual_seed(0)
    types, wordings = np.arange(6), np.zeros(6, dtype=int)
    noise = torch.stack([loss._noisy(types, wordings) for _ in range(500)]) - texts[:, 0]
    assert noise.std().item() == pytest.approx(0.4 * texts.std(dim=0).mean().item(), rel=0.03)
    assert noise.mean().abs() < 0.02


def test_a_step_sees_some_types_and_cells_of_every_label_in_equal_parts() -> None:
    codes = np.array([0] * 9 + [1] * 2 + [-1] * 3)
    one = LabelledStudy(np.zeros((14, 400), dtype=np.float32), np.arange(400), codes, np.array([5, 2]))
    options = TowerOptions(types_per_step=4, cells_per_step=9, gene_dropout=0.6)
    steps = list(islice(_Steps(np.array([0, 2, 3, 4, 5]), 3, [one], options), 200))
    for step in steps:
        assert len(set(step.types)) == len(step.wordings) == 4
        ((rows, wordings, kept),) = step.cells
        assert np.bincount(codes[rows]).tolist() == [4, 2]
        assert len(set(rows)) == 6
        assert wordings.shape == (2,)
        assert set(kept.tolist()) <= {0.0, 1.0}
    assert set(np.concatenate([step.types for step in steps])) == {0, 2, 3, 4, 5}
    for drawn in ([step.wordings for step in steps], [step.cells[0][1] for step in steps]):
        counts = np.bincount(np.concatenate(drawn))
        assert len(counts) == 3
        assert counts.min() > 60
    hidden = np.array([1 - step.cells[0][2].mean().item() for step in steps])
    assert hidden.min() < 0.05
    assert 0.5 < hidden.max() < 0.7
    assert hidden.mean() == pytest.approx(0.3, abs=0.05)
    more = next(iter(_Steps(np.array([0, 2]), 3, [one], TowerOptions(types_per_step=9, cells_per_step=1))))
    assert sorted(more.types) == [0, 2]
    assert np.bincount(codes[more.cells[0][0]]).tolist() == [1, 1]


def test_nothing_is_hidden_unless_it_is_asked_for() -> None:
    steps = _Steps(np.arange(3), 1, [study()], TowerOptions(gene_dropout=0.0))
    assert all(step.cells[0][2].all() for step in islice(steps, 5))


def test_types_without_markers_are_left_out_of_the_contrast_and_of_the_axes(
    texts: torch.Tensor, markers: torch.Tensor
) -> None:
    without = markers.numpy().copy()
    without[[1, 4]] = 0
    options = TowerOptions(n_hidden=4, n_axes=3, n_steps=3, noise=0.0)
    expected, losses = fit_tower(texts.numpy()[[0, 2, 3, 5]], without[[0, 2, 3, 5]], (), options, run=CPU)
    found, again = fit_tower(texts.numpy(), without, (), options, run=CPU)
    assert found.axes.shape == (N_GENES, 3)
    assert np.isfinite(again).all()
    assert len(losses) == len(again) == 3
    assert again[0] == pytest.approx(losses[0], rel=0.3)  # of the same types, in another order and other wordings
    assert not expected.training
    assert not found.training
