"""What analysts expect of a scvi-tools model and of a classifier, asked of the text model."""

import copy
import inspect
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from tests._adata import snapshot
from tests._zero_shot import LABELS, OPTIONS, SEEN, WordEncoder, markers, two_studies

from scmpt_scverse import SCMMGPT, SCMPT


def trained(seed: int | None = None, cells: AnnData | None = None) -> SCMMGPT:
    cells = two_studies() if cells is None else cells
    SCMMGPT.setup_anndata(cells, "cell_type", batch_key="study")
    model = SCMMGPT(cells, text_encoder=WordEncoder())
    model.train(markers=[markers()], options=OPTIONS, seed=seed, accelerator="cpu", progress=False)
    return model


def soft(model: SCMMGPT, query: AnnData) -> pd.DataFrame:
    return model.predict(query, labels=LABELS, soft=True)


def test_names_and_attributes_of_a_scvi_model(text_model: SCMMGPT, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(text_model, scvi.model.base.BaseModelClass)
    assert text_model.is_trained
    assert text_model.init_params_["non_kwargs"]["text_encoder"] == "words"
    assert text_model.adata is not None
    assert text_model.summary_stats.n_cells == text_model.adata.n_obs
    assert set(text_model.registry["setup_args"]) >= {"labels_key", "batch_key", "layer", "gene_symbols"}
    assert text_model.get_setup_arg("labels_key") == "cell_type"
    losses = text_model.history["train_loss"]
    assert list(losses.columns) == ["train_loss"]
    assert len(losses) == OPTIONS.n_steps
    assert losses["train_loss"].iloc[-10:].mean() < losses["train_loss"].iloc[:10].mean()
    text_model.view_anndata_setup()
    assert "labels" in capsys.readouterr().out
    repr(text_model)  # scvi-tools prints it
    assert "SCMMGPT reading texts by" in capsys.readouterr().out
    with pytest.raises(NotImplementedError, match="setup_anndata"):
        SCMMGPT.setup_annbatch()


def test_methods_have_the_arguments_of_the_other_model() -> None:
    for name in ("predict", "predict_sets", "evaluate", "get_latent_representation", "explain_cell", "save", "load"):
        own, other = (list(inspect.signature(getattr(each, name)).parameters) for each in (SCMMGPT, SCMPT))
        assert own[:2] == other[:2], name
        assert {"layer", "gene_symbols"} <= set(own) or name in {"save", "load"}, name


def test_training_follows_the_seed_and_says_nothing(
    text_query: AnnData, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    state = torch.get_rng_state()
    capfd.readouterr()
    with caplog.at_level("INFO"):
        one, same, other = trained(seed=1), trained(seed=1), trained(seed=2)
    assert torch.equal(state, torch.get_rng_state())
    printed = capfd.readouterr()
    for word in ("GPU", "TPU", "Trainer", "litlogger"):
        assert word not in printed.out + printed.err + caplog.text
    pd.testing.assert_frame_equal(soft(one, text_query), soft(same, text_query))
    assert np.abs(soft(one, text_query) - soft(other, text_query)).to_numpy().max() > 1e-3


def test_data_are_not_touched(text_query: AnnData) -> None:
    cells = two_studies()
    SCMMGPT.setup_anndata(cells, "cell_type", batch_key="study")
    before, of_query = snapshot(cells), snapshot(text_query)
    model = SCMMGPT(cells, text_encoder=WordEncoder())
    model.train(markers=[markers()], options=OPTIONS, accelerator="cpu", progress=False)
    assert snapshot(cells) == before
    model.predict(text_query, labels=LABELS)
    model.predict_sets(text_query, labels=LABELS)
    model.evaluate(text_query, "cell_type")
    model.get_latent_representation(text_query)
    assert snapshot(text_query) == of_query


def test_the_same_numbers_twice_and_after_copies(text_model: SCMMGPT, text_query: AnnData) -> None:
    expected = soft(text_model, text_query)
    pd.testing.assert_frame_equal(soft(text_model, text_query.copy()), expected)
    pd.testing.assert_frame_equal(soft(copy.deepcopy(text_model), text_query), expected)
    pd.testing.assert_frame_equal(soft(pickle.loads(pickle.dumps(text_model)), text_query), expected)
    text_model.to_device("cpu")
    assert str(text_model.device) == "cpu"
    pd.testing.assert_frame_equal(soft(text_model, text_query), expected)


def test_an_untrained_model_says_so(text_model: SCMMGPT, text_query: AnnData) -> None:
    cells = two_studies()
    SCMMGPT.setup_anndata(cells, "cell_type", batch_key="study")
    model = SCMMGPT(cells, text_encoder=WordEncoder())
    assert not model.is_trained
    for call in (
        lambda: model.predict(text_query, labels=LABELS),
        lambda: model.predict_sets(text_query, labels=LABELS),
        lambda: model.annotate(text_query, LABELS),
        lambda: model.evaluate(text_query, "cell_type"),
        lambda: model.search(text_query, "B cell"),
        lambda: model.get_latent_representation(text_query),
        lambda: model.explain_cell(text_query, text_query.obs_names[0], labels=LABELS),
        lambda: model.rank_attributions(text_query, groupby="cell_type", labels=LABELS),
        lambda: model.to_device("cpu"),
        lambda: model.save("nowhere"),
    ):
        with pytest.raises(RuntimeError, match="The model is not trained"):
            call()


def test_save_and_load_with_and_without_data(text_model: SCMMGPT, text_query: AnnData, tmp_path: Path) -> None:
    expected = soft(text_model, text_query)
    text_model.save(str(tmp_path / "bare"))
    text_model.save(str(tmp_path / "whole"), prefix="my_", save_anndata=True)
    bare = SCMMGPT.load(str(tmp_path / "bare"), text_encoder=WordEncoder())
    assert bare.adata is None
    assert bare.history["train_loss"].equals(text_model.history["train_loss"])
    assert bare.registry["setup_args"] == text_model.registry["setup_args"]
    assert repr(bare) == repr(text_model)
    whole = SCMMGPT.load(str(tmp_path / "whole"), prefix="my_", text_encoder=WordEncoder())
    assert whole.adata is not None
    assert whole.adata.n_obs == text_model.adata.n_obs
    np.testing.assert_array_equal(whole.predict(labels=SEEN), text_model.predict(labels=SEEN))
    attached = SCMMGPT.load(str(tmp_path / "bare"), adata=text_query, text_encoder=WordEncoder())
    attached.view_anndata_setup()
    for model in (bare, whole, attached):
        pd.testing.assert_frame_equal(soft(model, text_query), expected)
    with pytest.raises(ValueError, match="this model holds none"):
        bare.predict(labels=LABELS)


def test_one_cell_alone_has_no_mean_to_compare_with(text_model: SCMMGPT, text_query: AnnData) -> None:
    """Cells are read relative to their query; so one alone is refused, and a few are warned of."""
    with pytest.raises(ValueError, match="Expected genes whose expression differs"):
        text_model.predict(text_query[:1].copy(), labels=LABELS)
    whole = text_model.predict(text_query, labels=LABELS, soft=True, refine="none")
    with pytest.warns(UserWarning, match="has 32 cells only"):
        part = text_model.predict(text_query[::5].copy(), labels=LABELS, soft=True, refine="none")
    right = whole.loc[part.index].idxmax(axis=1) == part.idxmax(axis=1)
    assert right.mean() > 0.8
