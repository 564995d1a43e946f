"""Data that other models, other tools or time have changed between two calls."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad, read_zarr
from scipy import sparse
from tests._adata import LABELS_KEY
from tests._model import probabilities

from scmpt_scverse import SCMPT, encoders, tl
from scmpt_scverse.modalities import Modalities, Modality


def fitted(adata: AnnData, labels_key: str = LABELS_KEY, obsm_key: str = "X_pca", **kwargs: Any) -> SCMPT:
    SCMPT.setup_anndata(adata, labels_key, obsm_keys={"expression": obsm_key})
    model = SCMPT(adata, fusion="concat", n_hidden=64)
    model.train(**{"max_epochs": 10, "plan_kwargs": {"lr": 1e-3}, "enable_progress_bar": False, **kwargs})
    return model


def test_another_setup_of_the_same_data_does_not_change_what_is_learned(pbmc: AnnData) -> None:
    expected = probabilities(fitted(pbmc.copy()))
    SCMPT.setup_anndata(pbmc, LABELS_KEY, obsm_keys={"expression": "X_pca"})
    model = SCMPT(pbmc, fusion="concat", n_hidden=64)
    SCMPT.setup_anndata(pbmc, "phase", obsm_keys={"expression": "X_pca"})
    model.train(max_epochs=10, plan_kwargs={"lr": 1e-3}, enable_progress_bar=False)
    assert probabilities(model).equals(expected)
    del pbmc.obs["_scvi_labels"]
    model.train(max_epochs=1, enable_progress_bar=False)


def test_held_out_cells_are_those_of_the_training_data(pbmc: AnnData, tmp_path: Path) -> None:
    train, query = pbmc[::2].copy(), pbmc[1::14].copy()
    model = fitted(train)
    model.save(str(tmp_path / "model"))
    loaded = SCMPT.load(str(tmp_path / "model"), adata=query)
    assert loaded.evaluate(query).loc["scmpt", "n_cells"] == query.n_obs
    assert loaded.evaluate().loc["scmpt", "n_cells"] == query.n_obs
    assert loaded.evaluate(train.copy()).equals(model.evaluate())
    with pytest.warns(UserWarning, match="315 of 350 cells were trained on"):
        loaded.evaluate(train, indices=np.arange(350))


def test_cells_of_an_earlier_training_are_not_held_out(pbmc: AnnData) -> None:
    model = fitted(pbmc, train_size=1.0, max_epochs=1)
    model.train(max_epochs=1, train_size=0.5, enable_progress_bar=False)
    with pytest.raises(ValueError, match="No cell was held out from training"):
        model.evaluate()


def test_batches_of_a_query_may_be_new_or_missing(pbmc: AnnData, tmp_path: Path) -> None:
    SCMPT.setup_anndata(pbmc, LABELS_KEY, batch_key="phase", obsm_keys={"expression": "X_pca"})
    model = SCMPT(pbmc, fusion="concat", n_hidden=8)
    model.train(max_epochs=1, enable_progress_bar=False)
    model.save(str(tmp_path / "model"))
    assert model.summary_stats.n_batch == 3
    query = pbmc[:30].copy()
    query.obs["phase"] = query.obs["phase"].astype(object)
    query.obs.iloc[0, query.obs.columns.get_loc("phase")] = "a new one"
    query.obs.iloc[1, query.obs.columns.get_loc("phase")] = np.nan
    SCMPT.load(str(tmp_path / "model"), adata=query)
    assert query.obs["_scvi_batch"].tolist()[:2] == [3, 3]
    assert set(query.obs["_scvi_batch"][2:]) <= {0, 1, 2}
    del query.obs["phase"]
    assert len(SCMPT.load(str(tmp_path / "model"), adata=query).predict()) == 30


def test_half_precision_and_sparse_embeddings(pbmc: AnnData) -> None:
    model = fitted(pbmc)
    query = pbmc[:50].copy()
    expected = model.predict(query)
    for stored in (query.obsm["X_pca"].astype(np.float16), sparse.csr_matrix(query.obsm["X_pca"])):
        query.obsm["X_pca"] = stored
        assert (model.predict(query) == expected).mean() > 0.95
        assert query.obsm["X_pca"].dtype == stored.dtype


def test_columns_of_a_frame_go_by_name(pbmc: AnnData) -> None:
    names = [f"PC{i}" for i in range(50)]
    pbmc.obsm["frame"] = pd.DataFrame(pbmc.obsm["X_pca"], index=pbmc.obs_names, columns=names)
    model = fitted(pbmc, obsm_key="frame")
    permuted = pbmc.copy()
    permuted.obsm["frame"] = pbmc.obsm["frame"][names[::-1]]
    assert (model.predict(permuted) == model.predict(pbmc)).all()
    permuted.obsm["frame"] = pbmc.obsm["frame"].rename(columns={"PC3": "other"})
    with pytest.raises(ValueError, match="has no columns 'PC3', which the model was trained on"):
        model.predict(permuted)


def test_embeddings_from_another_layer_are_pointed_out(trained: SCMPT, pbmc: AnnData) -> None:
    query = pbmc[1:84:4].copy()
    query.layers["other"] = query.X.copy()
    tl.embed(query, encoders.get("minilm", max_genes=10), layer="other", progress=False)
    with pytest.warns(UserWarning, match="was made from layer 'other'; the model was set up with layer 'X'"):
        trained.predict(query)
    query.obsm["X_minilm"] = query.obsm["X_minilm"][:, :10]
    query.uns["scmpt"]["embeddings"]["X_minilm"]["layer"] = "X"
    with pytest.raises(ValueError, match="has 10 columns; its encoder gives 384"):
        trained.predict(query)


def test_without_the_encoder_its_name_decides(pbmc: AnnData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SCMPT_ENCODERS", str(tmp_path))  # where no encoder is
    record = {"encoder": "ember-v1", "fingerprint": "0" * 64, "layer": "X", "gene_symbols": "var_names"}
    pbmc.obsm["X_ember-v1"] = np.random.default_rng(0).normal(size=(700, 1024)).astype(np.float32)
    pbmc.uns["scmpt"] = {"embeddings": {"X_ember-v1": record}}
    SCMPT.setup_anndata(pbmc, LABELS_KEY)
    model = SCMPT(pbmc, encoders={"text": "ember-v1"}, fusion="concat", n_hidden=8)
    record["encoder"] = "minilm"
    with pytest.raises(ValueError, match="comes from 'ember-v1'; found 'minilm' with 000000000000"):
        model.train(max_epochs=1, enable_progress_bar=False)
    record["encoder"] = "ember-v1"
    model.train(max_epochs=1, enable_progress_bar=False)
    assert model.modalities.trained_with["text"]["fingerprint"] == "0" * 64


def test_embeddings_that_fit_need_no_encoder(scgpt_folder: Path, pbmc: AnnData, tmp_path: Path) -> None:
    cells, query = pbmc[::10].copy(), pbmc[1::50].copy()
    SCMPT.setup_anndata(cells, LABELS_KEY)
    model = SCMPT(cells, encoders={"expression": scgpt_folder}, fusion="concat", n_hidden=8)
    model.train(max_epochs=1, enable_progress_bar=False)
    model.embed(query, progress=False)
    key, dim = model.modalities.keys["expression"], model.modalities.dims["expression"]
    gone = Modality(key, dim, str(tmp_path / "gone"))
    without = Modalities({"expression": gone}, model.modalities.source)
    without.restore(model.modalities.state())
    without.embed(query)
    assert np.array_equal(np.asarray(without.read(query)["expression"]), query.obsm[key])


@pytest.mark.parametrize(
    ("trained_on", "asked", "labels"),
    [
        ([0, 1, 2], [0.0, 1.0, np.nan], ["0", "1", "2"]),
        (["a", "", "b"], ["a", " ", "b"], ["a", "b"]),
        ([-1, 0, 1], [-1, 0, 1], ["0", "1"]),
    ],
    ids=["integers as floats", "empty text", "a number for no label"],
)
def test_labels_mean_the_same_in_every_type(
    pbmc: AnnData, trained_on: list[object], asked: list[object], labels: list[str]
) -> None:
    pbmc.obs["y"] = pd.Series(trained_on).sample(700, replace=True, random_state=0).to_numpy()
    unlabeled = -1 if -1 in trained_on else "Unknown"
    SCMPT.setup_anndata(pbmc, "y", unlabeled_category=unlabeled, obsm_keys={"e": "X_pca"})  # type: ignore[arg-type]
    model = SCMPT(pbmc, fusion="concat", n_hidden=8)
    assert model.labels.tolist() == labels
    model.train(max_epochs=1, enable_progress_bar=False)
    query = pbmc[:3].copy()
    query.obs_names = ["q1", "q2", "q3"]
    query.obs["y"] = asked
    assert model.evaluate(query).loc["scmpt", "n_cells"] == 2


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")  # anndata's word on its own default
def test_odd_labels_can_be_written(pbmc: AnnData, tmp_path: Path) -> None:
    names = np.array(["A/", "A|", "_index", ".", "..", "cell"])
    pbmc.obs["y"] = names[np.arange(700) % 6]
    pbmc.obs_names.name = "cell"
    fitted(pbmc, "y").annotate()
    assert pbmc.obsm["scmpt_probabilities"].shape == (700, 6)
    pbmc.write_h5ad(tmp_path / "cells.h5ad")
    pbmc.write_zarr(tmp_path / "cells.zarr")
    for again in (read_h5ad(tmp_path / "cells.h5ad"), read_zarr(tmp_path / "cells.zarr")):
        assert again.obs["scmpt_prediction"].astype(str).tolist() == pbmc.obs["scmpt_prediction"].astype(str).tolist()
        assert again.obsm["scmpt_probabilities"].shape == (700, 6)


def test_modality_names_and_keys(embedded: AnnData) -> None:
    with pytest.raises(ValueError, match="`modality` names something that is written.*found 'a.b'"):
        SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"a.b": "X_pca"})
    with pytest.raises(TypeError, match="`labels_key` must be the name of a column, a text; found 0"):
        SCMPT.setup_anndata(embedded, 0)  # type: ignore[arg-type]
    SCMPT.setup_anndata(embedded, LABELS_KEY)
    with pytest.raises(ValueError, match="Two modalities share the key 'X_minilm' of `.obsm`"):
        SCMPT(embedded, encoders={"long": "minilm", "short": {"encoder": "minilm", "max_genes": 5}})
    both = SCMPT(embedded, encoders={"long": "minilm", "short": {"encoder": "minilm", "max_genes": 5, "name": "few"}})
    assert list(both.modalities.keys.values()) == ["X_minilm", "X_few"]


def test_sizes_may_be_numpy_integers(embedded: AnnData) -> None:
    SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"e": "X_pca"})
    assert "n_hidden: 8" in SCMPT(embedded, fusion="concat", n_hidden=np.int64(8))._model_summary_string  # type: ignore[arg-type]
    assert "n_hidden" not in SCMPT(embedded)._model_summary_string  # a stacked head has no hidden layers
