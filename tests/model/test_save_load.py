"""Saving and loading: with data, with a query, with none, and on a machine without the encoder."""

from pathlib import Path

import numpy as np
import pytest
import torch
from anndata import AnnData
from tests._adata import LABELS_KEY
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
        model.predict(pbmc[1:64:3].copy())


def test_encoder_folder_may_be_gone(pbmc: AnnData, tmp_path: Path) -> None:
    from tests._scgpt_folder import make_scgpt_folder

    folder = make_scgpt_folder(tmp_path / "tiny", pbmc.var_names)
    cells, query = pbmc[::10].copy(), pbmc[1::50].copy()
    SCMPT.setup_anndata(cells, LABELS_KEY)
    model = SCMPT(cells, encoders={"expression": folder}, n_hidden=8)
    model.train(max_epochs=1, enable_progress_bar=False)
    model.embed(query, progress=False)
    model.save(str(tmp_path / "model"))
    folder.rename(tmp_path / "elsewhere")
    loaded = SCMPT.load(str(tmp_path / "model"), adata=False)
    assert np.array_equal(probabilities(loaded, query), probabilities(model, query))
    with pytest.raises(FileNotFoundError, match="Expected the folder of an encoder at .*tiny; there is none"):
        loaded.predict(pbmc[2::50].copy())


def test_model_file_holds_no_classes_of_ours(saved: Path) -> None:
    content = torch.load(saved / "model.pt", weights_only=False)
    assert "scmpt_scverse" not in (saved / "model.pt").read_bytes().decode("latin-1")
    assert set(content["attr_dict"]["encoder_ids_"]) == {"text"}
    assert content["attr_dict"]["init_params_"]["non_kwargs"]["encoders"]["text"] == {
        "encoder": "minilm", "options": {"max_genes": 10}, "name": "minilm", "embedding_dim": 384,
    }  # fmt: skip


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises((ValueError, FileNotFoundError)):
        SCMPT.load(str(tmp_path / "nothing"), adata=False)


def test_registry_can_be_viewed(trained: SCMPT, capsys: pytest.CaptureFixture[str]) -> None:
    trained.view_anndata_setup()
    assert "labels" in capsys.readouterr().out
