"""The page on other omics: its examples run. Proteins and chromatin are synthetic here, made from labels and noise."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from tests._adata import LABELS_KEY

PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "multimodal.md"
#: Types that the synthetic proteins tell apart; in all others they are noise.
TOLD = ("CD19+ B", "CD14+ Monocyte", "CD56+ NK")


def synthetic_mudata(cells: AnnData, seed: int) -> MuData:
    """Real RNA, beside a synthetic measurement: a marker for each of some types, seven proteins of noise, peaks."""
    rng = np.random.default_rng(seed)
    labels = cells.obs[LABELS_KEY].astype(str).to_numpy()
    rna = AnnData(sparse.csr_matrix(cells.X), cells.obs[[]].copy(), cells.var[[]].copy())
    rna.obs["cell_type"] = labels
    proteins = rng.normal(size=(len(labels), 10)).astype(np.float32)
    for column, name in enumerate(TOLD):
        proteins[:, column] += 6 * (labels == name)
    parts = {"rna": rna, "prot": AnnData(proteins, rna.obs[[]].copy())}
    peaks = AnnData(rng.poisson(0.3, size=(len(labels), 30)).astype(np.float32), rna.obs[[]].copy())
    peaks.obsm["X_lsi"] = np.hstack([proteins[:, :3], rng.normal(size=(len(labels), 4))])
    expected = np.expm1(sparse.csr_matrix(cells.X).toarray()[:, :300]) + 0.05
    activity = AnnData(sparse.csr_matrix(rng.poisson(2 * expected).astype(np.float32)), rna.obs[[]].copy())
    parts |= {"atac": peaks, "activity": activity}
    for name, part in parts.items():
        if name != "rna":
            part.var_names = [f"{name}{number}" for number in range(part.n_vars)]
    activity.var_names = [f"activity:{gene}" for gene in cells.var_names[:300]]
    mdata = MuData(parts)
    mdata.obs = mdata.obs[[]]
    return mdata


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of mudata, about columns that it copies
def test_the_examples_run_and_say_which_modality_decided(pbmc: AnnData) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    query = synthetic_mudata(pbmc[1::6], seed=1)
    found: dict[str, Any] = {"mdata": synthetic_mudata(pbmc[::6], seed=0), "query": query}
    for block in blocks[:3]:
        exec(block, found)
    scores = found["alone"].set_index(["predictor", "metric"])["mean"].xs("macro_f1", level="metric")
    assert {"scmpt", "scmpt (protein alone)", "scmpt (expression alone)", "majority"} <= set(scores.index)
    assert scores["scmpt"] > scores["scmpt (protein alone)"]
    assert isinstance(found["gain"], pd.DataFrame)
    truth = query["rna"].obs["cell_type"].to_numpy()
    protein = found["contributions"]["protein"].to_numpy()
    assert protein[np.isin(truth, TOLD)].mean() > protein[~np.isin(truth, TOLD)].mean() + 0.2
    is_told = query.obs["scmpt_prediction"].isin(TOLD).to_numpy()
    assert (found["decided"][is_told] == "protein").mean() > (found["decided"][~is_told] == "protein").mean()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of mudata, about columns that it copies
def test_the_examples_of_chromatin_run(pbmc: AnnData) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[3:]
    found: dict[str, Any] = {
        "mdata": synthetic_mudata(pbmc[::6], seed=0),
        "query": synthetic_mudata(pbmc[1::12], seed=1),
    }
    exec("from scmpt_scverse import SCMPT", found)
    for block in blocks:
        exec(block, found)
    assert list(found["contributions"]) == ["expression", "counts", "activity"]
    is_active = found["table"].index.str.startswith("activity:")
    assert 0 < is_active.sum() < len(is_active)
    assert found["of_activity"]["names"].str.startswith("activity:").all()
    assert not found["of_rna"]["names"].str.startswith("activity:").any()
