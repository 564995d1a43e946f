"""How the head is trained: cross-entropy, Adam, and the weights of the best epoch kept."""

from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse.module._scmpt_module import SCMPTModule


class HeadTrainingPlan(pl.LightningModule):
    """Cross-entropy of the fusion head, minimised by Adam.

    Parameters
    ----------
    module
        What is trained.
    lr
        Learning rate; the paper's grid runs from 1e-5 to 1e-3.
    weight_decay
        L2 penalty of Adam.
    label_weights
        Weight of a cell of each label in the training loss, shape `(n_labels,)`; `None` weighs all cells the same.
    """

    def __init__(
        self,
        module: "SCMPTModule",
        *,
        lr: float = 1e-4,
        weight_decay: float = 0.0,
        label_weights: "Tensor | None" = None,
    ) -> None:
        super().__init__()
        self.label_weights = label_weights
        self.module = module
        self.lr = lr
        self.weight_decay = weight_decay

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> "Tensor":
        """Cross-entropy of one minibatch `{"inputs": {modality: (batch, dim)}, "labels": (batch,)}`."""
        weights = None if self.label_weights is None else self.label_weights.to(self.device)
        loss = functional.cross_entropy(self.module(batch["inputs"]), batch["labels"], weight=weights)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch["labels"]))
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Log cross-entropy and accuracy of one minibatch."""
        logits, labels = self.module(batch["inputs"]), batch["labels"]
        loss = functional.cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=-1) == labels).float().mean()
        metrics = {"validation_loss": loss, "validation_accuracy": accuracy}
        self.log_dict(metrics, on_epoch=True, prog_bar=True, batch_size=len(labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over the head."""
        return torch.optim.Adam(self.module.parameters(), lr=self.lr, weight_decay=self.weight_decay, fused=True)


class KeepBestWeights(pl.Callback):
    """Keeps the weights of the epoch with the lowest validation loss and puts them back when training ends."""

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
