import numpy as np
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
    assert row["lower"] < row["difference"] < row["upper"]


def label_without(model: SCMPT, cell: AnnData, genes: list[str]) -> str:
    """The label of a cell in which some genes are not expressed, by the way that any query goes."""
    matrix = np.array(cell.X.todense()) if hasattr(cell.X, "todense") else np.array(cell.X)
    matrix[:, cell.var_names.isin(genes)] = 0
    changed = AnnData(matrix, cell.obs, cell.var, obsm={"X_pca": cell.obsm["X_pca"]})
    return str(model.predict(changed)[0])


def test_counterfactual_genes_are_needed(trained: SCMPT, embedded: AnnData) -> None:
    confidence = trained.predict(embedded, soft=True).max(axis=1)
    for name in confidence.sort_values().index[:8]:  # the least sure are the easiest to change
        found = trained.counterfactual(embedded, name, max_genes=12)
        if found.attrs["new_label"] is not None:
            break
    genes, cell = list(found.index), embedded[[name]]
    assert genes
    assert found.attrs["label"] == trained.predict(cell)[0] == label_without(trained, cell, [])
    assert label_without(trained, cell, genes) == found.attrs["new_label"] != found.attrs["label"]
    for gene in genes:  # none can be spared
        others = [other for other in genes if other != gene]
        assert label_without(trained, cell, others) == found.attrs["label"]


def test_where_no_gene_changes_the_label_there_are_no_rows(trained: SCMPT, embedded: AnnData) -> None:
    surest = trained.predict(embedded, soft=True).max(axis=1).idxmax()
    found = trained.counterfactual(embedded, surest, max_genes=1, method="random")
    assert found.attrs["new_label"] is None
    assert found.empty
