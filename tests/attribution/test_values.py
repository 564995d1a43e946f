"""Values on functions whose attributions are known in closed form, and against scanpy, scipy and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import torch
from anndata import AnnData
from scipy import sparse, stats
from sklearn.metrics import roc_auc_score
from torch import Tensor

from scmpt_scverse import attribution
from scmpt_scverse.attribution import faithfulness, group_statistics, overlap, t_test

_WEIGHTS = torch.tensor([[0.5, -0.2, 0.1], [0.3, 0.4, -0.6]])
_TARGET = torch.tensor([1, 1])


def _exponential(gates: Tensor, cells: Tensor) -> Tensor:
    logit = (gates * _WEIGHTS).sum((1, 2)).exp() * (1.0 + cells)
    return torch.stack([torch.zeros_like(logit), logit], dim=1)


def test_integrated_gradients_in_closed_form() -> None:
    found = attribution.get("integrated_gradients").attribute(_exponential, torch.ones(2, 2, 3), _TARGET)
    total = _WEIGHTS.sum()
    expected = _WEIGHTS * (total.exp() - 1) / total  # the integral of w exp(a s) over a from 0 to 1
    torch.testing.assert_close(found.scores, torch.stack([expected, 2 * expected]), atol=1e-5, rtol=0)


def test_occlusion_is_the_drop_without_the_gene() -> None:
    gates = torch.ones(2, 2, 3)
    found = attribution.get("occlusion").attribute(_exponential, gates, _TARGET)
    whole = _exponential(gates, torch.arange(2))[:, 1]
    for gene in range(3):
        for where, scores in ((0, found.scores[:, 0]), (1, found.scores[:, 1]), (slice(None), found.total)):
            without = gates.clone()
            without[:, where, gene] = 0
            torch.testing.assert_close(scores[:, gene], whole - _exponential(without, torch.arange(2))[:, 1])


def test_columns_equal_those_of_scipy_and_scanpy() -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(0.3, 1, (40, 7)).astype(np.float32) * (generator.random((40, 7)) < 0.7)
    scores[:, 0] = 1000 + generator.normal(0, 0.01, 40)  # little variance around a large mean
    expression = np.log1p(generator.poisson(2, (40, 7))).astype(np.float32)
    group = np.arange(40) < 15
    found = group_statistics(sparse.csr_matrix(scores), sparse.csr_matrix(expression), group)
    expected = stats.ttest_1samp(scores[group].astype(np.float64), 0)
    np.testing.assert_allclose(found.scores, scores[group].mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.pvals, expected.pvalue, rtol=1e-5)
    np.testing.assert_allclose(found.pvals_adj, stats.false_discovery_control(expected.pvalue), rtol=1e-5)
    adata = AnnData(
        expression, obs=pd.DataFrame({"group": np.where(group, "a", "b")}, index=[str(i) for i in range(40)])
    )
    adata.obs["group"] = adata.obs["group"].astype("category")
    sc.tl.rank_genes_groups(adata, "group", groups=["a"], method="t-test")
    table = sc.get.rank_genes_groups_df(adata, "a").set_index("names").loc[adata.var_names]
    np.testing.assert_allclose(found.logfoldchanges, table["logfoldchanges"], rtol=1e-4, atol=1e-5)


def test_scores_without_variance() -> None:
    mean, pvals = t_test(sparse.csr_matrix(np.array([[0.0, 2.0], [0.0, 2.0]])))
    assert mean.tolist() == [0, 2]
    assert pvals.tolist() == [1, 0]


def test_auroc_is_that_of_scikit_learn_with_ties() -> None:
    generator = np.random.default_rng(0)
    scores, is_marker = generator.integers(0, 6, 60).astype(float), generator.random(60) < 0.3
    found = overlap(scores, is_marker, 10)
    assert found["auroc"] == pytest.approx(roc_auc_score(is_marker, scores))
    assert found["auroc_lower"] < found["auroc"] < found["auroc_upper"]


def test_cells_of_one_name_stay_apart() -> None:
    rows = [
        (m, "deletion", 1, "c", row, p)
        for m, ps in (("x", (0.2, 0.6)), ("random", (0.5, 0.8)))
        for row, p in enumerate(ps)
    ]
    curves = pd.DataFrame(rows, columns=["method", "kind", "n_genes", "cell", "row", "probability"])
    found = faithfulness(curves).loc[("x", "deletion")]
    assert found["n_cells"] == 2
    expected = stats.ttest_1samp([-0.3, -0.2], 0).confidence_interval(0.95)
    assert found[["difference", "lower", "upper"]].tolist() == pytest.approx([-0.25, expected.low, expected.high])
    with pytest.raises(ValueError, match="several for 'c'. Make `obs_names` unique"):
        faithfulness(curves.drop(columns="row"))
