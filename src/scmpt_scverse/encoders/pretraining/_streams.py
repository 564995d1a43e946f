"""The batches of pre-training as Lightning takes them."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import lightning.pytorch as pl

if TYPE_CHECKING:
    from scmpt_scverse.encoders.pretraining._batches import Batch, BatchMaker


class HeldoutStream:
    """The held-out batches for Lightning.

    Parameters
    ----------
    batches
        Makes the batches.
    """

    def __init__(self, batches: "BatchMaker") -> None:
        self._batches = batches

    def __len__(self) -> int:
        return self._batches.n_heldout

    def __iter__(self) -> "Iterator[Batch]":
        return map(self._batches.heldout, range(len(self)))


class TrainingStream:
    """Endless training batches for Lightning, from the current training step on; every process takes its share.

    Parameters
    ----------
    batches
        Makes the batches.
    step
        Returns the number of steps done; called when iteration begins.
    rank, world_size
        Index of this process among those that train together, and their number.
    """

    def __init__(self, batches: "BatchMaker", step: Callable[[], int], *, rank: int, world_size: int) -> None:
        self._batches = batches
        self._step = step
        self._rank = rank
        self._world_size = world_size

    def __iter__(self) -> "Iterator[Batch]":
        step = self._step()
        while True:
            yield self._batches.training(step * self._world_size + self._rank)
            step += 1

    def state_dict(self) -> dict[str, int]:
        """Nothing: the trainer's step says where to continue. The method tells Lightning that the stream can resume."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to do, see above."""


class PretrainingData(pl.LightningDataModule):
    """Feeds batches to Lightning; training batches continue from the trainer's current step."""

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
