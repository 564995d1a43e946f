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
