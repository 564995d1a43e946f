import numpy as np
import pytest
from anndata import AnnData

from scmpt_scverse import SCMPT, tl


def test_deletion_and_insertion(trained: SCMPT, embedded: AnnData) -> None:
    curves = trained.deletion_curves(embedded, n_cells=6, counts=(0, 2, 1000), progress=False)

    assert set(curves["kind"]) == {"deletion", "insertion"}
    assert len(curves) == 2 * 2 * 6 * 3
    at = curves.set_index(["method", "kind", "n_genes", "cell"])["probability"].sort_index()
    # Nothing deleted and everything inserted is the whole cell, for every method.
    whole = at["integrated_gradients", "deletion", 0]
    np.testing.assert_allclose(at["random", "deletion", 0], whole, atol=1e-5)
    np.testing.assert_allclose(at["random", "insertion", 1000], whole, atol=1e-5)
    np.testing.assert_allclose(at["random", "insertion", 0], at["random", "deletion", 1000], atol=1e-5)
    summary = tl.faithfulness(curves)
    row = summary.loc[("integrated_gradients", "deletion")]
    assert row["difference"] < 0
    assert row["difference_low"] < row["difference"] < row["difference_high"]


def test_counterfactual_genes_are_needed(trained: SCMPT, embedded: AnnData) -> None:
    found = trained.counterfactual(embedded, embedded.obs_names[5], max_genes=12)
    if found.attrs["new_label"] is None:
        assert found.empty
        pytest.skip("no gene of the text decides this cell alone")
    assert found.attrs["new_label"] != found.attrs["label"]
    assert found["score"].notna().all()


def test_no_gene_changes_the_label(trained: SCMPT, embedded: AnnData) -> None:
    found = trained.counterfactual(embedded, embedded.obs_names[0], max_genes=1, method="random")
    assert found.attrs["new_label"] is None or len(found) == 1
