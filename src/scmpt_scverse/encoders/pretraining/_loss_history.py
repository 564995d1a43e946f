"""Progress of pre-training, and a record of losses that survives a restart."""

import sys
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from tqdm import tqdm

if TYPE_CHECKING:
    from torch import Tensor

#: Seconds between two updates where progress goes to a log rather than a terminal.
_LOG_INTERVAL_S = 30.0


class LossHistory(pl.Callback):
    """Shows progress and keeps the losses of every round; a resumed run continues its record.

    Parameters
    ----------
    n_steps
        Total number of steps.
    steps_per_epoch
        Steps of this process per epoch.
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
        """Open the bar at the current step."""
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
        """Record the losses of the round."""
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
        """Restore the rounds before the interruption."""
        self.rounds = list(state_dict["rounds"])
