"""Which cells are near which, where there are few and where there are very many."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from scmpt_scverse.zero_shot import Neighbourhood, _neighbourhood, nearest_cells


@pytest.fixture
def components() -> np.ndarray:
    """Twelve clusters of different size and spread, in eight dimensions."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 400, 12)
    return np.vstack([rng.normal(rng.normal(0, 4, 8), rng.uniform(0.3, 2), (size, 8)) for size in sizes])


@pytest.fixture
def in_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions for as few cells as these."""
    for name, size in {"_MOST_COMPARED": 100, "_REGION_SIZE": 25, "_MIN_COMPARED": 250}.items():
        monkeypatch.setattr(_neighbourhood, name, size)


def exact(components: np.ndarray, n_others: int) -> np.ndarray:
    found: np.ndarray = NearestNeighbors(n_neighbors=n_others).fit(components).kneighbors(return_distance=False)
    return found


@pytest.mark.usefixtures("in_regions")
def test_nearly_all_neighbours_are_found_region_by_region(components: np.ndarray) -> None:
    found, true = nearest_cells(components, 14), exact(components, 14)
    shared = [len(set(one) & set(other)) / 14 for one, other in zip(found, true, strict=True)]
    assert np.mean(shared) > 0.95
    assert np.mean(found[:, 0] == true[:, 0]) > 0.95, "the nearest stands first"
    assert not (found == np.arange(len(components))[:, None]).any(), "no cell is its own neighbour"
    assert all(len(set(row)) == 14 for row in found)
    np.testing.assert_array_equal(found, nearest_cells(components, 14))


@pytest.mark.usefixtures("in_regions")
def test_many_cells_in_one_place() -> None:
    components = np.repeat([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]], [200, 80, 20], axis=0)
    found = nearest_cells(components, 14)
    assert not (found == np.arange(300)[:, None]).any()
    np.testing.assert_array_equal(components[found], np.repeat(components[:, None], 14, axis=1))


def test_a_cell_that_cannot_be_read_is_nobody_elses_neighbour(components: np.ndarray) -> None:
    is_readable = np.ones(len(components), dtype=bool)
    is_readable[[0, 7]] = False
    near = Neighbourhood.in_components(components, is_readable)
    assert near is not None
    assert not np.isin(near.nearest[is_readable], [0, 7]).any()
    np.testing.assert_array_equal(near.nearest[[0, 7]], np.repeat([[0], [7]], 14, axis=1))
    rest = Neighbourhood.in_components(components[is_readable])
    assert rest is not None
    np.testing.assert_array_equal(near.nearest[is_readable], np.flatnonzero(is_readable)[rest.nearest])


@pytest.mark.parametrize(("n_obs", "n_others"), [(80, 1), (199, 3), (600, 14), (900, 14)])
def test_a_small_query_is_averaged_over_few_cells(components: np.ndarray, n_obs: int, n_others: int) -> None:
    near = Neighbourhood.in_components(components[:n_obs])
    assert near is not None
    assert near.nearest.shape == (n_obs, n_others)


def test_few_cells_have_no_neighbourhood(components: np.ndarray) -> None:
    assert Neighbourhood.in_components(components[:79]) is None
    is_readable = np.arange(len(components)) < 79
    assert Neighbourhood.in_components(components, is_readable) is None
