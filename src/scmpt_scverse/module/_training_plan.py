"""Training with Adam, shared by all modules: in steps without validation, or in epochs with the best weights kept."""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import lightning.pytorch as pl
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from scmpt_scverse._loading_bar import no_lightning_notices
from scmpt_scverse.module._training_run import KeepState, Losses, RandomState, StepLoader, TrainingRun, interruptible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning.pytorch.utilities.types import OptimizerLRScheduler
    from torch import Tensor
    from torch.utils.data import IterableDataset

    from scmpt_scverse._types import FloatArray

_MAX_GRADIENT_NORM = 1.0


class Trainable(Protocol):
    """A torch module that computes its loss."""

    def training_loss(self, batch: Any) -> "Tensor":
        """The loss of one minibatch, which is minimised."""
        ...

    def validation_metrics(self, batch: Any) -> "Mapping[str, Tensor]":
        """Metrics to log for one minibatch of held-out cells, by name."""
        ...

    def n_cells(self, batch: Any) -> int:
        """Size of a minibatch: its weight in the mean over an epoch."""
        ...


class TrainingPlan(pl.LightningModule):
    """Minimises the loss of a module with Adam.

    Parameters
    ----------
    module
        The torch module to train.
    lr
        Learning rate; with a schedule, the highest one.
    weight_decay
        L2 penalty of Adam.
    n_steps
        Total number of steps, over which the learning rate falls to zero along a cosine; `None` keeps it constant.
    n_warmup
        Number of these steps in which it first rises.
    """

    def __init__(
        self,
        module: Trainable,
        *,
        lr: float = 1e-4,
        weight_decay: float = 0.0,
        n_steps: int | None = None,
        n_warmup: int = 0,
    ) -> None:
        super().__init__()
        self.module = module
        self.lr = lr
        self.weight_decay = weight_decay
        self.n_steps = n_steps
        self.n_warmup = n_warmup

    @property
    def _frozen(self) -> set[str]:
        return {name for name, each in self.named_parameters(remove_duplicate=False) if not each.requires_grad}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out frozen weights: a language model of gigabytes may be part of the loss."""
        frozen = self._frozen
        checkpoint["state_dict"] = {
            name: values for name, values in checkpoint["state_dict"].items() if name not in frozen
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the current values of frozen weights."""
        now = self.state_dict()
        checkpoint["state_dict"] |= {name: now[name] for name in self._frozen}

    def training_step(self, batch: Any, batch_idx: int) -> "Tensor":
        """The loss of one minibatch; its mean over the epoch is logged as `train_loss`."""
        loss = self.module.training_loss(batch)
        n_cells = self.module.n_cells(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=n_cells)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log the metrics of one minibatch of held-out cells."""
        metrics = self.module.validation_metrics(batch)
        self.log_dict(metrics, on_epoch=True, prog_bar=True, batch_size=self.module.n_cells(batch), sync_dist=True)

    def configure_optimizers(self) -> "OptimizerLRScheduler":
        """Adam, with the learning-rate schedule if there is one."""
        # In mixed precision, Lightning cannot clip the gradients of a fused optimizer.
        fused = not self.trainer.gradient_clip_val
        learned = [each for each in self.parameters() if each.requires_grad]
        optimizer = torch.optim.Adam(learned, lr=self.lr, weight_decay=self.weight_decay, fused=fused)
        if self.n_steps is None:
            return optimizer
        factor = partial(learning_rate_factor, n_warmup=self.n_warmup, n_steps=self.n_steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def learning_rate_factor(step: int, *, n_warmup: int, n_steps: int) -> float:
    """Share of the highest learning rate: linear up to 1, then a half cosine down to 0.

    `transformers.get_cosine_schedule_with_warmup` has the same cosine, but starts the warm-up at 0: its first step
    changes nothing.
    """
    if step < n_warmup:
        return (step + 1) / n_warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - n_warmup) / max(1, n_steps - n_warmup))))


@no_lightning_notices()
def fit_steps(
    module: Trainable,
    steps: "IterableDataset[Any]",
    *,
    lr: float,
    n_steps: int,
    warmup: float,
    run: TrainingRun,
) -> "FloatArray":
    """Train a module for a number of steps, without validation.

    Parameters
    ----------
    module
        The module to train, in place.
    steps
        Endless minibatches, the same ones each time.
    lr
        Highest learning rate.
    n_steps
        Training steps.
    warmup
        Share of the steps in which the learning rate rises.
    run
        Where training runs. Training resumes from a state in its folder, with the same result as without interruption.

    Returns
    -------
    Loss of each step, float32, shape `(n_steps,)`.

    Raises
    ------
    ValueError
        The state cannot be read.
    """
    losses, loader, state = Losses(), StepLoader(steps), run.state
    keep = [] if state is None else [KeepState(state)]
    trainer = pl.Trainer(
        accelerator=run.accelerator,
        devices=run.devices,
        precision=run.precision,
        max_epochs=-1,
        max_steps=n_steps,
        gradient_clip_val=_MAX_GRADIENT_NORM,
        callbacks=[losses, RandomState(), *keep],
        num_sanity_val_steps=0,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=run.progress,
        enable_model_summary=False,
    )
    plan = TrainingPlan(module, lr=lr, n_steps=n_steps, n_warmup=max(1, round(warmup * n_steps)))
    before = state if state is not None and state.is_file() else None
    if before is not None:
        loader.begin_at(step_of_state(before))
    with interruptible():
        trainer.fit(plan, loader, val_dataloaders=[], ckpt_path=before)
    return np.array([float(loss) for loss in losses.of_steps], dtype=np.float32)


def step_of_state(state: Path) -> int:
    """The training step at which a state was written; `ValueError` if the file is not a training state.

    No code in the file is run. Call this before Lightning opens it: older versions would run code in it.
    """
    try:
        return int(torch.load(state, map_location="cpu", weights_only=True)["global_step"])
    except Exception as error:  # torch and pickle raise many kinds of errors for damaged files
        raise ValueError(
            f"Expected the state of a training in {state}; it cannot be read ({type(error).__name__}). Remove "
            f"{state.parent} to restart."
        ) from error


class HeadTrainingPlan(TrainingPlan):
    """Minimises the cross-entropy of a classifier.

    Parameters
    ----------
    module
        Module from inputs `{modality: (batch, dim)}` to logits `(batch, n_labels)`.
    lr
        Learning rate; the paper's grid runs from 1e-5 to 1e-3.
    weight_decay
        L2 penalty of Adam.
    label_weights
        Weight of a cell of each label in the training loss, shape `(n_labels,)`; `None` weights all cells equally.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        lr: float = 1e-4,
        weight_decay: float = 0.0,
        label_weights: "Tensor | None" = None,
    ) -> None:
        super().__init__(CrossEntropy(module, label_weights), lr=lr, weight_decay=weight_decay)


class CrossEntropy(nn.Module):
    """A classifier and its loss over minibatches `{"inputs": {modality: (batch, dim)}, "labels": (batch,)}`.

    Parameters
    ----------
    module, label_weights
        See :class:`HeadTrainingPlan`.
    """

    label_weights: "Tensor | None"

    def __init__(self, module: nn.Module, label_weights: "Tensor | None" = None) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("label_weights", label_weights, persistent=False)  # so that it follows the device

    def training_loss(self, batch: dict[str, Any]) -> "Tensor":
        """Weighted cross-entropy."""
        return functional.cross_entropy(self.module(batch["inputs"]), batch["labels"], weight=self.label_weights)

    def validation_metrics(self, batch: dict[str, Any]) -> "dict[str, Tensor]":
        """Unweighted cross-entropy, and accuracy."""
        logits, labels = self.module(batch["inputs"]), batch["labels"]
        return {
            "validation_loss": functional.cross_entropy(logits, labels),
            "validation_accuracy": (logits.argmax(dim=-1) == labels).float().mean(),
        }

    def n_cells(self, batch: dict[str, Any]) -> int:
        """See :class:`Trainable`."""
        return len(batch["labels"])


class KeepBestWeights(pl.Callback):
    """Keeps the weights of the epoch with the lowest validation loss and restores them when training ends."""

    def __init__(self, monitor: str = "validation_loss") -> None:
        self.monitor = monitor
        self._best = float("inf")
        self._weights: dict[str, Tensor] | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the weights if this epoch is the best so far."""
        loss = float(trainer.callback_metrics[self.monitor])
        if loss < self._best:
            self._best = loss
            now = pl_module.state_dict()
            if self._weights is None:
                self._weights = {name: value.clone() for name, value in now.items()}
            else:  # into the same memory: new pages every epoch cost more than the copy
                for name, value in now.items():
                    self._weights[name].copy_(value)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the best weights, if anything was validated."""
        if self._weights is not None:
            pl_module.load_state_dict(self._weights)
