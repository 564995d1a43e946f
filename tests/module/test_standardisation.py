import numpy as np
import pytest
from scipy import sparse

from scmpt_scverse.module import Standardisation


@pytest.fixture
def values() -> sparse.csr_matrix:
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.7, (60, 12)) * rng.random((60, 12))
    dense[:, 3] = 0  # does not vary
    return sparse.csr_matrix(dense)


def test_moments_of_chunks_are_those_of_all_cells(values: sparse.csr_matrix) -> None:
    whole = Standardisation.of([values])
    parts = Standardisation.of([values[:7], values[7:41], values[41:]])
    np.testing.assert_allclose(parts.mean, whole.mean)
    np.testing.assert_allclose(parts.scale, whole.scale)
    dense = values.toarray()
    deviation = dense.std(axis=0)
    median = np.median(deviation[deviation > 0])
    np.testing.assert_allclose(whole.mean, dense.mean(axis=0))
    np.testing.assert_allclose(whole.scale, np.where(deviation > 0, deviation + median, 0), atol=1e-9)
    assert not whole.varies[3]
    assert whole.varies.sum() == 11


def test_sparse_scores_are_those_of_dense_standardised_cells(values: sparse.csr_matrix) -> None:
    standardisation = Standardisation.of([values])
    profiles = np.random.default_rng(1).normal(size=(4, 12))
    dense = standardisation.dense(values).astype(np.float64)
    expected = dense @ profiles.T / np.linalg.norm(dense, axis=1, keepdims=True)
    np.testing.assert_allclose(standardisation.scores(values, profiles), expected, atol=1e-6)
    np.testing.assert_allclose(standardisation.lengths(values), np.linalg.norm(dense, axis=1), rtol=1e-5)


def test_a_gene_that_does_not_vary_says_nothing(values: sparse.csr_matrix) -> None:
    standardisation = Standardisation.of([values])
    profiles = np.zeros((1, 12))
    profiles[0, 3] = 1
    assert not standardisation.scores(values, profiles).any()
    assert not standardisation.dense(values)[:, 3].any()


def test_large_counts_lose_no_digits() -> None:
    """Squares minus squared means cancel; a mean of a million with a deviation of one must survive."""
    dense = np.array([[1e6, 1.0], [1e6 + 2, 3.0]])
    standardisation = Standardisation.of([sparse.csr_matrix(dense)])
    assert standardisation.scale[1] == pytest.approx(2.0, rel=0.6)
    np.testing.assert_allclose(standardisation.dense(sparse.csr_matrix(dense))[:, 1], [-0.5, 0.5], rtol=0.5)


def test_a_gene_that_is_the_same_everywhere_does_not_vary_by_rounding() -> None:
    rng = np.random.default_rng(0)
    values = np.tile(rng.uniform(0.1, 8, 500).astype(np.float32), (37, 1))
    found = Standardisation.of([sparse.csr_matrix(values)])
    assert not found.varies.any()
    values[5, 3] += 0.5
    assert np.flatnonzero(Standardisation.of([sparse.csr_matrix(values)]).varies).tolist() == [3]


def test_the_mean_of_studies_is_over_those_in_which_a_gene_varies() -> None:
    first = Standardisation(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.0, 0.0]))
    second = Standardisation(np.array([3.0, 4.0, 5.0]), np.array([1.5, 2.0, 0.0]))
    found = Standardisation.average([first, second])
    np.testing.assert_array_equal(found.mean, [2.0, 4.0, 0.0])
    np.testing.assert_array_equal(found.scale, [1.0, 2.0, 0.0])
    assert found.varies.tolist() == [True, True, False]


def test_a_share_of_the_way_to_another() -> None:
    """The first gene varies in both, the second here only, the third there only, the last nowhere."""
    here = Standardisation(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 0.0, 0.0]))
    there = Standardisation(np.array([5.0, 6.0, 7.0, 8.0]), np.array([3.0, 0.0, 4.0, 0.0]))
    moved = here.toward(there, 0.25)
    np.testing.assert_allclose(moved.mean[:3], [2.0, 2.0, 7.0])
    np.testing.assert_allclose(moved.scale, [1.5, 2.0, 4.0, 0.0])
    np.testing.assert_allclose(here.toward(there, 0.0).scale[:2], here.scale[:2])
    np.testing.assert_allclose(here.toward(there, 1.0).mean[0], 5.0)


def test_genes_that_are_not_used_are_as_if_they_did_not_vary(values: sparse.csr_matrix) -> None:
    every = Standardisation.of([values])
    is_used = np.arange(12) < 6
    some = every.of_genes(is_used)
    np.testing.assert_array_equal(some.mean, every.mean)
    np.testing.assert_array_equal(some.varies, every.varies & is_used)
    dense = every.dense(values)
    np.testing.assert_array_equal(some.dense(values), np.where(is_used, dense, 0))


def test_a_cell_at_the_mean_points_nowhere() -> None:
    standardisation = Standardisation(np.array([1.0, 2.0]), np.array([0.5, 0.25]))
    at_mean = sparse.csr_matrix(np.array([[1.0, 2.0], [1.5, 2.0]]))
    np.testing.assert_allclose(standardisation.lengths(at_mean), [1e-6, 1.0])
    np.testing.assert_allclose(standardisation.scores(at_mean, np.eye(2)), [[0, 0], [1, 0]], atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_have_the_precision_of_the_profiles(values: sparse.csr_matrix, dtype: type) -> None:
    standardisation = Standardisation.of([values])
    scores = standardisation.scorer(np.eye(12, dtype=dtype))(values.astype(np.float32))
    assert standardisation.scorer(np.eye(12, dtype=dtype))(values.astype(dtype)).dtype == np.float64
    dense = standardisation.dense(values).astype(np.float64)
    np.testing.assert_allclose(scores, dense / np.linalg.norm(dense, axis=1, keepdims=True), atol=1e-5)


def test_what_counts_as_constant_depends_on_the_mean() -> None:
    """A millionth of the mean, or of one where the mean is smaller, is rounding."""
    spread = np.array([[1.0], [-1.0]])
    dense = np.hstack([100 + 2e-4 * spread, 100 + 0.5e-4 * spread, 0.1 + 2e-6 * spread, 0.1 + 0.5e-6 * spread])
    assert Standardisation.of([sparse.csr_matrix(dense)]).varies.tolist() == [True, False, True, False]


def test_sparse_moments_are_those_of_dense_standardised_cells(values: sparse.csr_matrix) -> None:
    standardisation = Standardisation.of([values])
    weights = np.random.default_rng(1).random((4, 12))
    dense = standardisation.dense(values).astype(np.float64)
    sums, squares = standardisation.moments(values, weights)
    np.testing.assert_allclose(sums, dense @ weights.T, atol=1e-5)
    np.testing.assert_allclose(squares, dense**2 @ weights.T, atol=1e-5)
