"""The files of a small text model, of random weights: what the encoder of its profiles reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from scmpt_scverse._saved_files import write_model
from scmpt_scverse.module import Scale, TextAlignment
from scmpt_scverse.module._profile_tower import ProfileTower


def write_text_model(folder: Path, genes: Sequence[str], n_types: int = 6, seed: int = 0) -> Path:
    """Write a model of some genes and types, and return its folder."""
    alignment = text_alignment(len(genes), n_types, seed)
    names = [f"type {number}" for number in range(n_types)]
    types = {"names": names, "terms": [None] * n_types, "tissues": [[]] * n_types}
    folder.mkdir(parents=True)
    write_model(folder, "", {"model": "SCMMGPT", "genes": list(genes), "types": types}, alignment.arrays())
    return folder


def text_alignment(n_genes: int, n_types: int, seed: int = 0) -> TextAlignment:
    """Random texts, markers and tower; the last type has no markers."""
    rng = np.random.default_rng(seed)
    tower = ProfileTower(12, torch.from_numpy(rng.normal(size=(n_genes, 8)).astype(np.float32)), 16)
    with torch.no_grad():
        for weights in tower.parameters():
            weights.copy_(torch.from_numpy(rng.normal(size=weights.shape)))
    axes, texts, markers = (rng.normal(size=shape) for shape in ((n_genes, 5), (n_types, 12), (n_types, 5)))
    markers[-1] = 0
    return TextAlignment(np.zeros(12), tower, axes, texts, markers, Scale(tower=0.1, markers=0.2))
