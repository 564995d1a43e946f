"""A grid of settings, and advice from a subsample."""

from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from tests._adata import LABELS_KEY
from tests._model import probabilities

from scmpt_scverse import SCMPT


@pytest.fixture
def model(embedded: AnnData) -> SCMPT:
    SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"expression": "X_pca"})
    return SCMPT(embedded, encoders={"text": {"encoder": "minilm", "max_genes": 10}}, fusion="concat", n_hidden=16)


def test_the_model_becomes_the_best(model: SCMPT, embedded: AnnData, tmp_path: Any) -> None:
    table = model.tune({"lr": [1e-5, 1e-2], "n_hidden": [8, 24]}, max_epochs=6, train_size=0.7)
    assert len(table) == 4
    assert table["validation_loss"].is_monotonic_increasing
    best = table.iloc[0]
    assert best["lr"] == 1e-2  # at 1e-5 six epochs change nothing
    assert model.get_latent_representation().shape == (embedded.n_obs, best["n_hidden"])
    assert float(model.history["validation_loss"].min().iloc[0]) == pytest.approx(best["validation_loss"])
    model.save(str(tmp_path / "tuned"))
    loaded = SCMPT.load(str(tmp_path / "tuned"), adata=embedded)
    np.testing.assert_allclose(probabilities(loaded), probabilities(model), atol=1e-6)


def test_same_as_made_that_way(model: SCMPT, embedded: AnnData) -> None:
    model.tune({"dropout_rate": [0.0]}, max_epochs=3)
    same = SCMPT(embedded, encoders={"text": {"encoder": "minilm", "max_genes": 10}}, fusion="concat", n_hidden=16)
    same.train(max_epochs=3, enable_progress_bar=False)
    np.testing.assert_allclose(probabilities(model), probabilities(same), atol=1e-6)


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ({"learning_rate": [1]}, {}, "Unknown `grid='learning_rate'`"),
        ({"lr": 1e-3}, {}, "`grid` must give a list of values for 'lr'; found 0.001"),
        ({}, {}, "Expected settings to try; found none"),
        (None, {"train_size": 1.0}, "Expected validation cells to compare on"),
    ],
)
def test_refusals(model: SCMPT, grid: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.tune(grid, **options)


def test_a_stacked_head_has_nothing_to_tune(embedded: AnnData) -> None:
    SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"expression": "X_pca"})
    with pytest.raises(ValueError, match="finds its settings itself"):
        SCMPT(embedded, fusion="stacked").tune()


def test_advice(pbmc: AnnData) -> None:
    """A modality of noise is seen to be one, and does not spoil the fused head."""
    pbmc.obsm["X_noise"] = np.random.default_rng(0).normal(size=(pbmc.n_obs, 5)).astype(np.float32)
    SCMPT.setup_anndata(pbmc, LABELS_KEY, obsm_keys={"expression": "X_pca", "noise": "X_noise"})
    before = set(pbmc.obs), set(pbmc.obsm)
    advice = SCMPT(pbmc).advise(max_cells=300, n_splits=3)
    assert (set(pbmc.obs), set(pbmc.obsm)) == before
    assert advice.index[-1] == "noise alone"
    assert advice.loc["noise alone", "difference_upper"] < 0
    assert abs(advice.loc["expression alone", "difference"]) < 0.05
    assert (advice["lower"] <= advice["macro_f1"]).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's and those of what it imports
def test_by_the_tuner_of_scvi_tools(embedded: AnnData, tmp_path: Any) -> None:
    for package in ("ray.tune", "hyperopt", "muon", "scib_metrics"):
        pytest.importorskip(package, reason="needs scvi-tools[autotune]", exc_type=ImportError)
    from ray import tune
    from scvi import autotune

    SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"expression": "X_pca"})
    rates = [1e-5, 1e-2]
    experiment = autotune.run_autotune(
        SCMPT,
        embedded,
        metrics=["validation_loss"],
        mode="min",
        search_space={
            "model_params": {"n_hidden": 16},
            "train_params": {"max_epochs": 6, "plan_kwargs": {"lr": tune.grid_search(rates)}},
        },
        num_samples=1,
        resources={"cpu": 1},
        searcher="random",
        scheduler="fifo",
        logging_dir=str(tmp_path),
    )
    trials = experiment.result_grid
    assert sorted(trial.config["train_params"]["plan_kwargs"]["lr"] for trial in trials) == rates
    best = trials.get_best_result("validation_loss", "min")
    assert best.config["train_params"]["plan_kwargs"]["lr"] == 1e-2
