"""Saving and loading: with data, with a query, with none, and on a machine without the encoder."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from tests._adata import LABELS_KEY
from tests._malicious import Malicious
from tests._model import probabilities

from scmpt_scverse import SCMPT


def test_round_trips(trained: SCMPT, saved: Path, embedded: AnnData) -> None:
    expected = probabilities(trained, embedded)
    without = SCMPT.load(str(saved), adata=False)
    assert np.array_equal(probabilities(without, embedded), expected)
    attached = SCMPT.load(str(saved), adata=embedded)
    assert np.array_equal(probabilities(attached), expected)
    assert attached.history["validation_loss"].equals(trained.history["validation_loss"])
    assert repr(attached) == repr(without)
    with pytest.raises(ValueError, match="was loaded without data. Pass `adata=`"):
        without.predict()


def test_a_loaded_model_writes_the_same(pbmc: AnnData, tmp_path: Path) -> None:
    """Modalities whose names are not in alphabetical order, in which files keep arrays."""
    pbmc.obsm["X_odd"] = pbmc.obsm["X_pca"][:, 20:40] ** 2
    SCMPT.setup_anndata(pbmc, "bulk_labels", obsm_keys={"zeta": "X_pca", "alpha": "X_odd", "middle": "X_umap"})
    model = SCMPT(pbmc)
    model.train(seed=0)
    model.save(str(tmp_path / "model"))
    loaded = SCMPT.load(str(tmp_path / "model"), adata=False)
    ours, theirs = pbmc[::3].copy(), pbmc[::3].copy()
    model.annotate(ours)
    loaded.annotate(theirs)
    pd.testing.assert_frame_equal(ours.obs, theirs.obs)
    assert ours.obs["scmpt_novelty"].median() < 0.6
    for key in ("scmpt_probabilities", "scmpt_contributions"):
        pd.testing.assert_frame_equal(ours.obsm[key], theirs.obsm[key])


def test_saved_with_its_data(trained: SCMPT, embedded: AnnData, tmp_path: Path) -> None:
    trained.save(str(tmp_path / "model"), save_anndata=True)
    model = SCMPT.load(str(tmp_path / "model"))
    assert np.allclose(probabilities(model), probabilities(trained), atol=1e-6)


def test_query_with_other_genes_and_labels(saved: Path, pbmc: AnnData) -> None:
    query = pbmc[1:64:3, ::-1].copy()
    query.obs[LABELS_KEY] = "new"
    model = SCMPT.load(str(saved), adata=query)
    assert (query.obs["_scvi_labels"] == model.summary_stats.n_labels).all()
    assert len(model.predict()) == 21
    del query.obs[LABELS_KEY], query.obs["_scvi_labels"]
    assert len(SCMPT.load(str(saved), adata=query[:, :500].copy()).predict()) == 21


def test_loaded_model_refuses_a_changed_encoder(saved: Path, pbmc: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    from scmpt_scverse.encoders import SentenceTransformerEncoder

    monkeypatch.setattr(SentenceTransformerEncoder, "_compute_fingerprint", lambda self: "0" * 64)
    model = SCMPT.load(str(saved), adata=False)
    with pytest.raises(ValueError, match="comes from 'minilm' with fingerprint .*; found 'minilm' with 000000000000"):
        model.predict(pbmc[1:84:4].copy())


def test_encoder_folder_may_be_gone(pbmc: AnnData, tmp_path: Path) -> None:
    from tests._scgpt_folder import make_scgpt_folder

    folder = make_scgpt_folder(tmp_path / "tiny", pbmc.var_names)
    cells, query = pbmc[::10].copy(), pbmc[1::50].copy()
    SCMPT.setup_anndata(cells, LABELS_KEY)
    model = SCMPT(cells, encoders={"expression": folder}, fusion="concat", n_hidden=8)
    model.train(max_epochs=1, enable_progress_bar=False)
    model.embed(query, progress=False)
    model.save(str(tmp_path / "model"))
    folder.rename(tmp_path / "elsewhere")
    loaded = SCMPT.load(str(tmp_path / "model"), adata=False)
    assert np.array_equal(probabilities(loaded, query), probabilities(model, query))
    with pytest.raises(FileNotFoundError, match="Expected the folder of an encoder at .*tiny; found no such folder"):
        loaded.predict(pbmc[2::50].copy())


def test_model_files_are_json_and_safetensors(saved: Path) -> None:
    assert {path.name for path in saved.iterdir()} == {"model.json", "model.safetensors"}
    content = json.loads((saved / "model.json").read_text())
    assert content["format"] == 1
    assert set(content["modalities"]["trained_with"]) == {"text"}
    assert content["init_params"]["encoders"]["text"] == {
        "encoder": "minilm", "options": {"max_genes": 10}, "name": "minilm", "embedding_dim": 384,
    }  # fmt: skip


def test_nothing_in_the_files_is_run(saved: Path, tmp_path: Path) -> None:
    witness, folder = tmp_path / "was_run", tmp_path / "model"
    shutil.copytree(saved, folder)
    for name in ("model.safetensors", "model.json"):
        whole = (folder / name).read_bytes()
        torch.save({"attr_dict": Malicious(witness)}, folder / name)
        with pytest.raises(ValueError, match="The model in .* cannot be read"):
            SCMPT.load(str(folder), adata=False)
        (folder / name).write_bytes(whole)
    torch.save({"attr_dict": Malicious(witness)}, folder / "model.pt")
    SCMPT.load(str(folder), adata=False)  # does not look at it
    (folder / "model.json").unlink()
    with pytest.raises(ValueError, match=r"found one saved before version 0.1 \(model.pt\)"):
        SCMPT.load(str(folder), adata=False)
    assert not witness.exists()
    torch.load(folder / "model.pt", weights_only=False)
    assert witness.exists(), "the file was harmless, and the test proves nothing"


def test_other_format_class_or_head_is_an_error(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    content = json.loads((folder / "model.json").read_text())
    changes: list[tuple[dict[str, Any], str]] = [
        ({"format": 99}, "Expected a model in format 1 in .*; found 99"),
        ({"model": "SCMMGPT"}, "Expected a saved SCMPT in .*; found a SCMMGPT"),
        ({"init_params": {**content["init_params"], "fusion": "Mine"}}, "'Mine' of this model is not registered"),
    ]
    for change, message in changes:
        (folder / "model.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(ValueError, match=message):
            SCMPT.load(str(folder), adata=False)


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Expected a saved model .* found no such folder"):
        SCMPT.load(str(tmp_path / "nothing"), adata=False)


def test_registry_can_be_viewed(trained: SCMPT, capsys: pytest.CaptureFixture[str]) -> None:
    trained.view_anndata_setup()
    assert "labels" in capsys.readouterr().out
