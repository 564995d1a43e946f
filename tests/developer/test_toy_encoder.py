"""The example of `docs/developer/encoders.md` works as it stands; the contract suite runs over it, too."""

from typing import Any

import numpy as np
from anndata import AnnData
from docs.developer.examples import toy_encoder

from scmpt_scverse import tl

TOY: Any = toy_encoder.ToyEncoder


def test_it_embeds_by_class_and_by_instance(pbmc: AnnData) -> None:
    tl.embed(pbmc, TOY, progress=False)
    tl.embed(pbmc, toy_encoder.ToyEncoder(seed=1), key_added="X_other", progress=False)

    assert pbmc.obsm["X_toy"].shape == (700, 64)
    assert np.isfinite(pbmc.obsm["X_toy"]).all()
    assert not np.allclose(pbmc.obsm["X_toy"], pbmc.obsm["X_other"])
    records = pbmc.uns["scmpt"]["embeddings"]
    assert records["X_toy"]["encoder"] == "toy"
    assert records["X_toy"]["fingerprint"] != records["X_other"]["fingerprint"]


def test_cells_of_a_label_are_close(pbmc: AnnData) -> None:
    tl.embed(pbmc, TOY, progress=False)
    embedding = pbmc.obsm["X_toy"] - pbmc.obsm["X_toy"].mean(axis=0)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    similarity = embedding @ embedding.T
    same = pbmc.obs["bulk_labels"].to_numpy()[:, None] == pbmc.obs["bulk_labels"].to_numpy()
    assert similarity[same].mean() > similarity[~same].mean() + 0.1
