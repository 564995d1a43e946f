"""Prediction: labels stay with their cells, queries may differ from the training data, and strangers are refused."""

import copy
import inspect
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import torch
from anndata import AnnData, read_h5ad
from scipy import sparse
from tests._adata import LABELS_KEY, snapshot
from tests._model import probabilities

from scmpt_scverse import SCMPT, ablation, encoders, tl
from scmpt_scverse.modalities import _compute


@pytest.fixture
def query(pbmc: AnnData) -> AnnData:
    """21 cells that the model did not see, without embeddings from the encoder."""
    return pbmc[1:84:4].copy()


def test_shapes_and_probabilities(trained: SCMPT, embedded: AnnData) -> None:
    labels = trained.predict(embedded)
    soft = probabilities(trained, embedded)
    assert labels.shape == (175,)
    assert soft.index.equals(embedded.obs_names)
    assert soft.columns.tolist() == sorted(embedded.obs[LABELS_KEY].unique())
    assert np.allclose(soft.sum(axis=1), 1, atol=1e-6)
    assert (soft.idxmax(axis=1).to_numpy() == labels).all()


def test_indices_keep_their_order(trained: SCMPT, embedded: AnnData) -> None:
    labels, soft = trained.predict(embedded), probabilities(trained, embedded)
    rows = [5, 2, 9, 0]
    assert trained.predict(embedded, indices=rows).tolist() == labels[rows].tolist()
    assert probabilities(trained, embedded, indices=rows).index.tolist() == soft.index[rows].tolist()
    mask = np.arange(175) % 2 == 0
    assert trained.predict(embedded, indices=mask).tolist() == labels[mask].tolist()
    assert trained.predict(embedded, indices=[]).tolist() == []
    assert probabilities(trained, embedded, indices=[]).shape == (0, 10)
    with pytest.raises(TypeError, match="`indices` must be row numbers or a mask of length 175"):
        trained.predict(embedded, indices=["AAAGCCTGGCTAAC-1"])  # type: ignore[list-item]


def test_batch_size_does_not_matter(trained: SCMPT, embedded: AnnData) -> None:
    whole = probabilities(trained, embedded).to_numpy()
    assert np.abs(probabilities(trained, embedded, batch_size=7).to_numpy() - whole).max() < 1e-5
    with pytest.raises(ValueError, match="`batch_size` must be a whole number of at least 1; found 0"):
        trained.predict(embedded, batch_size=0)


def test_arguments_are_checked_before_anything_is_embedded(trained: SCMPT, query: AnnData) -> None:
    wrongs: list[Any] = [0, -1, 1.5, True]
    for wrong in wrongs:
        for ask in (trained.predict, trained.get_latent_representation):
            with pytest.raises(ValueError, match="`batch_size` must be a whole number of at least 1"):
                ask(query, batch_size=wrong)
    uncalibrated = copy.copy(trained)
    uncalibrated.calibration = None
    for method in (uncalibrated.predict, uncalibrated.annotate):
        with pytest.raises(ValueError, match="Expected cells to calibrate on"):
            method(query, reject=0.1)
    assert "X_minilm" not in query.obsm


def test_backed_files_keep_their_order(trained: SCMPT, embedded: AnnData, tmp_path: Path) -> None:
    labels = trained.predict(embedded)
    embedded.write_h5ad(tmp_path / "cells.h5ad")
    backed = read_h5ad(tmp_path / "cells.h5ad", backed="r")
    assert trained.predict(backed, indices=[5, 2, 9, 0]).tolist() == labels[[5, 2, 9, 0]].tolist()
    trained.annotate(backed)
    assert backed.obs["scmpt_prediction"].tolist() == labels.tolist()
    with pytest.raises(ValueError, match=r"view of a backed file. Pass `adata.to_memory\(\)`"):
        trained.annotate(backed[:5])
    backed.file.close()


def test_query_needs_neither_labels_nor_the_same_genes(trained: SCMPT, query: AnnData) -> None:
    expected = probabilities(trained, query.copy())
    bare = AnnData(
        query.X,
        pd.DataFrame(index=query.obs_names),
        pd.DataFrame(index=query.var_names),
        obsm={"X_pca": query.obsm["X_pca"]},
    )
    order = np.random.default_rng(0).permutation(query.n_vars)
    permuted = bare[:, order].copy()
    assert np.abs(probabilities(trained, permuted) - expected).max(axis=None) < 1e-5
    fewer = bare[:, :600].copy()
    assert trained.predict(fewer).shape == (21,)
    new_label = query.copy()
    new_label.obs[LABELS_KEY] = "a label that nobody trained"
    assert trained.predict(new_label).tolist() == trained.predict(query).tolist()


def test_view_stays_a_view_and_nothing_of_the_query_changes(trained: SCMPT, query: AnnData) -> None:
    view = query[[3, 1, 2]]
    before = snapshot(query)
    labels = trained.predict(view)
    assert view.is_view
    assert labels.tolist() == trained.predict(query, indices=[3, 1, 2]).tolist()
    assert snapshot(query) == before  # an embedding of some cells is not written
    trained.predict(query)
    assert query.obsm["X_minilm"].shape == (21, 384)
    before = snapshot(query)
    trained.predict(query)
    assert snapshot(query) == before


def test_only_the_cells_asked_about_are_read(trained: SCMPT, query: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = probabilities(trained, query.copy(), indices=[5, 2])
    query.X = query.X.toarray()
    query.X[[row for row in range(21) if row not in (2, 5)]] = np.nan  # an error wherever it is read
    assert np.allclose(probabilities(trained, query, indices=[5, 2]), expected, atol=1e-6)
    with pytest.raises(ValueError, match="Expected finite expression"):
        trained.predict(query)


def test_embeddings_that_fit_are_used_again(trained: SCMPT, query: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    trained.embed(query, progress=False)
    monkeypatch.setattr(_compute, "ExpressionReader", lambda *_, **__: pytest.fail("embedded again"))
    trained.embed(query)
    trained.predict(query)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((3, 4)), "found numpy.ndarray. Put expression into `AnnData"),
        (pd.DataFrame(), "found pandas.*DataFrame. Put expression"),
        (sparse.csr_matrix((3, 4)), "found scipy.*csr_matrix. Put"),
        ("a.h5ad", "found str. Read the file first"),
        (Path("a.h5ad"), "found pathlib.*Path. Read the file"),
        ([1], "found list"),
    ],
)
def test_other_objects_are_refused(trained: SCMPT, saved: Path, wrong: Any, message: str) -> None:
    others = {"explain_cell": ["a"], "counterfactual": ["a"], "setup_anndata": [LABELS_KEY]}
    methods = {
        name: method
        for name, method in inspect.getmembers(trained, callable)
        if not name.startswith("_") and "adata" in inspect.signature(method).parameters and hasattr(method, "__func__")
    }
    ours = {name for name, method in methods.items() if "scmpt" in method.__func__.__module__}
    assert len(ours) > 14, "the methods were not found"
    for name in ours - {"load", "from_hub"}:  # these take a place first
        with pytest.raises(TypeError, match=f"Expected an AnnData or a MuData; {message}"):
            methods[name](wrong, *others.get(name, []), **({"genes": ["CD3D"]} if name == "advise_panel" else {}))
    with pytest.raises(TypeError, match=message):
        SCMPT.load(str(saved), adata=wrong)
    with pytest.raises(TypeError, match=message):
        SCMPT(wrong)
    with pytest.raises(TypeError, match=message):
        ablation.run(trained, wrong, [])
    with pytest.raises(TypeError, match="Expected a MuData; found"):
        SCMPT.setup_mudata(wrong, LABELS_KEY, modalities={"expression": "rna"})


def test_embeddings_of_another_encoder_are_refused(trained: SCMPT, query: AnnData) -> None:
    tl.embed(query, encoders.get("minilm", max_genes=20), progress=False)
    with pytest.raises(
        ValueError, match="'text' modality of this model comes from 'minilm' with fingerprint .*; found 'minilm'"
    ):
        trained.predict(query)
    trained.embed(query, progress=False)
    assert trained.predict(query).shape == (21,)


def test_embeddings_of_unknown_origin_are_refused(trained: SCMPT, query: AnnData) -> None:
    query.obsm["X_minilm"] = np.zeros((21, 384), np.float32)
    with pytest.raises(ValueError, match="exists, but nothing records which encoder made it"):
        trained.predict(query)


def test_own_embeddings_are_checked(trained: SCMPT, query: AnnData) -> None:
    trained.embed(query, progress=False)
    narrow = query.copy()
    narrow.obsm["X_pca"] = query.obsm["X_pca"][:, :10]
    with pytest.raises(ValueError, match=r"`adata.obsm\['X_pca'\]` has 10 columns; the model was made for 50"):
        trained.predict(narrow)
    query.obsm["X_pca"][4, 0] = np.nan
    with pytest.raises(ValueError, match="found NaN or infinite ones in 1 of 21 cells"):
        trained.predict(query)
    del query.obsm["X_pca"]
    with pytest.warns(UserWarning, match=r"there is no `adata.obsm\['X_pca'\]`; predictions do without it"):
        trained.predict(query)


def test_own_embeddings_from_an_encoder_are_followed_too(embedded: AnnData, query: AnnData) -> None:
    SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"text": "X_minilm"})
    model = SCMPT(embedded, fusion="concat", n_hidden=8)
    model.train(max_epochs=1, enable_progress_bar=False)
    query.obsm["X_minilm"] = np.zeros((21, 384), np.float32)
    with pytest.warns(UserWarning, match="nothing is recorded of `adata.obsm"):
        model.predict(query)
    del query.obsm["X_minilm"]
    tl.embed(query, encoders.get("minilm", max_genes=20), progress=False)
    with pytest.raises(ValueError, match="comes from 'minilm' with fingerprint"):
        model.predict(query)


def test_annotate_writes_the_slots_and_they_survive_h5ad(trained: SCMPT, query: AnnData, tmp_path: Path) -> None:
    trained.annotate(query)
    trained.annotate(query, key_added="second")
    occurring = set(query.obs["scmpt_prediction"])
    assert len(occurring) < len(trained.labels)
    categories = [label for label in trained.labels if label in occurring]
    assert query.obs["scmpt_prediction"].cat.categories.tolist() == categories
    assert query.obs["scmpt_prediction"].tolist() == trained.predict(query).tolist()
    assert np.allclose(query.obs["scmpt_confidence"], probabilities(trained, query).max(axis=1))
    assert {"second_prediction", "second_confidence"} <= set(query.obs)
    query.write_h5ad(tmp_path / "query.h5ad")  # labels such as CD4+/CD25 T Reg hold a slash
    again = read_h5ad(tmp_path / "query.h5ad")
    assert again.obs["scmpt_prediction"].astype(str).tolist() == query.obs["scmpt_prediction"].astype(str).tolist()
    assert np.allclose(again.obsm["scmpt_probabilities"].sum(axis=1), 1, atol=1e-6)
    assert "CD4+|CD25 T Reg" in again.obsm["scmpt_probabilities"].columns


def test_cells_that_cannot_be_read_stay_unlabelled(trained: SCMPT, query: AnnData) -> None:
    values = query.X.toarray()
    values[[2, 7]] = 0
    query.X = sparse.csr_matrix(values)
    with pytest.warns(UserWarning, match="2 of 21 cells have no expression"):
        trained.annotate(query)
    unread = np.isin(np.arange(21), [2, 7])
    assert ((query.obs["scmpt_prediction"] == "Unknown").to_numpy() == unread).all()
    assert (query.obs["scmpt_confidence"].isna().to_numpy() == unread).all()
    with pytest.warns(UserWarning, match="2 of 21 cells have no expression"):
        latent = trained.get_latent_representation(query)
    assert np.isnan(latent).all(axis=1).tolist() == unread.tolist()


def test_latent_representation(trained: SCMPT, embedded: AnnData) -> None:
    latent = trained.get_latent_representation(embedded)
    assert latent.shape == (175, 64)
    assert latent.dtype == np.float32
    output = trained.module.head.output
    assert isinstance(output, torch.nn.Linear)
    logits = latent @ output.weight.detach().numpy().T + output.bias.detach().numpy()
    assert (trained.labels[logits.argmax(1)] == trained.predict(embedded)).all()


def test_untrained_model_does_not_predict(embedded: AnnData) -> None:
    SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"e": "X_pca"})
    model = SCMPT(embedded, fusion="concat", n_hidden=8)
    for call in (model.predict, model.annotate, model.get_latent_representation, model.evaluate):
        with pytest.raises(RuntimeError, match="[Tt]rain"):
            call()


def test_no_warning_on_the_usual_way(embedded: AnnData) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"expression": "X_pca"})
        model = SCMPT(embedded, fusion="concat", n_hidden=8)
        model.train(max_epochs=1, enable_progress_bar=False)
        model.annotate()
    assert "scmpt_prediction" in embedded.obs


@pytest.mark.parametrize("rows", [[0, 175], [-1], [-3, 4]])
def test_rows_that_are_not_there(trained: SCMPT, embedded: AnnData, rows: list[int]) -> None:
    """`get_indexer` gives -1 for an unknown name; numpy would take the last cell."""
    wrong = next(row for row in rows if not 0 <= row < 175)
    with pytest.raises(IndexError, match=f"row numbers from 0 to 174; found {wrong}"):
        trained.predict(embedded, indices=rows)
    with pytest.raises(IndexError, match="row numbers from 0 to 174"):
        trained.evaluate(embedded, indices=rows)


def test_logarithms_of_a_median_are_read_alike_alone_and_among_others(pbmc: AnnData, tmp_path: Path) -> None:
    """What `sc.pp.normalize_total` does unasked: a cell alone does not tell its total, but the training data did."""
    rng = np.random.default_rng(0)
    rates = np.expm1(pbmc[:120].X.toarray()) * rng.lognormal(0, 0.5, size=(120, 1))
    counts = AnnData(sparse.csr_matrix(rng.poisson(rates / 5).astype(np.float32)), pbmc.obs[:120], pbmc.var[[]])
    logs = counts.copy()
    sc.pp.normalize_total(logs)
    sc.pp.log1p(logs)
    assert abs(np.expm1(logs.X[0].toarray()).sum() - 1e4) > 1e3
    SCMPT.setup_anndata(logs, LABELS_KEY)
    model = SCMPT(logs, encoders={"knowledge": "knowledge", "counts": "counts"})
    model.train()
    model.save(str(tmp_path / "model"))
    query = logs[60:].copy()
    del query.obsm, query.uns["scmpt"]
    for each in (model, SCMPT.load(str(tmp_path / "model"), adata=False)):
        soft = each.predict(query.copy(), soft=True).to_numpy()
        alone = np.concatenate([each.predict(query[[row]].copy(), soft=True) for row in range(4)])
        np.testing.assert_allclose(alone, soft[:4], atol=1e-5)
        np.testing.assert_allclose(each.predict(query.copy(), indices=[3], soft=True), soft[[3]], atol=1e-5)
        np.testing.assert_allclose(each.predict(counts[60:].copy(), soft=True), soft, atol=1e-3)
