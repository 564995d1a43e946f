"""What can be refused is refused before a cell is read, whatever method it is given to."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tests._adata import snapshot
from tests._zero_shot import LABELS, markers

from scmpt_scverse import SCMMGPT, SCMPT
from scmpt_scverse.module import TowerOptions
from scmpt_scverse.pp import ExpressionReader


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """No reader gives any cell, once the model is trained."""
    request.getfixturevalue("text_model")
    for name in ("rows", "take", "chunks"):
        monkeypatch.setattr(ExpressionReader, name, lambda *_: pytest.fail("the query was read"))


ANY_LABELS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"labels": ["B cell"]}, ValueError, "at least two labels"),
    ({"labels": "B cell"}, ValueError, "at least two labels"),
    ({"labels": []}, ValueError, "at least one label"),
    ({"labels": ["B cell", None]}, ValueError, "a missing or blank one"),
    ({"labels": [*LABELS, "Unknown"]}, ValueError, "'Unknown' is what cells without a label get"),
    ({"labels": ["CL:9999999", *LABELS]}, ValueError, "found 'CL:9999999', which it does not have"),
    ({"labels": 5}, TypeError, "Expected names of cell types as `labels`; found int"),
    ({"labels": [["B cell"], ["T cell"]]}, TypeError, "found list among them"),
    ({"labels": {"B cell": 3, "T cell": ""}}, TypeError, r"as `labels\['B cell'\]`; found 3"),
    ({"labels": pd.Series({"T": "expresses CD3D", "B": ""})}, TypeError, "Series, whose rows have names, too"),
    ({"labels": pd.DataFrame({"T": ["CD3D"], "B": ["CD79A"]})}, TypeError, "DataFrame, whose rows have names"),
    ({"labels": {"T cell": ["CD3D"], "T cell ": ["CD4"]}}, ValueError, "'T cell' twice, with different words"),
    ({"labels": LABELS, "tissue": "liver"}, ValueError, "either `labels=` or `tissue=`"),
    ({"labels": None, "tissue": "moon"}, ValueError, "Expected a tissue"),
    ({"labels": None, "tissue": ["liver"]}, TypeError, "the name of one tissue"),
    ({"layer": "counts"}, KeyError, "counts"),
    ({"gene_symbols": "symbol"}, KeyError, "symbol"),
]
REFINE: tuple[dict[str, Any], type[Exception], str] = ({"refine": "more"}, ValueError, "Unknown `refine='more'`")
METHODS: dict[str, tuple[dict[str, Any], list[tuple[dict[str, Any], type[Exception], str]]]] = {
    "predict": ({}, [({"indices": ["cell1"]}, TypeError, "`indices` must be row numbers")]),
    "predict_sets": ({}, [({"alpha": 0}, ValueError, "`alpha` must be")]),
    "annotate": (
        {},
        [
            ({"min_confidence": -1}, ValueError, "`min_confidence` must be a share"),
            ({"max_novelty": 2}, ValueError, "`max_novelty` must be a share"),
            ({"max_novelty": 0.5, "labels": None}, ValueError, "to tell novelty by; found none"),
            ({"back_off": 0}, ValueError, "`back_off` must be above 0"),
            ({"key_added": ""}, ValueError, "`key_added` must be a text"),
        ],
    ),
    "evaluate": (
        {"labels_key": "cell_type"},
        [
            ({"labels_key": "celltype"}, KeyError, "No 'celltype'"),
            ({"unlabeled_category": LABELS}, ValueError, "to compare with; found none"),
        ],
    ),
    "explain_cell": (
        {"obs_name": "cell0"},
        [
            ({"obs_name": "nobody"}, KeyError, "No 'nobody'"),
            ({"label": "T cell"}, ValueError, "Expected one of the labels to choose from"),
        ],
    ),
    "rank_attributions": (
        {"groupby": "cell_type"},
        [
            ({"groupby": "cluster"}, KeyError, "No 'cluster'"),
            ({"groups": ["x"]}, ValueError, "is in the group 'x'"),
            ({"n_cells_per_group": 0}, ValueError, "`n_cells_per_group` must be"),
            ({"seed": -1}, ValueError, "`seed` must be"),
            ({"key_added": " "}, ValueError, "`key_added` must be a text"),
        ],
    ),
}


@pytest.mark.parametrize("method", METHODS)
def test_of_methods_with_labels(text_model: SCMMGPT, text_query: AnnData, method: str) -> None:
    before = snapshot(text_query)
    needed, own = METHODS[method]
    for options, error, words in [*ANY_LABELS, REFINE, *own]:
        with pytest.raises(error, match=words):
            getattr(text_model, method)(text_query, **{"labels": LABELS, **needed, **options})
    assert snapshot(text_query) == before


def test_of_search_and_latent(text_model: SCMMGPT, text_query: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("", " ", 5, None):
        with pytest.raises(ValueError, match="Expected a text to search for"):
            text_model.search(text_query, text)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="found 'CL:9999999', which it does not have"):
        text_model.search(text_query, "CL:9999999")
    with pytest.raises(ValueError, match="`key_added` must be a text"):
        text_model.search(text_query, "B cell", key_added="")
    text_query.obs["mine"] = np.resize(["a", "b"], text_query.n_obs)
    for column in ("mine", "n_counts"):
        text_query.obs["n_counts"] = 1000.0
        before = text_query.obs[column].copy()
        with pytest.raises(ValueError, match="exists and is no score of a search"):
            text_model.search(text_query, "B cell", key_added=column)
        with pytest.raises(ValueError, match="exists and is no column of labels that were taught"):
            SCMPT.from_text(text_query, ["B cell", "T cell"], model=text_model, key_added=column)
        pd.testing.assert_series_equal(text_query.obs[column], before)
    with pytest.raises(KeyError, match="counts"):
        text_model.search(text_query, "B cell", layer="counts")
    with pytest.raises(TypeError, match="`indices` must be row numbers"):
        text_model.get_latent_representation(text_query, np.array([0.5]))
    monkeypatch.setattr(text_model, "background", 2)
    for call in (text_model.predict, text_model.get_latent_representation):
        with pytest.raises(ValueError, match="`background` must be a share"):
            call(text_query)


def test_of_training(text_model: SCMMGPT) -> None:
    train: Any = text_model.train
    for options, error, words in (
        ({"stage": "destribe"}, ValueError, "Unknown `stage='destribe'`"),
        ({"seed": -1}, ValueError, "`seed` must be"),
        ({"accelerator": "gpuu"}, ValueError, "Unknown `accelerator='gpuu'`"),
        ({"marker_organism": "mouse"}, ValueError, "of mouse"),
        ({"markers": ["absent.csv"]}, FileNotFoundError, "absent.csv"),
    ):
        with pytest.raises(error, match=words):
            train(**{"markers": [markers()], **options})
    for wrong in ({"n_steps": 0}, {"gene_dropout": 1.5}, {"lr": 0.0}, {"seed": -1}, {"n_axes": 2.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            TowerOptions(**wrong)


def test_of_texts_and_labels(text_model: SCMMGPT) -> None:
    for texts in ("B cell", [], ["B cell", 3]):
        with pytest.raises(TypeError, match="Expected a list of texts"):
            text_model.embed_text(texts)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least two labels"):
        text_model.resolve_labels(["B cell"])


def test_what_labels_are_taken_for(text_model: SCMMGPT) -> None:
    with pytest.warns(UserWarning, match="Nothing is known of 'gribble'"):
        table = text_model.resolve_labels(["B cells", "cl_0000182", "gribble"])
    assert table["ontology_term"].tolist() == ["B cell", "hepatocyte", None]
    assert table["ontology_id"].tolist() == ["CL:0000236", "CL:0000182", None]
    assert table["has_markers"].tolist() == [True, True, False]
    assert table["reads_text"].all()
    assert list(text_model.resolve_labels(tissue="liver").index) == ["endothelial cell", "fibroblast", "hepatocyte"]
