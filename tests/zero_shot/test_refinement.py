import numpy as np
import pytest

from scmpt_scverse.zero_shot import refined, smoothed


@pytest.fixture
def clusters() -> tuple[np.ndarray, np.ndarray]:
    """Components of two clusters of 60 cells, and which cluster each cell is of."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 60)
    return rng.normal(size=(120, 5)) + 6 * truth[:, None], truth


def test_smoothing_is_the_mean_of_a_cell_and_its_neighbours() -> None:
    components = np.array([[0.0], [1.0], [10.0], [11.0]])
    scores = np.array([[1.0, 0.0], [0.0, 1.0], [4.0, 2.0], [2.0, 4.0]])
    np.testing.assert_allclose(smoothed(scores, components, n_neighbours=2), [[0.5, 0.5]] * 2 + [[3.0, 3.0]] * 2)
    np.testing.assert_array_equal(smoothed(scores, components, n_neighbours=1), scores)


def test_cells_of_one_place_are_smoothed_too() -> None:
    scores = np.eye(3)
    np.testing.assert_allclose(smoothed(scores, np.zeros((3, 2)), n_neighbours=50), np.full((3, 3), 1 / 3))
    np.testing.assert_array_equal(smoothed(scores[:1], np.zeros((1, 2))), scores[:1])


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
