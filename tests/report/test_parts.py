"""Cells of which only some parts are there, odd labels, and errors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tests.report.conftest import Page
from tests.report.test_content import page_of

from scmpt_scverse import pl


def test_labels_alone_make_a_page_that_says_what_to_call(tmp_path: Path) -> None:
    adata = AnnData(obs=pd.DataFrame({"scmpt_prediction": ["B", "T", "B"]}, index=list("abc")))
    page = page_of(adata, tmp_path)
    assert page.cards == ["B", "T"]
    assert page.data == {"n": 0}
    assert "<canvas" not in page.html
    for sentence in (
        "No embedding of these cells was found",
        "Call scanpy.pp.neighbors(adata) and scanpy.tl.umap(adata)",
        "there is no adata.obs['scmpt_confidence']",
        "there are no probabilities",
        "Call model.rank_attributions(adata)",
        "Expression: Expected expression in adata.X ; found nothing",
    ):
        assert sentence in page.text


def test_without_umap_components_of_what_is_there_are_drawn(cells: AnnData, tmp_path: Path) -> None:
    del cells.obsm["X_umap"]
    assert "the first two principal components are drawn" in page_of(cells, tmp_path).text
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(cells.n_obs, 6)) * [1, 9, 1, 5, 1, 1]
    del cells.obsm["X_pca"]
    cells.obsm["X_mine"] = embedding
    cells.uns["scmpt"] = {"embeddings": {"X_mine": {"encoder": "mine", "fingerprint": "1"}}}
    page = page_of(cells, tmp_path)
    assert "the first two principal components of mine are drawn" in page.text
    assert abs(np.corrcoef(page.unpacked(page.data["x"], "<u2"), embedding[:, 1])[0, 1]) > 0.95
    assert abs(np.corrcoef(page.unpacked(page.data["y"], "<u2"), embedding[:, 3])[0, 1]) > 0.95


def test_cells_without_coordinates_are_counted_and_not_drawn(cells: AnnData, tmp_path: Path) -> None:
    cells.obsm["X_umap"] = cells.obsm["X_umap"].copy()
    cells.obsm["X_umap"][[2, 5]] = np.nan
    page = page_of(cells, tmp_path)
    assert page.data["n"] == 698
    assert "2 of these cells are not drawn" in page.text
    assert page.labels() == list(cells.obs["scmpt_prediction"].drop(cells.obs_names[[2, 5]]))
    values = cells[:, "NKG7"].X.toarray().ravel()
    assert page.gene("NKG7") == pytest.approx(np.delete(values, [2, 5]), abs=0.05)


def test_coordinates_may_be_a_table(cells: AnnData, tmp_path: Path) -> None:
    plain = page_of(cells, tmp_path).data
    cells.obsm["X_umap"] = pd.DataFrame(cells.obsm["X_umap"], cells.obs_names, ["one", "two"])
    assert page_of(cells, tmp_path).data["x"] == plain["x"]


def test_tissue_is_drawn_as_the_image_of_it(cells: AnnData, tmp_path: Path) -> None:
    cells.obsm["spatial"] = np.column_stack([np.arange(700.0), np.arange(700.0)])
    page = page_of(cells, tmp_path, basis="spatial")
    assert page.unpacked(page.data["y"], "<u2")[0] == 65535  # row 0 of an image is above


def test_cells_without_a_label_have_a_card_of_their_own(cells: AnnData, tmp_path: Path) -> None:
    cells.obs["scmpt_prediction"] = cells.obs["scmpt_prediction"].astype(object)
    cells.obs.loc[cells.obs_names[:7], "scmpt_prediction"] = None
    page = page_of(cells, tmp_path)
    assert "7 cells" in page.card("(no label)")
    assert page.labels()[:7] == ["(no label)"] * 7


def test_numbers_and_categories_without_cells(cells: AnnData, tmp_path: Path) -> None:
    cells.obs["scmpt_prediction"] = pd.Categorical(np.arange(700) % 3 * 1.0, categories=[2.0, 0.0, 1.0, 9.0])
    page = page_of(cells, tmp_path)
    assert page.data["labellings"][0]["labels"] == ["2", "0", "1"]
    assert "9" not in page.cards


@pytest.mark.parametrize("n_cells", [1, 2])
def test_very_few_cells(n_cells: int, cells: AnnData, tmp_path: Path) -> None:
    page = page_of(cells[:n_cells].copy(), tmp_path)
    assert page.data["n"] == n_cells


def test_expression_that_cannot_be_read_is_left_out_unless_asked_for(cells: AnnData, tmp_path: Path) -> None:
    cells.X = cells.X.toarray() - 5.0
    page = page_of(cells, tmp_path)
    assert page.data["genes"] == []
    assert "Expression: Expected non-negative expression" in page.text
    with pytest.raises(ValueError, match="Expected non-negative expression"):
        pl.report(cells, tmp_path / "report.html", genes=["NKG7"])


def test_code_in_sentences_is_shown_as_code(cells: AnnData, tmp_path: Path) -> None:
    cells.var_names = [f"<b>`{name}`" for name in cells.var_names]
    del cells.obs["scmpt_novelty"]
    page = page_of(cells, tmp_path)
    assert "<code>adata.obs[&#39;scmpt_novelty&#39;]</code>. Call <code>model.annotate(adata)</code>" in page.html
    assert "`model." not in page.html
    assert "&lt;b&gt;" in page.html
    assert "<b><code>" not in page.html


def test_group_stands_for_missing_predictions(cells: AnnData, tmp_path: Path) -> None:
    del cells.obs["scmpt_prediction"]
    page = page_of(cells, tmp_path, group_key="louvain")
    assert page.labels("group") == list(cells.obs["louvain"])
    assert "Predicted labels: call model.annotate(adata)" in page.text


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"key": "other"}, KeyError, "No 'other_prediction' in `adata.obs`"),
        ({"key": "other", "group_key": "louvain"}, KeyError, "No 'other_prediction'"),
        ({"group_key": "luvain"}, KeyError, "Did you mean 'louvain'"),
        ({"basis": "tsne"}, KeyError, "No 'X_tsne' in `adata.obsm`"),
        ({"genes": ["NKG"]}, KeyError, "Did you mean 'NKG7'"),
        ({"layer": "counts"}, KeyError, "counts"),
        ({"gene_symbols": "symbol"}, KeyError, "symbol"),
        ({"max_points": 0}, ValueError, "max_points"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_errors_name_what_is_missing(
    options: dict[str, object], error: type[Exception], message: str, cells: AnnData, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        pl.report(cells, tmp_path / "report.html", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_a_page_is_refused(cells: AnnData, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ends in .html"):
        pl.report(cells, tmp_path / "report.pdf")
    with pytest.raises(ValueError, match="at least one cell"):
        pl.report(cells[:0].copy(), tmp_path / "report.html")
    with pytest.raises(TypeError, match="Expected an AnnData"):
        pl.report("cells.h5ad", tmp_path / "report.html")
    cells.obs["scmpt_confidence"] = 7.0
    with pytest.raises(ValueError, match="Expected values from 0 to 1"):
        pl.report(cells, tmp_path / "report.html")


def test_page_of_fifty_thousand_cells_is_below_six_megabytes(tmp_path: Path) -> None:
    """Dense expression, which deflates badly, and long names: the most that a page has to hold."""
    rng = np.random.default_rng(0)
    n_cells, n_genes = 50_000, 150
    names = [f"study-{number % 7}_{number:032x}" for number in rng.permutation(n_cells)]
    adata = AnnData(
        rng.gamma(2.0, size=(n_cells, n_genes)).astype(np.float32),
        obs=pd.DataFrame({"scmpt_prediction": rng.integers(0, 40, n_cells).astype(str)}, index=names),
        var=pd.DataFrame(index=[f"GENE{number}" for number in range(n_genes)]),
        obsm={"X_umap": rng.normal(size=(n_cells, 2))},
    )
    adata.obs["scmpt_confidence"] = rng.uniform(size=n_cells)
    path = pl.report(adata, tmp_path / "report.html")
    assert path.stat().st_size < 6_000_000
    page = Page.read(path)
    assert page.data["n"] == n_cells
    assert 20 < len(page.data["genes"]) < n_genes
