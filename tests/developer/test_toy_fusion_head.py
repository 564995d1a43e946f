"""The example of `docs/developer/fusion_heads.md`, alone and in a model that is saved and loaded."""

from pathlib import Path

import numpy as np
import pytest
import torch
from anndata import AnnData
from docs.developer.examples.toy_fusion_head import MeanFusion
from tests._adata import LABELS_KEY
from tests._model import probabilities

from scmpt_scverse import SCMPT
from scmpt_scverse.module import HeadOptions

DIMS = {"text": 6, "expression": 4}


def test_missing_modalities() -> None:
    torch.manual_seed(0)
    head = MeanFusion(DIMS, 3, HeadOptions(n_hidden=16))
    inputs = {name: torch.randn(5, dim) for name, dim in DIMS.items()}
    logits = [head(inputs), *(head({name: values}) for name, values in inputs.items())]
    assert all(values.shape == (5, 3) and values.isfinite().all() for values in logits)
    assert not torch.allclose(logits[0], logits[1])
    assert head.fuse(inputs).shape == (5, head.fused_dim)


def test_in_a_model(pbmc: AnnData, tmp_path: Path) -> None:
    cells, query = pbmc[::2].copy(), pbmc[1::2].copy()
    SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"expression": "X_pca"})
    model = SCMPT(cells, fusion=MeanFusion, n_hidden=32, fusion_options={"bias": False})
    model.train(max_epochs=40, plan_kwargs={"lr": 1e-2}, enable_progress_bar=False)
    assert (model.predict(query) == query.obs[LABELS_KEY].astype(str)).mean() > 0.6
    model.save(str(tmp_path / "model"))
    with pytest.raises(ValueError, match="'MeanFusion' of this model is not registered; .* `fusion=`"):
        SCMPT.load(str(tmp_path / "model"), adata=False)
    loaded = SCMPT.load(str(tmp_path / "model"), adata=False, fusion=MeanFusion)
    assert np.array_equal(probabilities(loaded, query), probabilities(model, query))
