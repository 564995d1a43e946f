"""Explanations of labels from texts: exact, in the forms of SCMPT, and drawn by the same plots."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse
from tests._adata import snapshot
from tests._zero_shot import LABELS, genes_of

from scmpt_scverse import SCMMGPT, pl
from scmpt_scverse.zero_shot import label_scores

KEY = "scmmgpt_attributions"


def raw_scores(model: SCMMGPT, query: AnnData) -> np.ndarray:
    trained = model._trained()
    candidates = trained.candidates(LABELS, None)
    return label_scores(model._query(query, None, None, None), trained.alignment, candidates)


def test_shares_of_genes_sum_to_the_score(text_model: SCMMGPT, text_query: AnnData) -> None:
    scores = raw_scores(text_model, text_query)
    for row in (0, 45, 90, 150):
        name = text_query.obs_names[row]
        for code, label in enumerate(LABELS):
            table = text_model.explain_cell(text_query, name, labels=LABELS, label=label)
            assert list(table.columns) == ["total", "tower", "ridge", "markers", "value"]
            assert table["total"].sum() == pytest.approx(scores[row, code], abs=1e-5)
            assert table.attrs["difference"] == pytest.approx(scores[row, code], abs=1e-5)
            assert table.attrs["completeness_error"] < 1e-4
            np.testing.assert_allclose(table[["tower", "ridge", "markers"]].sum(axis=1), table["total"], atol=1e-9)
            parts = table.attrs["by_part"]
            assert parts["tower"] == pytest.approx(table["tower"].sum(), abs=1e-5)
            assert parts["markers"] == pytest.approx(table["markers"].sum(), abs=1e-5)
            assert table["total"].is_monotonic_decreasing
            values = text_query[name, table.index].X.toarray().ravel()
            np.testing.assert_array_equal(table["value"], values)


def test_one_cell_by_its_own_genes(text_model: SCMMGPT, text_query: AnnData) -> None:
    before = snapshot(text_query)
    predicted = text_model.predict(text_query, labels=LABELS)
    name = text_query.obs_names[0]
    table = text_model.explain_cell(text_query, name, labels=LABELS)
    assert snapshot(text_query) == before
    assert table.attrs["label"] == predicted[0] == "fibroblast"
    assert set(table.index[:4]) <= set(genes_of("fibroblast"))
    assert table.attrs["runner_up"] in LABELS
    assert table.attrs["runner_up"] != "fibroblast"
    margin = table.attrs["margin_by_part"]
    scores = raw_scores(text_model, text_query)[0]
    between = scores[LABELS.index("fibroblast")] - scores[LABELS.index(table.attrs["runner_up"])]
    assert sum(margin.values()) == pytest.approx(between, abs=1e-5)
    assert table.attrs["decided_by"] == max(margin, key=lambda part: margin[part])


def test_labels_without_markers_are_decided_by_the_tower_and_genes_alone_by_markers(
    text_model: SCMMGPT, text_query: AnnData
) -> None:
    name = text_query.obs_names[0]
    labels = {"one": genes_of("fibroblast"), "other": genes_of("hepatocyte")}
    table = text_model.explain_cell(text_query, name, labels=labels)
    assert not table["tower"].any()
    assert table.attrs["decided_by"] == "markers"
    with pytest.warns(UserWarning, match="Nothing is known of"):
        table = text_model.explain_cell(text_query, name, labels=["gribble", "flonk"])
    assert not table["markers"].any()
    assert table.attrs["decided_by"] == "tower"


@pytest.fixture
def ranked(text_model: SCMMGPT, text_query: AnnData) -> AnnData:
    text_model.annotate(text_query, LABELS)
    text_model.rank_attributions(text_query, labels=LABELS, n_cells_per_group=5, per_cell=True)
    return text_query


def test_ranking_has_the_form_of_rank_genes_groups(ranked: AnnData, text_model: SCMMGPT) -> None:
    record = ranked.uns[KEY]
    groups = record["names"].dtype.names
    assert set(groups) == set(ranked.obs["scmmgpt_prediction"].unique())
    for label in groups:
        table = sc.get.rank_genes_groups_df(ranked, label, key=KEY)
        assert set(table["names"]) == set(ranked.var_names)
        assert table["scores"].is_monotonic_decreasing
        assert set(table["names"][:3]) <= set(genes_of(label))
        both = sum(record["by_modality"][part][label] for part in ("tower", "ridge", "markers"))
        np.testing.assert_allclose(both, record["scores"][label], atol=1e-5)
    assert record["params"]["groupby"] == "scmmgpt_prediction"
    assert record["params"]["completeness_error"] < 1e-4
    layer = ranked.layers[KEY]
    assert sparse.issparse(layer)
    explained = np.flatnonzero(np.diff(layer.indptr))
    codes = [LABELS.index(label) for label in ranked.obs["scmmgpt_prediction"].iloc[explained]]
    scores = raw_scores(text_model, ranked)[explained, codes]
    np.testing.assert_allclose(np.asarray(layer[explained].sum(axis=1)).ravel(), scores, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of scanpy and seaborn
def test_plots_read_it(ranked: AnnData) -> None:
    plt.switch_backend("agg")
    axes = pl.attributions(ranked, key=KEY, n_genes=3, show=False)
    assert {ax.get_title() for ax in axes} >= set(ranked.uns[KEY]["names"].dtype.names)
    sc.pl.rank_genes_groups(ranked, key=KEY, n_genes=3, show=False)
    sc.pl.rank_genes_groups_dotplot(ranked, key=KEY, n_genes=3, show=False, dendrogram=False)
    plt.close("all")


def test_groups_in_other_words_explain_what_they_mean(text_model: SCMMGPT, text_query: AnnData) -> None:
    text_query.obs["mine"] = text_query.obs["cell_type"].replace({"B cell": "B lymphocytes", "hepatocyte": "x"})
    text_model.rank_attributions(text_query, groupby="mine", labels=LABELS, key_added="there")
    names = text_query.uns["there"]["names"]
    assert set(names["B lymphocytes"][:3]) <= set(genes_of("B cell"))
    assert set(names["x"][:3]) <= set(genes_of("hepatocyte"))  # the label that most of its cells are given
    text_model.rank_attributions(text_query, groupby="mine", groups=["x"], labels=LABELS, key_added="there")
    assert text_query.uns["there"]["names"].dtype.names == ("x",)


def test_refusals(text_model: SCMMGPT, text_query: AnnData) -> None:
    with pytest.raises(ValueError, match="Expected one of the labels to choose from"):
        text_model.explain_cell(text_query, text_query.obs_names[0], labels=LABELS, label="T cell")
    with pytest.raises(KeyError, match=r"No 'nobody' in `adata.obs_names`"):
        text_model.explain_cell(text_query, "nobody", labels=LABELS)
    with pytest.raises(KeyError, match=r"No 'cluster' in `adata.obs`"):
        text_model.rank_attributions(text_query, groupby="cluster", labels=LABELS)
    with pytest.raises(ValueError, match="is in the group 'T'"):
        text_model.rank_attributions(text_query, groupby="cell_type", groups=["T"], labels=LABELS)
    text_query.uns["mine"] = 3
    with pytest.raises(ValueError, match="is no ranking of genes"):
        text_model.rank_attributions(text_query, groupby="cell_type", labels=LABELS, key_added="mine")
    dense = text_query.X.toarray()
    dense[2] = 0
    text_query.X = dense
    with pytest.raises(ValueError, match="Expected a cell that expresses genes"):
        text_model.explain_cell(text_query, text_query.obs_names[2], labels=LABELS)
