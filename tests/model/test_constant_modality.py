"""A modality in which nothing varies, as where one is taken away, says nothing, and spoils nothing."""

from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from tests._adata import LABELS_KEY

from scmpt_scverse import SCMPT, ablation
from scmpt_scverse.module import FUSIONS

_QUICK: dict[str, dict[str, Any]] = {
    name: {} if name == "stacked" else {"max_epochs": 40, "plan_kwargs": {"lr": 1e-2}} for name in FUSIONS.names()
}


def constant(n_obs: int, value: float, dim: int = 6) -> np.ndarray:
    """Columns of very different size, each the same in all cells."""
    return np.tile(np.float32(value) * np.logspace(-3, 4, dim, dtype=np.float32), (n_obs, 1))


def trained(cells: AnnData, keys: dict[str, str], fusion: str) -> SCMPT:
    SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys=keys)
    model = SCMPT(cells, fusion=fusion, n_hidden=32)
    model.train(enable_progress_bar=False, **_QUICK[fusion])
    return model


@pytest.mark.parametrize("value", [0.0, 0.1, 3.0])
@pytest.mark.parametrize("fusion", FUSIONS.names())
def test_it_spoils_nothing(pbmc: AnnData, fusion: str, value: float) -> None:
    reference, query = pbmc[::2].copy(), pbmc[1::2].copy()
    reference.obsm["X_same"] = constant(reference.n_obs, value)
    query.obsm["X_same"] = constant(query.n_obs, value + 1)  # nothing in the reference says what that would mean
    model = trained(reference, {"expression": "X_pca", "same": "X_same"}, fusion)
    model.annotate(query)
    assert (query.obs["scmpt_prediction"].astype(str) == query.obs[LABELS_KEY].astype(str)).mean() > 0.6
    for values in (
        *(query.obs[f"scmpt_{name}"] for name in ("confidence", "novelty")),
        *(query.obsm[f"scmpt_{name}"] for name in ("probabilities", "contributions")),
    ):
        assert np.isfinite(np.asarray(values)).all()
    if fusion == "stacked":
        alone = trained(reference, {"expression": "X_pca"}, fusion).predict(query)
        assert (query.obs["scmpt_prediction"].to_numpy() == alone).mean() > 0.99


@pytest.mark.parametrize("dim", [4, 800])
def test_alone_it_gives_the_shares_of_the_labels(pbmc: AnnData, dim: int) -> None:
    pbmc.obsm["X_same"] = constant(pbmc.n_obs, 0.1, dim)
    soft = trained(pbmc, {"same": "X_same"}, "stacked").predict(soft=True)
    shares = pbmc.obs[LABELS_KEY].value_counts(normalize=True)
    assert np.abs(soft.mean() - shares[soft.columns]).max() < 0.02
    assert soft.std().max() < 1e-6


def test_a_stacked_model_without_a_modality_is_one_of_the_others(pbmc: AnnData) -> None:
    pbmc.obsm["X_noise"] = np.random.default_rng(0).normal(size=(pbmc.n_obs, 5)).astype(np.float32)
    scores = {}
    for keys, changes in (
        ({"expression": "X_pca", "noise": "X_noise"}, [ablation.WithoutModality("noise")]),
        ({"expression": "X_pca"}, []),
    ):
        model = trained(pbmc, keys, "stacked")
        table = ablation.run(model, pbmc, changes, n_replicates=2, progress=False)
        of_f1 = table[table["metric"] == "macro_f1"]
        scores[len(keys)] = of_f1.loc[of_f1["ablation"] == ("without noise" if changes else "intact"), "value"]
    assert np.allclose(scores[2].to_numpy(), scores[1].to_numpy(), atol=0.02)
    assert scores[1].min() > 0.4
