"""How pre-training runs in Lightning: Adam, warm-up and cosine, and a record of losses that survives a restart."""

import math
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from tqdm import tqdm

from scmpt_scverse.encoders.pretraining._batches import HeldoutStream, TrainingStream

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
    from torch import Tensor

    from scmpt_scverse.encoders.pretraining._batches import Batch, BatchMaker
    from scmpt_scverse.encoders.pretraining._objectives import PretrainingModule

#: Where nobody watches, progress goes to a log.
_LOG_INTERVAL_S = 30.0


class PretrainingPlan(pl.LightningModule):
    """Minimises the weighted objectives.

    Parameters
    ----------
    module
        What is trained.
    lr
        Highest learning rate.
    n_steps
        Steps in all.
    warmup
        Share of them in which the learning rate rises.
    """

    def __init__(self, module: "PretrainingModule", *, lr: float, n_steps: int, warmup: float) -> None:
        super().__init__()
        self.module = module
        self.lr = lr
        self.n_steps = n_steps
        self.n_warmup = max(1, round(warmup * n_steps))

    def training_step(self, batch: "Batch", batch_idx: int) -> "Tensor":
        """The loss of one batch."""
        return self.module.total(self.module(batch))

    def validation_step(self, batch: "Batch", batch_idx: int) -> None:
        """Log the losses of one batch of held-out cells."""
        losses = self.module(batch)
        named = {"heldout_loss": self.module.total(losses)} | {f"heldout_{name}": x for name, x in losses.items()}
        self.log_dict(named, batch_size=len(batch.bins), sync_dist=True)

    def configure_optimizers(self) -> "OptimizerLRSchedulerConfig":
        """Adam; its learning rate rises, then falls along a cosine."""
        optimizer = torch.optim.Adam(self.module.parameters(), lr=self.lr)
        factor = partial(learning_rate_factor, n_warmup=self.n_warmup, n_steps=self.n_steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def learning_rate_factor(step: int, *, n_warmup: int, n_steps: int) -> float:
    """Share of the highest learning rate: linear up to 1, then a half cosine down to 0."""
    if step < n_warmup:
        return (step + 1) / n_warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - n_warmup) / max(1, n_steps - n_warmup))))


class PretrainingData(pl.LightningDataModule):
    """Feeds batches to Lightning; training batches go on where the trainer's steps stand."""

    def __init__(self, batches: "BatchMaker") -> None:
        super().__init__()
        self._batches = batches

    def train_dataloader(self) -> TrainingStream:
        """Endless training batches, of which every process takes its share."""
        trainer = self._trainer()
        return TrainingStream(
            self._batches, lambda: trainer.global_step, rank=trainer.global_rank, world_size=trainer.world_size
        )

    def val_dataloader(self) -> HeldoutStream:
        """All held-out batches, the same in every process."""
        return HeldoutStream(self._batches)

    def _trainer(self) -> pl.Trainer:
        if self.trainer is None:
            raise RuntimeError("Expected a trainer: this data module feeds `trainer.fit`.")
        return self.trainer


class LossHistory(pl.Callback):
    """Shows progress, and keeps the losses of every round; a resumed run goes on with what it had.

    Parameters
    ----------
    n_steps
        Steps in all.
    steps_per_epoch
        Of this process.
    progress
        Show a bar with loss and held-out loss.
    """

    def __init__(self, *, n_steps: int, steps_per_epoch: int, progress: bool) -> None:
        self.rounds: list[dict[str, float]] = []
        self._losses: list[Tensor] = []
        self._n_steps = n_steps
        self._steps_per_epoch = steps_per_epoch
        self._progress = progress
        self._bar: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar where training stands."""
        hide = not self._progress or trainer.global_rank > 0
        seconds = 0.1 if sys.stderr.isatty() else _LOG_INTERVAL_S
        self._bar = tqdm(
            total=self._n_steps,
            initial=trainer.global_step,
            desc="Pre-training",
            unit="step",
            disable=hide,
            mininterval=seconds,
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Collect the loss."""
        self._losses.append(outputs["loss"].detach())
        self._bar.update()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note what the round came to."""
        heldout = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("heldout")}
        loss = float(torch.stack(self._losses).mean())
        self._losses.clear()
        self.rounds.append(
            {
                "step": trainer.global_step,
                "epoch": trainer.global_step / self._steps_per_epoch,
                "lr": trainer.optimizers[0].param_groups[0]["lr"],
                "loss": loss,
                **heldout,
            }
        )
        shown = {"loss": f"{loss:.3f}"}
        if heldout:
            shown["heldout_loss"] = f"{heldout['heldout_loss']:.3f}"
        self._bar.set_postfix(shown)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._bar.close()

    def state_dict(self) -> dict[str, Any]:
        """The rounds so far, for the checkpoint."""
        return {"rounds": self.rounds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The rounds before the interruption."""
        self.rounds = list(state_dict["rounds"])
