"""What is on the page, against numbers that are computed here from the cells."""

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from tests.report.conftest import Page

from scmpt_scverse import pl
from scmpt_scverse._storable import storable_names


def page_of(adata: AnnData, folder: Path, **options: Any) -> Page:
    return Page.read(pl.report(adata, folder / "report.html", **options))


def ranking(groups: dict[str, list[str]], **params: Any) -> dict[str, Any]:
    """A ranking as `rank_attributions` writes it, best gene first; the last one speaks against the group."""
    dtype = [(name, "O") for name in groups]
    names = np.array(list(zip(*groups.values(), strict=True)), dtype=dtype)
    scores = [float(len(names) - 1 - place * (1 + 1e-3)) for place in range(len(names))]
    scores[-1] = -1.0
    table = np.array([(score,) * len(groups) for score in scores], dtype=[(name, "f4") for name in groups])
    return {"names": names, "scores": table, "params": {"method": "integrated_gradients", **params}, "by_modality": {}}


def test_drawn_cells_are_those_of_the_object(cells: AnnData, tmp_path: Path) -> None:
    cells.obs.loc[cells.obs_names[3], "scmpt_confidence"] = np.nan
    page = page_of(cells, tmp_path)
    assert page.names == list(cells.obs_names)
    assert page.labels() == list(cells.obs["scmpt_prediction"])
    assert np.isnan(page.score("confidence")[3])
    assert page.score("confidence") == pytest.approx(cells.obs["scmpt_confidence"].to_numpy(), abs=1 / 254, nan_ok=True)
    assert page.score("novelty") == pytest.approx(cells.obs["scmpt_novelty"].to_numpy(), abs=1 / 254)
    umap = cells.obsm["X_umap"]
    span = np.ptp(umap, axis=0).max()
    for axis, name in enumerate("xy"):
        drawn = page.unpacked(page.data[name], "<u2") / 65535 * span + umap[:, axis].min()
        assert drawn == pytest.approx(umap[:, axis], abs=span / 60000)


def test_genes_have_their_log_normalised_expression(cells: AnnData, tmp_path: Path) -> None:
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, cells.shape).astype(np.float32))
    cells.layers["counts"] = counts
    page = page_of(cells, tmp_path, layer="counts", genes=["NKG7", "CD79A"])
    assert [gene["name"] for gene in page.data["genes"]][:2] == ["NKG7", "CD79A"]
    dense = counts.toarray()
    expected = np.log1p(dense / dense.sum(axis=1, keepdims=True) * 1e4)
    for gene in ("NKG7", "CD79A"):
        values = expected[:, cells.var_names.get_loc(gene)]
        assert page.gene(gene) == pytest.approx(values, abs=float(values.max()) / 254 + 1e-3)


def test_genes_are_found_by_symbol_and_by_name_of_their_column(cells: AnnData, tmp_path: Path) -> None:
    cells.var["symbol"] = cells.var_names
    cells.var_names = [f"ENSG{number:011}" for number in range(cells.n_vars)]
    place = list(cells.var["symbol"]).index("NKG7")
    page = page_of(cells, tmp_path, gene_symbols="symbol", genes=["CD79A", cells.var_names[place]])
    assert [gene["name"] for gene in page.data["genes"]][:2] == ["CD79A", "NKG7"]


def test_mouse_genes_have_their_own_names_or_those_of_orthologs(cells: AnnData, tmp_path: Path) -> None:
    mouse = cells[:, ["CD79A", "NKG7", "LYZ", "CD3D", "CST3"]].copy()
    mouse.var_names = ["Cd79a", "Nkg7", "Lyz2", "Cd3d", "Cst3"]
    names = {gene["name"] for gene in page_of(mouse, tmp_path, genes=["Lyz2"]).data["genes"]}
    assert names == set(mouse.var_names)
    names = {gene["name"] for gene in page_of(mouse, tmp_path, genes=["LYZ"], organism="mouse").data["genes"]}
    assert names == {"CD79A", "NKG7", "LYZ", "CD3D", "CST3"}


def test_cards_have_the_numbers_of_all_their_cells(cells: AnnData, tmp_path: Path) -> None:
    page = page_of(cells, tmp_path, max_points=100)
    assert page.data["n"] == 100
    counts = cells.obs["scmpt_prediction"].value_counts()
    assert [label.replace("&gt;", ">") for label in page.cards] == sorted(
        counts.index[counts > 0],
        key=lambda label: (-counts[label], list(cells.obs["scmpt_prediction"].cat.categories).index(label)),
    )
    probabilities = cells.obsm["scmpt_probabilities"]
    for label in page.cards:
        own = (cells.obs["scmpt_prediction"] == label).to_numpy()
        text = page.card(label)
        assert f"{own.sum()} cell" in text
        assert f"{cells.obs['scmpt_confidence'][own].mean():.2f}" in text
        unsure = (cells.obs["scmpt_confidence"][own] < 0.5).mean()
        assert (f"{100 * unsure:.0f} % unsure" in text) or (f"{100 * unsure:.1f} % unsure" in text) or not unsure
        novel = (cells.obs["scmpt_novelty"][own] > 0.95).mean()
        assert (f"{100 * novel:.0f} % unlike" in text) or (f"{100 * novel:.1f} % unlike" in text)
        others = probabilities[own].drop(columns=label)
        second = others.idxmax(axis=1)
        most = second.value_counts()
        if most.iloc[0] > most.iloc[1:].max():
            share, mean = most.iloc[0] / own.sum(), others.max(axis=1)[second == most.index[0]].mean()
            assert f"confused with {most.index[0]} {100 * share:.0f} % ({mean:.2f})" in text


def test_genes_of_a_label_are_higher_in_its_cells(cells: AnnData, tmp_path: Path) -> None:
    cells.obs["scmpt_prediction"] = cells.obs["bulk_labels"]
    text = page_of(cells, tmp_path).card("CD19+ B")
    assert "CD79A" in text
    assert "t-test on 700 cells" in text
    assert "CD79A" not in page_of(cells, tmp_path).card("CD14+ Monocyte")


def test_genes_of_attributions_stand_before_those_of_a_test(cells: AnnData, tmp_path: Path) -> None:
    groups = {"CD19+ B": ["LYZ", "NKG7", "CD79A"], "Dendritic": ["CST3", "FCER1A", "CD3D"]}
    cells.uns["scmpt_attributions"] = ranking(groups, groupby="bulk_labels")
    page = page_of(cells, tmp_path)
    assert "LYZ , NKG7 integrated gradients" in page.card("CD19+ B")
    assert "CD79A" not in page.card("CD19+ B")  # speaks against it
    assert "t-test" in page.card("CD14+ Monocyte")


def test_attributions_of_other_groups_of_the_same_names_are_not_taken(cells: AnnData, tmp_path: Path) -> None:
    cells.obs["leiden"] = cells.obs["louvain"]
    groups = {str(name): ["LYZ", "NKG7", "CD79A"] for name in cells.obs["louvain"].cat.categories}
    cells.uns["scmpt_attributions"] = ranking(groups, groupby="leiden")
    assert "t-test" in page_of(cells, tmp_path, group_key="louvain").card("0")
    assert "integrated gradients" in page_of(cells, tmp_path, group_key="leiden").card("0")


def test_groups_say_which_labels_their_cells_have(cells: AnnData, tmp_path: Path) -> None:
    page = page_of(cells, tmp_path, group_key="louvain")
    assert page.labels("group") == list(cells.obs["louvain"])
    assert page.labels("prediction") == list(cells.obs["scmpt_prediction"])
    own = cells.obs["louvain"] == "4"
    most = cells.obs["scmpt_prediction"][own].value_counts()
    assert f"predicted {most.index[0]} " in page.card("4")


def test_description_of_a_group_is_on_its_card(cells: AnnData, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"description": ["B cells, surely."], "genes_for": ["CD79A, MS4A1"], "unusual": ["few cells"], "path": [""]},
        index=pd.Index(["4"], name="louvain"),
    )
    cells.uns["scmmgpt_descriptions"] = table
    text = page_of(cells, tmp_path, group_key="louvain").card("4")
    assert "B cells, surely." in text
    assert "CD79A , MS4A1 from its description" in text
    assert "unusual few cells" in text
    assert "surely" not in page_of(cells, tmp_path).text  # the cards are about labels


def test_labels_have_the_colours_that_scanpy_keeps_and_no_others(cells: AnnData, tmp_path: Path) -> None:
    categories = cells.obs["scmpt_prediction"].cat.categories
    cells.uns["scmpt_prediction_colors"] = [f"#0000{number:02x}" for number in range(len(categories))]
    cells.uns["scmpt_prediction_colors"][1] = "red;background:url(http://example.org)"
    labelling = page_of(cells, tmp_path).data["labellings"][0]
    for label, colour in zip(labelling["labels"], labelling["colours"], strict=True):
        place = list(categories).index(label)
        assert (colour == f"#0000{place:02x}") == (place != 1)
        assert len(colour) == 7
    assert len(set(labelling["colours"])) == len(labelling["labels"])


@pytest.mark.parametrize("n_labels", [5, 21, 90])
def test_every_label_has_a_colour_of_its_own(n_labels: int, cells: AnnData, tmp_path: Path) -> None:
    cells.obs["x_prediction"] = [f"type {place % n_labels}" for place in range(cells.n_obs)]
    labelling = page_of(cells, tmp_path, key="x").data["labellings"][0]
    assert len(set(labelling["colours"])) == len(labelling["labels"]) == n_labels


def test_sample_has_every_label_and_says_so(cells: AnnData, tmp_path: Path) -> None:
    cells.obs["scmpt_prediction"] = ["rare" if place == 17 else "common" for place in range(cells.n_obs)]
    page = page_of(cells, tmp_path, max_points=50, seed=1)
    assert page.labels().count("rare") == 1
    assert page.data["n"] == len(set(page.names)) == 50
    assert "50 of 700 cells are drawn" in page.text
    assert "seed 1" in page.text
    assert page.names != page_of(cells, tmp_path, max_points=50, seed=2).names
    assert page.html == (pl.report(cells, tmp_path / "again.html", max_points=50, seed=1)).read_text()


def test_backed_cells_give_the_same_page(cells: AnnData, tmp_path: Path) -> None:
    names = [label.replace("/", "|") for label in cells.obsm["scmpt_probabilities"]]
    cells.obsm["scmpt_probabilities"].columns = names  # as it is written
    cells.write_h5ad(tmp_path / "cells.h5ad")
    in_memory = page_of(ad.read_h5ad(tmp_path / "cells.h5ad"), tmp_path)
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    assert page_of(backed, tmp_path).html == in_memory.html
    backed.file.close()


def test_cells_are_not_changed(cells: AnnData, tmp_path: Path) -> None:
    before = cells.copy()
    pl.report(cells, tmp_path / "report.html")
    assert list(cells.uns) == list(before.uns)
    assert cells.obs.equals(before.obs)
    assert (cells.X != before.X).nnz == 0


def test_records_say_how_embeddings_were_made(cells: AnnData, tmp_path: Path) -> None:
    record = {
        "encoder": "minilm",
        "fingerprint": "ca0f39",
        "gene_overlap": {"n_matched": 765},
        "weights": np.arange(40),
    }
    cells.uns["scmpt"] = {"embeddings": {"X_minilm": record}, "new section": {"one": 1}}
    text = page_of(cells, tmp_path).text
    assert "Embedding X_minilm" in text
    assert "fingerprint ca0f39" in text
    assert "gene_overlap.n_matched 765" in text
    assert "(40 in all)" in text
    assert "new section one 1" in text


def test_novelty_of_a_text_model_is_called_what_it_is(cells: AnnData, tmp_path: Path) -> None:
    for column in ("prediction", "confidence", "novelty"):
        cells.obs[f"scmmgpt_{column}"] = cells.obs.pop(f"scmpt_{column}")
    cells.obsm["scmmgpt_scores"] = cells.obsm.pop("scmpt_probabilities")
    page = page_of(cells, tmp_path)
    assert "of a type that was not named" in page.text
    assert page.data["limits"] == {"unsure": 0.5, "novel": 0.5}
    assert "confused with" in page.card(page.cards[0])


def test_second_best_labels_of_no_probability_are_no_confusion(cells: AnnData, tmp_path: Path) -> None:
    table = cells.obsm["scmpt_probabilities"]
    sure = np.full(table.shape, 1e-4)
    sure[np.arange(len(table)), cells.obs["scmpt_prediction"].cat.codes] = 1.0
    cells.obsm["scmpt_probabilities"] = pd.DataFrame(sure, table.index, table.columns)
    assert "onfused with" not in page_of(cells, tmp_path).text


def test_labels_with_a_slash_keep_it_as_second_best(cells: AnnData, tmp_path: Path) -> None:
    table = cells.obsm["scmpt_probabilities"]
    cells.obsm["scmpt_probabilities"] = table.rename(columns=lambda name: name.replace("/", "|"))
    assert "CD4+/CD25 T Reg" in page_of(cells, tmp_path).data["second"]["labels"]
    assert "CD4+/CD25 T Reg" not in page_of(cells, tmp_path).card("CD4+/CD25 T Reg").split("confused with")[1]


def test_a_label_is_never_second_to_itself(cells: AnnData, tmp_path: Path) -> None:
    """Two labels that differ in what columns cannot have, and one that is longer than the name of a column."""
    names = dict(zip(cells.obs["scmpt_prediction"].cat.categories, ["B/T", "B|T", "x" * 400], strict=False))
    cells.obs["scmpt_prediction"] = cells.obs["scmpt_prediction"].cat.rename_categories(names)
    labels = list(cells.obs["scmpt_prediction"].cat.categories)
    table = cells.obsm["scmpt_probabilities"]
    cells.obsm["scmpt_probabilities"] = table.set_axis(storable_names(labels, None), axis=1)
    data = page_of(cells, tmp_path)
    second = [data.data["second"]["labels"][code] for code in data.unpacked(data.data["second"]["codes"], "<u2")]
    order = np.argsort(-table.to_numpy(), axis=1)
    predicted = cells.obs["scmpt_prediction"].cat.codes.to_numpy()
    expected = [labels[two if one == own else one] for (one, two), own in zip(order[:, :2], predicted, strict=True)]
    drawn = pd.Index(cells.obs_names).get_indexer(data.names)
    assert second == [expected[row] for row in drawn]
