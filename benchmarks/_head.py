"""One epoch of the head, beside the same network in float32 through scvi-tools' loader."""

import numpy as np
import torch
from anndata import AnnData
from benchmarks._measure import Line, best_seconds, pbmc
from scvi.data import AnnDataManager
from scvi.data.fields import CategoricalObsField, ObsmField
from scvi.dataloaders import AnnDataLoader
from torch import nn

from scmpt_scverse import SCMPT
from scmpt_scverse._hardware import has_fast_bfloat16, resolve_device
from scmpt_scverse._types import IntArray

DIM, HIDDEN, BATCH, RATE = 1536, 4096, 256, 1e-4


def measure_head(n_cells: int) -> list[Line]:
    """Seconds of an epoch with its validation, and the accuracy on the cells that were set aside."""
    cells = projected(n_cells)
    SCMPT.setup_anndata(cells, "label", obsm_keys={"expression": "X_cells"})
    model = SCMPT(cells, fusion="concat", n_hidden=HIDDEN)
    options = {"max_epochs": 1, "batch_size": BATCH, "plan_kwargs": {"lr": RATE}, "enable_progress_bar": False}
    ours = best_seconds(lambda: model.train(**options), repeats=1)
    held_out = np.asarray(model.validation_indices)
    truth = cells.obs["label"].to_numpy()[held_out]
    accuracy = float(np.mean(model.predict(indices=held_out) == truth))
    trained: list[nn.Module] = []
    device = resolve_device("auto")
    peer = best_seconds(lambda: trained.append(train_peer(cells, np.asarray(model.train_indices), device)), repeats=1)
    codes = cells.obs["label"].cat.codes.to_numpy()[held_out]
    with torch.inference_mode():
        logits = trained[0](torch.from_numpy(cells.obsm["X_cells"][held_out]).to(device))
    peer_accuracy = float(np.mean(logits.argmax(1).cpu().numpy() == codes))
    bar = ">= 3" if device.type == "cpu" and has_fast_bfloat16(device) else ""
    difference = accuracy - peer_accuracy
    return [
        Line("head, one epoch", ours, "s", "float32 through AnnDataLoader", peer, peer / ours, bar),
        Line("head, validation accuracy", accuracy, "", "the same", peer_accuracy, difference, ">= -0.01"),
    ]


def projected(n_cells: int) -> AnnData:
    """Real cells, their expression projected to the width of the paper's two embeddings, with noise; labelled."""
    cells = pbmc(n_cells)
    rng = np.random.default_rng(0)
    values = cells.X @ rng.normal(size=(cells.n_vars, DIM)).astype(np.float32)
    values += rng.normal(size=values.shape).astype(np.float32) * values.std()
    cells.obsm["X_cells"] = ((values - values.mean(0)) / values.std(0)).astype(np.float32)
    cells.obs["label"] = cells.obs["label"].astype("category")
    return cells


def train_peer(cells: AnnData, train_indices: "IntArray", device: torch.device) -> nn.Module:
    """The same layers, optimiser and minibatches, as one would write them on scvi-tools."""
    manager = AnnDataManager([ObsmField("x", "X_cells"), CategoricalObsField("y", "label")])
    manager.register_fields(cells)
    torch.manual_seed(0)
    n_labels = len(cells.obs["label"].cat.categories)
    network = nn.Sequential(nn.Linear(DIM, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_labels)).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    for batch in AnnDataLoader(manager, indices=train_indices, batch_size=BATCH, shuffle=True):
        codes = batch["y"].squeeze(1).long().to(device)
        loss = nn.functional.cross_entropy(network(batch["x"].to(device)), codes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network
