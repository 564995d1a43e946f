"""Axes from blocks of cells are those of all cells at once, and what is held of many cells is bounded."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from scmpt_scverse.module import _principal_axes
from scmpt_scverse.module._principal_axes import FeatureBlocks, PrincipalAxes


def features(n_obs: int, n_features: int, seed: int = 0) -> torch.Tensor:
    """Correlated features, whose variances fall from one axis to the next."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features)) * np.linspace(2, 0.2, n_features)[:, None]
    return torch.from_numpy(rng.normal(size=(n_obs, n_features)) @ mixing).float()


def in_blocks_of(size: int, values: torch.Tensor) -> FeatureBlocks:
    return FeatureBlocks((values.shape[0], values.shape[1]), lambda: iter(values.split(size)))


@pytest.mark.parametrize("shape", [(300, 40), (30, 40)])
@pytest.mark.parametrize("size", [1, 7, 300])
def test_blocks_of_any_size_give_the_axes_of_a_singular_value_decomposition(shape: tuple[int, int], size: int) -> None:
    values = features(*shape)
    found = PrincipalAxes.of(in_blocks_of(size, values), 12)
    left, singular, right = torch.linalg.svd(values.double(), full_matrices=False)
    assert found.axes.shape == (40, 12)
    torch.testing.assert_close(found.squares.double(), singular[:12] ** 2, rtol=1e-4, atol=0)
    # Up to their signs.
    torch.testing.assert_close((right[:12] @ found.axes.double()).abs(), torch.eye(12).double(), atol=2e-3, rtol=0)
    torch.testing.assert_close(found.coordinates.abs().double(), (left * singular)[:, :12].abs(), atol=0.05, rtol=1e-3)
    assert found.total == pytest.approx(float(values.double().square().sum()), rel=1e-5)


def test_cells_pass_by_twice_and_no_more_than_a_block_is_there() -> None:
    values, passes = features(500, 20), 0

    def read() -> Iterator[torch.Tensor]:
        nonlocal passes
        passes += 1
        for block in values.split(50):
            some = block.clone()
            yield some
            some.fill_(torch.nan)  # whoever kept it would compute with this

    found = PrincipalAxes.of(FeatureBlocks((500, 20), read))
    assert passes == 2
    torch.testing.assert_close(found.coordinates, values @ found.axes)


def test_many_cells_are_held_in_half_precision_then_on_fewer_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    values = features(400, 30)
    full = PrincipalAxes.of(FeatureBlocks.of(values))
    monkeypatch.setattr(_principal_axes, "_MOST_BYTES", 400 * 30 * 2)
    half = PrincipalAxes.of(FeatureBlocks.of(values))
    assert (full.coordinates.dtype, half.coordinates.dtype) == (torch.float32, torch.float16)
    assert half.coordinates.shape == full.coordinates.shape
    assert half.rows(slice(0, 3)).dtype == torch.float32
    torch.testing.assert_close(half.rows(slice(None)), full.coordinates, rtol=1e-3, atol=1e-3)
    monkeypatch.setattr(_principal_axes, "_MOST_BYTES", 400 * 10 * 2)
    fewer = PrincipalAxes.of(FeatureBlocks.of(values))
    assert fewer.coordinates.shape == (400, 10)
    assert fewer.coordinates.nbytes <= 400 * 10 * 2
    assert fewer.total == pytest.approx(full.total)


def test_features_that_do_not_vary_have_one_axis() -> None:
    for n_obs in (50, 5):
        found = PrincipalAxes.of(FeatureBlocks.of(torch.zeros(n_obs, 9)), 4)
        assert found.coordinates.shape == (n_obs, 1)
        assert (found.coordinates == 0).all()
        assert found.total == 0


@pytest.mark.parametrize("n_axes", [None, 6])
def test_copies_of_a_few_features_have_no_more_axes_than_these(n_axes: int | None) -> None:
    values = features(200, 3).repeat(1, 5)
    found = PrincipalAxes.of(FeatureBlocks.of(values), n_axes)
    assert found.axes.shape == (15, 3)
    torch.testing.assert_close(found.coordinates @ found.axes.T, values, atol=1e-3, rtol=1e-3)


def test_cells_are_given_in_blocks_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for size, expected in ((64, [64, 64, 2]), (65, [65, 65]), (130, [130]), (500, [130])):
        monkeypatch.setattr(_principal_axes, "BLOCK_SIZE", size)
        found = PrincipalAxes.of(FeatureBlocks.of(features(130, 6)))
        blocks = list(found.blocks())
        assert [len(coordinates) for _, coordinates in blocks] == expected
        assert [number for rows, _ in blocks for number in range(rows.start, rows.stop)] == list(range(130))
        torch.testing.assert_close(torch.cat([coordinates for _, coordinates in blocks]), found.coordinates)
        for rows, coordinates in blocks:
            assert torch.equal(coordinates, found.rows(rows))
        assert [len(each) for each in FeatureBlocks.of(features(130, 6)).read()] == expected


def test_some_cells_and_some_axes_are_parts_of_all() -> None:
    found = PrincipalAxes.of(FeatureBlocks.of(features(80, 6)))
    rows = torch.tensor([5, 70, 3, 20])
    some = found.of_cells(rows)
    assert torch.equal(some.coordinates, found.coordinates[rows])
    torch.testing.assert_close(some.squares, found.squares / 20)
    assert (some.n_obs, found.n_obs) == (4, 80)
    first = found.first(2)
    assert torch.equal(first.coordinates, found.coordinates[:, :2])
    assert torch.equal(first.axes, found.axes[:, :2])
    assert torch.equal(first.squares, found.squares[:2])
    assert first.total == some.total == found.total


@pytest.mark.parametrize(("n_obs", "n_axes"), [(40, 1), (40, 8), (41, 8), (39, 8)])
def test_as_many_axes_as_asked_for_unless_there_are_fewer(n_obs: int, n_axes: int) -> None:
    """With 40 features, cells fewer than these are held in memory; in both cases axes are orthonormal."""
    found = PrincipalAxes.of(FeatureBlocks.of(features(n_obs, 40)), n_axes)
    assert found.axes.shape == (40, n_axes)
    torch.testing.assert_close(found.axes.T @ found.axes, torch.eye(n_axes), atol=2e-3, rtol=0)
    torch.testing.assert_close(found.coordinates.square().sum(dim=0), found.squares, rtol=1e-3, atol=1e-3)


def test_directions_of_rounding_are_no_axes() -> None:
    """In double precision from a ten-millionth of the largest sum of squares on, a millionth where some are sought."""
    spread = torch.tensor([1.0, 3e-3, 6e-4, 1.5e-4])
    values = (torch.linalg.qr(features(50, 4).double())[0] * spread).float()
    every = PrincipalAxes.of(FeatureBlocks.of(values))
    some = PrincipalAxes.of(FeatureBlocks.of(values), 3)
    assert (every.axes.shape[1], some.axes.shape[1]) == (3, 2)
