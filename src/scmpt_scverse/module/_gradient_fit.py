"""Fit a head in epochs: cross-entropy, early stopping on the validation cells, and the best weights kept."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from scvi.train import Trainer

from scmpt_scverse._hardware import training_precision
from scmpt_scverse._loading_bar import no_lightning_notices
from scmpt_scverse.module._classifier import Fit, HeldOut, in_batches
from scmpt_scverse.module._data_module import EmbeddingDataModule
from scmpt_scverse.module._training_plan import HeadTrainingPlan, KeepBestWeights

if TYPE_CHECKING:
    from torch import nn

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.module._classifier import FitOptions, Rows
    from scmpt_scverse.module._data_module import CellSplit

#: Epochs, and how much the validation loss must fall within them to continue. Once the head fits every cell, the loss
#: would keep falling by less and less.
_EARLY_STOPPING_PATIENCE, _EARLY_STOPPING_MIN_DELTA = 20, 1e-3


@no_lightning_notices()
def fit_by_gradient(
    logits: "nn.Module",
    inputs: "Mapping[str, Rows]",
    codes: "IntArray",
    split: "CellSplit",
    options: "FitOptions",
    n_labels: int,
) -> Fit:
    """Train a module that gives logits; arguments as in :meth:`scmpt_scverse.module.FusionHead.fit`."""
    labels = torch.from_numpy(codes)
    has_validation = len(split.validation) > 0
    weights = options.label_weights(labels[torch.as_tensor(split.train)], n_labels)
    plan = HeadTrainingPlan(logits, label_weights=weights, **options.plan)
    best = [KeepBestWeights()] if has_validation else []
    settings = {
        "max_epochs": options.max_epochs or _default_max_epochs(len(split.train)),
        "check_val_every_n_epoch": 1,
        "log_every_n_steps": 1,
        "early_stopping": options.early_stopping and has_validation,
        "early_stopping_monitor": "validation_loss",
        "early_stopping_patience": _EARLY_STOPPING_PATIENCE,
        "early_stopping_min_delta": _EARLY_STOPPING_MIN_DELTA,
        "precision": training_precision(options.device.type),
        "accelerator": options.device.type,
        "devices": 1,
        "limit_val_batches": 1.0 if has_validation else 0,
        **options.trainer,
        "callbacks": [*(options.trainer.get("callbacks") or []), *best],
    }
    data = EmbeddingDataModule(inputs, labels, split, batch_size=options.batch_size, seed=options.seed)
    logits.train()  # an earlier fit left it in evaluation mode
    with torch.random.fork_rng():  # dropout draws from the global state
        torch.manual_seed(options.seed)
        trainer = Trainer(**settings)
        trainer.fit(plan, data)
    logits.to(options.device).eval()
    held_out = {name: values[split.validation] for name, values in inputs.items()}
    found = in_batches(lambda tensors: (logits(tensors),), held_out, options.device)[0]
    history = getattr(trainer.logger, "history", None) or {}  # another logger keeps its own
    return Fit(
        {name: values.copy() for name, values in history.items()},
        HeldOut(
            torch.from_numpy(found),
            labels[torch.as_tensor(split.validation)],
            np.zeros(len(split.validation), dtype=np.int64),
        ),
    )


def _default_max_epochs(n_obs: int) -> int:
    """The convention of scvi-tools: 400 epochs up to 20,000 cells, then as many updates with fewer epochs."""
    return max(1, min(round(20_000 / n_obs * 400), 400))
