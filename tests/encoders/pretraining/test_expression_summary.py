from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import PCA

from scmpt_scverse.encoders.pretraining._expression_summary import gene_loadings, scan_genes, summarise
from scmpt_scverse.pp._expression import ExpressionReader

#: Expressed in one cell, so that its standard deviation is below the smallest that is used.
RARE_GENE = 5


def standardised(values: np.ndarray[Any, Any], *, least_std: float = 0.1, most: float = 5) -> np.ndarray[Any, Any]:
    scores: np.ndarray[Any, Any] = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), least_std)
    return np.clip(scores, -most, most)


@pytest.fixture
def counts(pbmc: AnnData) -> AnnData:
    """The cells with whole numbers; their logarithms to base e after scaling to a sum of 10000 are `.layers["log"]`."""
    values = np.rint(np.expm1(pbmc.X.toarray().astype(np.float64)))
    values[:, RARE_GENE] = 0
    values[17, RARE_GENE] = 1
    pbmc.X = sparse.csr_matrix(values.astype(np.float32))
    pbmc.layers["log"] = np.log1p(values / values.sum(axis=1, keepdims=True) * 1e4)
    return pbmc


def test_statistics_are_those_of_logarithms(counts: AnnData) -> None:
    genes = scan_genes(ExpressionReader(counts))

    values = counts.layers["log"]
    assert not genes.normalisation.is_logarithmic
    np.testing.assert_array_equal(genes.n_cells, (values > 0).sum(axis=0))
    np.testing.assert_allclose(genes.mean, values.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(genes.std, values.std(axis=0), atol=1e-4)


def test_logarithms_are_recognised(pbmc: AnnData) -> None:
    genes = scan_genes(ExpressionReader(pbmc))

    assert genes.normalisation.is_logarithmic
    np.testing.assert_allclose(genes.mean, pbmc.X.toarray().mean(axis=0), atol=1e-5)


def test_standardised_values_are_bounded_and_of_the_genes_asked_for(counts: AnnData) -> None:
    genes = scan_genes(ExpressionReader(counts))
    columns = np.array([RARE_GENE, 700, 2])
    assert 0 < genes.std[RARE_GENE] < 0.1

    found = genes.standardised(counts.X[10:30], columns)

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, standardised(counts.layers["log"])[10:30][:, columns], atol=1e-3)
    assert np.abs(genes.standardised(counts.X, np.arange(counts.n_vars))).max() == 5


def test_scores_are_principal_components(pbmc: AnnData) -> None:
    reader = ExpressionReader(pbmc)
    genes = scan_genes(reader)
    summary = summarise(reader, genes)

    scores = summary(pbmc.X)

    expected = PCA(10, svd_solver="full").fit_transform(standardised(pbmc.X.toarray().astype(np.float64)))
    assert scores.shape == (pbmc.n_obs, 50)
    for component in range(10):  # cutting large values shifts the means a little, which sklearn takes away
        assert abs(np.corrcoef(scores[:, component], expected[:, component])[0, 1]) > 0.995
    # Scaled as a whole: the first score has variance 1, the others their share of it.
    np.testing.assert_allclose((scores**2).mean(axis=0)[0], 1, rtol=1e-3)
    np.testing.assert_allclose(scores.var(axis=0)[:10], expected.var(axis=0) / expected.var(axis=0)[0], rtol=0.02)


def test_few_cells_give_few_components(pbmc: AnnData) -> None:
    reader = ExpressionReader(pbmc[:8].copy())

    summary = summarise(reader, scan_genes(reader))

    assert summary(pbmc.X[:8]).shape == (8, 7)
    assert np.isfinite(summary.components).all()


def test_loadings_are_covariances_with_the_scores(counts: AnnData) -> None:
    reader = ExpressionReader(counts)
    summary = summarise(reader, scan_genes(reader))

    loadings = gene_loadings(reader, summary)

    values, scores = counts.layers["log"], summary(counts.X).astype(np.float64)
    values = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 0.1)
    scores = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    expected = np.cov(values, scores, rowvar=False, bias=True)[: counts.n_vars, counts.n_vars :]
    assert loadings.shape == (counts.n_vars, 50)
    np.testing.assert_allclose(loadings, expected, atol=2e-3)
    assert np.abs(expected).max() > 0.5
