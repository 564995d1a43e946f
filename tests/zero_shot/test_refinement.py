"""What the cells of a query say of each other: smoothing, and training on the sure ones."""

import numpy as np
import pytest
from scipy.special import softmax

from scmpt_scverse.zero_shot import Neighbourhood, _refinement, nearest_cells, refined, smoothed


@pytest.fixture
def clusters() -> tuple[np.ndarray, np.ndarray]:
    """Components of two clusters of 60 cells, and which cluster each cell is of."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 60)
    return rng.normal(size=(120, 5)) + 6 * truth[:, None], truth


def test_smoothing_is_the_mean_of_a_cell_and_its_neighbours() -> None:
    components = np.array([[0.0], [1.0], [10.0], [11.0]])
    scores = np.array([[1.0, 0.0], [0.0, 1.0], [4.0, 2.0], [2.0, 4.0]])
    nearest = nearest_cells(components, 1)
    np.testing.assert_allclose(smoothed(scores, nearest), [[0.5, 0.5]] * 2 + [[3.0, 3.0]] * 2)
    assert scores[0, 0] == 1
    smoothed(scores, nearest, out=scores)
    np.testing.assert_allclose(scores, [[0.5, 0.5]] * 2 + [[3.0, 3.0]] * 2)


def test_cells_of_one_place_are_smoothed_too() -> None:
    np.testing.assert_allclose(smoothed(np.eye(3), nearest_cells(np.zeros((3, 2)), 2)), np.full((3, 3), 1 / 3))


def test_many_labels_are_smoothed_and_refined_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    components, scores = rng.normal(size=(90, 3)), rng.normal(size=(90, 11))
    components[:, 0] += 3 * scores[:, :4].argmax(axis=1)
    near = Neighbourhood.in_components(components)
    assert near is not None
    expected = (scores[near.nearest].sum(axis=1) + scores) / (1 + near.nearest.shape[1])
    whole = refined(softmax(expected, axis=1), components)
    for name, size in {"_LABELS_AT_ONCE": 4, "_CELLS_AT_ONCE": 7}.items():
        monkeypatch.setattr(_refinement, name, size)
    np.testing.assert_allclose(smoothed(scores, near.nearest), expected)
    np.testing.assert_allclose(refined(softmax(expected, axis=1), components), whole, atol=1e-12)
    in_place = softmax(expected, axis=1)
    refined(in_place, components, out=in_place)
    np.testing.assert_allclose(in_place, whole, atol=1e-12)


def test_cells_that_cannot_be_read_teach_nothing_and_stay_unknown(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    components, truth = clusters
    probabilities = np.where(truth[:, None] == [0, 1], 0.7, 0.3)
    expected = refined(probabilities[5:], components[5:])
    probabilities[:5] = np.nan
    found = refined(probabilities, components)
    assert np.isnan(found[:5]).all()
    np.testing.assert_allclose(found[5:], expected, atol=0.02)


def test_sure_cells_teach_the_others(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    components, truth = clusters
    rng = np.random.default_rng(1)
    right = np.where(rng.random(120) < 0.75, 0.8, 0.35)  # a quarter is wrong, and less sure
    probabilities = np.where(truth[:, None] == [0, 1], right[:, None], 1 - right[:, None])
    before = (probabilities.argmax(axis=1) == truth).mean()
    after = refined(probabilities, components)
    assert before < 0.8
    assert (after.argmax(axis=1) == truth).mean() > 0.97
    np.testing.assert_allclose(after.sum(axis=1), 1)


def test_one_label_stays_as_it_is(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    components, _ = clusters
    probabilities = np.tile([0.7, 0.2, 0.1], (120, 1))
    np.testing.assert_array_equal(refined(probabilities, components), probabilities)


def test_refinement_does_not_depend_on_the_unit_of_components(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    components, truth = clusters
    probabilities = np.where(truth[:, None] == [0, 1], 0.6, 0.4)
    np.testing.assert_allclose(refined(probabilities, components * 1000), refined(probabilities, components), atol=1e-4)


@pytest.fixture
def unequal() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Components and probabilities of 400 cells of one label beside 30 of a similar one, and the labels."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], [400, 30])
    components = rng.normal(size=(430, 3)) + truth[:, None] * [1.0, 1.0, 0.0]
    second = 1 / (1 + np.exp(-(np.where(truth == 1, 0.6, -0.6) + 0.5 * rng.normal(size=430))))
    return components, np.stack([1 - second, second], axis=1), truth


def test_a_frequent_label_does_not_take_the_cells_of_a_rare_one_beside_it(
    unequal: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    components, probabilities, truth = unequal
    before = (probabilities.argmax(axis=1)[truth == 1] == 1).mean()
    assert (refined(probabilities, components).argmax(axis=1)[truth == 1] == 1).mean() > before + 0.1


def test_two_rounds_do_not_make_surer_than_one_classifier_can(
    unequal: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    components, probabilities, _ = unequal
    assert refined(probabilities, components).max(axis=1).mean() < 0.75  # 0.756 if each round adds to the last


def test_cells_as_sure_as_the_last_one_teach_too() -> None:
    labels, confidence = np.zeros(60, dtype=int), np.linspace(0.9, 0.5, 60)
    confidence[9:14] = confidence[11]  # a fifth would end among these
    order = np.random.default_rng(0).permutation(60)
    assert _refinement.surest(labels, confidence).tolist() == list(range(14))
    assert sorted(order[_refinement.surest(labels, confidence[order])]) == list(range(14))
