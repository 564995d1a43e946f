"""What baselines read of the cells of an evaluation."""

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse
from tests._adata import LABELS_KEY

from scmpt_scverse.evaluation import BaselineCells, compare_baselines
from scmpt_scverse.pp import GeneExpression

BASELINES = ("pca_knn", "expression_logistic_regression")


def cells(matrix: sparse.csr_matrix, rows: "np.ndarray", genes: "np.ndarray") -> BaselineCells:
    return BaselineCells(len(rows), {}, GeneExpression(matrix[rows], genes))


@pytest.mark.parametrize("unit", ["counts", "logarithms", "volumes"])
def test_a_test_cell_is_read_by_itself_on_the_scale_of_the_training_cells(pbmc: AnnData, unit: str) -> None:
    counts = np.rint(np.expm1(pbmc.X.toarray()))
    volumes = counts / np.random.default_rng(0).uniform(0.1, 30, size=(pbmc.n_obs, 1))
    values = {"counts": counts, "logarithms": pbmc.X.toarray(), "volumes": volumes}[unit]
    matrix, genes = sparse.csr_matrix(values.astype(np.float32)), pbmc.var_names.to_numpy(dtype=object)
    labels = pbmc.obs[LABELS_KEY].to_numpy(dtype=object)
    train, test = np.arange(0, 700, 2), np.arange(1, 700, 20)
    largest = matrix[test].max(axis=1).toarray().ravel()
    if unit == "volumes":
        assert (largest < 50).any()
        assert (largest >= 50).any()
    learned = cells(matrix, train, genes)
    together = compare_baselines(BASELINES, learned, labels[train], cells(matrix, test, genes), seed=0)
    assert list(together) == list(BASELINES)
    some = np.flatnonzero(largest < np.median(largest))
    apart = compare_baselines(BASELINES, learned, labels[train], cells(matrix, test[some], genes), seed=0)
    for name, soft in together.items():
        np.testing.assert_allclose(apart[name], soft.iloc[some], atol=1e-5, err_msg=name)
        assert (soft.idxmax(axis=1).to_numpy() == labels[test]).mean() > 0.6
