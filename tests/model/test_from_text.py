"""Models that are trained without labelled cells, on the surest labels of a text model."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tests._zero_shot import TYPES, study

from scmpt_scverse import SCMMGPT, SCMPT

pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
FOUND = TYPES[4:7]
COUNTS: dict[str, Any] = {"encoders": {"counts": "counts"}}


@pytest.fixture
def query() -> AnnData:
    return study(FOUND, seed=3)


def test_a_model_without_labelled_cells(text_model: SCMMGPT, tmp_path: Path) -> None:
    query = study(FOUND, n_each=150, seed=3)
    before = query.copy()
    del query.obs["cell_type"]
    model = SCMPT.from_text(query, list(FOUND), model=text_model, **COUNTS)
    assert set(model.labels) == set(FOUND)
    model.annotate(query)
    accuracy = (query.obs["scmpt_prediction"].astype(object) == before.obs["cell_type"].astype(object)).mean()
    of_teacher = text_model.predict(query, labels=list(FOUND), refine="smooth") == before.obs["cell_type"].to_numpy()
    assert accuracy > max(0.85, of_teacher.mean() - 0.03)
    assert (query.X != before.X).nnz == 0
    # It is a model as any other: of new cells, saved and read again.
    new = study(FOUND, seed=4)
    model.save(str(tmp_path / "model"))
    again = SCMPT.load(str(tmp_path / "model"), adata=False)
    assert (again.predict(new) == new.obs["cell_type"].to_numpy()).mean() > 0.8


def test_the_surest_share_of_each_label_teaches(text_model: SCMMGPT, query: AnnData) -> None:
    soft = text_model.predict(query, labels=list(FOUND), refine="smooth", soft=True)
    predicted, confidence = soft.idxmax(axis=1), soft.max(axis=1)
    for share in (0.2, 1.0):
        SCMPT.from_text(query, list(FOUND), model=text_model, share=share, key_added="mine", **COUNTS)
        taught = query.obs["mine"].astype(object)
        for label in FOUND:
            inside, teaches = predicted == label, taught == label
            assert teaches.sum() == int(share * inside.sum())
            assert inside[teaches].all()
            assert share == 1 or confidence[teaches].min() >= confidence[inside & ~teaches].max()


def test_the_layer_is_read_by_both_models(text_model: SCMMGPT, query: AnnData) -> None:
    elsewhere = query.copy()
    elsewhere.layers["counts"] = elsewhere.X
    elsewhere.var["symbol"] = elsewhere.var_names
    elsewhere.var_names = [f"row{number}" for number in range(elsewhere.n_vars)]
    elsewhere.X = np.zeros(elsewhere.shape, dtype=np.float32)
    SCMPT.from_text(query, list(FOUND), model=text_model, **COUNTS)
    model = SCMPT.from_text(elsewhere, list(FOUND), model=text_model, layer="counts", gene_symbols="symbol", **COUNTS)
    assert list(elsewhere.obs["scmpt_text_label"]) == list(query.obs["scmpt_text_label"])
    assert model.registry["setup_args"]["layer"] == "counts"


def test_cells_that_cannot_be_read_teach_nothing(text_model: SCMMGPT, query: AnnData) -> None:
    values = query.X.toarray()
    values[[0, 50]] = 0
    query.X = values
    with pytest.warns(UserWarning, match="2 of 120 cells have no expression"):
        SCMPT.from_text(query, list(FOUND), model=text_model, share=1.0, **COUNTS)
    taught = query.obs["scmpt_text_label"].astype(object) != "Unknown"
    assert np.flatnonzero(~taught).tolist() == [0, 50]


def test_refusals(text_model: SCMMGPT, query: AnnData) -> None:
    with pytest.raises(ValueError, match="found a view"):
        SCMPT.from_text(query[:50], list(FOUND), model=text_model, **COUNTS)
    for share in (0, 1.5, -1):
        with pytest.raises(ValueError, match="share"):
            SCMPT.from_text(query, list(FOUND), model=text_model, share=share, **COUNTS)
    with pytest.raises(FileNotFoundError, match="Expected a pretrained model"):
        SCMPT.from_text(query, list(FOUND), model="scmmgpt-none", **COUNTS)
    with pytest.raises(ValueError, match="key_added"):
        SCMPT.from_text(query, list(FOUND), model=text_model, key_added=" ", **COUNTS)
    assert "scmpt_text_label" not in query.obs


def test_what_can_be_refused_is_before_anything_is_written(text_model: SCMMGPT) -> None:
    query = study(FOUND, n_each=40, seed=3)
    query.obs["donor"] = "a"
    before = query.copy()
    for options, error in (
        ({"batch_key": "donors"}, KeyError),
        ({"batch_key": "donor", "key_added": "donor"}, ValueError),
        ({"seed": -1}, ValueError),
        ({"encoder": "counts"}, TypeError),
    ):
        with pytest.raises(error):
            SCMPT.from_text(query, list(FOUND), model=text_model, **options)
        pd.testing.assert_frame_equal(query.obs, before.obs)
        assert not query.uns
