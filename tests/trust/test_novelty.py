"""Out-of-distribution scores by hand, on cells like those of training, and where a modality is missing."""

import warnings

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from scmpt_scverse._types import FloatArray, IntArray
from scmpt_scverse.trust import Novelty
from scmpt_scverse.trust._novelty import warn_of_novel_cells

DIMS = {"text": 12, "expression": 6}


def cells(n_obs: int, seed: int) -> tuple[dict[str, FloatArray], IntArray]:
    """Three labels in two modalities of unlike spread."""
    codes = np.arange(n_obs) % 3
    noise = np.random.default_rng(seed)
    values = {}
    for number, (name, dim) in enumerate(DIMS.items()):
        centres = np.random.default_rng(100 + number).normal(size=(3, dim)) * 2
        centres -= centres.mean(axis=0)
        values[name] = ((centres[codes] + noise.normal(size=(n_obs, dim))) * 10**number).astype(np.float32)
    return values, codes


def test_scores_by_hand() -> None:
    """Squared distance to the nearest mean; the share of usual distances below, not counting equal ones."""
    novelty = Novelty({"a": np.eye(1)}, np.array([1.0, 4.0, 9.0, 16.0]), np.array([[0.0], [10.0]]), np.array([[1.0]]))
    values = {"a": np.array([[0.0], [1.5], [2.0], [2.5], [9.5], [-1.0], [14.5]])}
    assert novelty.scores(values).tolist() == [0, 0.25, 0.25, 0.5, 0, 0, 1]


def test_distances_are_those_of_the_shared_covariance() -> None:
    values, codes = cells(90, 0)
    novelty = Novelty.fit(values, codes)
    coordinates = novelty.coordinates(values)
    means = np.stack([coordinates[codes == code].mean(axis=0) for code in range(3)])
    np.testing.assert_allclose(novelty.means, means, rtol=1e-5)
    precision = LedoitWolf(assume_centered=True).fit(coordinates - means[codes]).precision_
    np.testing.assert_allclose(novelty.precision, precision, rtol=1e-3, atol=1e-5)


def test_the_order_of_modalities_does_not_matter() -> None:
    values, codes = cells(90, 0)
    novelty = Novelty.fit(values, codes)
    for order in (list(values), list(values)[::-1]):
        arrays = {key: novelty.arrays()[key] for key in ("usual", "means", "precision")}
        arrays |= {key: novelty.arrays()[key] for name in order for key in novelty.arrays() if key.endswith(name)}
        other = Novelty.from_arrays(arrays)
        new = {name: values[name] for name in order}
        np.testing.assert_array_equal(other.scores(new), novelty.scores(values))


def test_modalities_have_the_same_say_whatever_their_unit() -> None:
    values, codes = cells(90, 0)
    coordinates = Novelty.fit(values, codes).coordinates(values)
    squares = (coordinates**2).sum(axis=0)
    assert squares[:6].sum() == pytest.approx(squares[6:].sum(), rel=1e-4)  # expression, then text: by name
    assert squares.sum() == pytest.approx(2 * 90, rel=1e-4)


@pytest.mark.parametrize("n_obs", [100, 300])
def test_cells_like_those_of_training_score_evenly_with_more_features_than_cells(n_obs: int) -> None:
    """Training cells spread more than others along axes that were learned from them."""
    centres = np.random.default_rng(7).normal(size=(3, 1000))
    noise = np.random.default_rng(8)
    sets = [
        {"a": (centres[np.arange(n) % 3] + 3 * noise.normal(size=(n, 1000))).astype(np.float32)} for n in (n_obs, 600)
    ]
    scores = Novelty.fit(sets[0], np.arange(n_obs) % 3).scores(sets[1])
    assert 0.35 < scores.mean() < 0.7
    assert 0.01 < (scores > 0.95).mean() < 0.2
    assert (scores == 0).mean() < 0.05


@pytest.mark.parametrize("n_obs", [60, 150])
def test_cells_like_those_of_training_score_evenly(n_obs: int) -> None:
    """Distances of training cells are to means that they are no part of; else new cells would all seem novel."""
    values, codes = cells(n_obs, 0)
    novelty = Novelty.fit(values, codes)
    new, _ = cells(600, 1)
    scores = novelty.scores(new)
    assert scores.mean() == pytest.approx(0.5, abs=0.12)
    assert len(novelty.usual) == n_obs
    assert (np.diff(novelty.usual) >= 0).all()


def test_a_rare_label_is_known_wherever_cells_are_left_out() -> None:
    """Its five cells, far from all others, are each left out with the other four present."""
    rng = np.random.default_rng(0)
    values = {"a": rng.normal(size=(105, 4)).astype(np.float32)}
    values["a"][50:55, 0] += 40
    codes = np.zeros(105, dtype=int)
    codes[50:55] = 1
    usual = Novelty.fit(values, codes).usual
    assert usual[-1] < 20 * np.median(usual)


def test_cells_unlike_all_of_training_score_one() -> None:
    values, codes = cells(90, 0)
    far = {name: 5 * rows for name, rows in values.items()}
    assert Novelty.fit(values, codes).scores(far).min() == 1


def test_a_wide_modality_of_few_cells_keeps_distances() -> None:
    rng = np.random.default_rng(0)
    values = {"wide": rng.normal(size=(30, 200)).astype(np.float32)}
    novelty = Novelty.fit(values, np.arange(30) % 2)
    coordinates = novelty.coordinates(values)
    spread = (values["wide"] ** 2).sum() / 30
    np.testing.assert_allclose(coordinates @ coordinates.T, values["wide"] @ values["wide"].T / spread, atol=1e-3)


def test_at_most_fifty_axes_of_a_modality_and_those_of_largest_variance() -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(200, 80)) * np.linspace(3, 0.1, 80)).astype(np.float32)
    axes = Novelty.fit({"a": values}, np.arange(200) % 2).axes["a"]
    assert axes.shape == (80, 50)
    assert axes.dtype == np.float32
    share_along = (axes[:40] ** 2).sum() / (axes**2).sum()
    assert share_along > 0.7
    along = ((values @ axes) ** 2).sum(axis=0)
    assert (np.diff(along) < 0).all()


def test_features_that_repeat_others_add_no_axes() -> None:
    rng = np.random.default_rng(0)
    three = rng.normal(size=(40, 3))
    for dim in (12, 90):  # fewer features than cells, and more
        values = (three @ rng.normal(size=(3, dim))).astype(np.float32)
        assert Novelty.fit({"a": values}, np.arange(40) % 2).axes["a"].shape == (dim, 3)


def test_nothing_that_varies_and_a_single_cell_give_finite_scores() -> None:
    for n_obs in (1, 4):
        values = {"a": np.zeros((n_obs, 3), dtype=np.float32)}
        with pytest.warns(UserWarning, match=f"is learned from {n_obs} cell.*at least 5 are needed"):
            novelty = Novelty.fit(values, np.zeros(n_obs, dtype=int))
        assert np.isfinite(novelty.scores(values)).all()


@pytest.mark.parametrize(
    ("n_cells", "n_novel", "warns"), [(60, 60, True), (50, 46, True), (50, 45, False), (49, 49, False)]
)
def test_a_query_of_which_nearly_all_is_novel_is_warned_of(n_cells: int, n_novel: int, warns: bool) -> None:
    novelty = np.r_[np.full(n_novel, 0.99), np.full(n_cells - n_novel, 0.2), np.nan]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_novel_cells(novelty)
    assert [f"{n_novel} of {n_cells} cells have a novelty above 0.95" in str(each.message) for each in caught] == (
        [True] if warns else []
    )


def test_a_missing_modality_leaves_no_score() -> None:
    values, codes = cells(90, 0)
    novelty = Novelty.fit(values, codes)
    for name in DIMS:
        scores = novelty.scores({name: values[name][:7]})
        assert scores.shape == (7,)
        assert np.isnan(scores).all()
    assert np.isfinite(novelty.scores(values)).all()


def test_nothing_is_lost_as_arrays() -> None:
    values, codes = cells(90, 0)
    before = Novelty.fit(values, codes)
    after = Novelty.from_arrays(before.arrays())
    assert list(after.axes) == list(before.axes)
    for name, axes in before.axes.items():
        np.testing.assert_array_equal(after.axes[name], axes)
    for name in ("usual", "means", "precision"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    np.testing.assert_array_equal(after.scores(values), before.scores(values))
