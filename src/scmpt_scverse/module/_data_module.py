"""Splits of cells, and minibatches of embeddings from tensors that are already on the training device."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import IntArray


#: Tolerance for products such as 0.9 * 10, which should be whole numbers.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class CellSplit:
    """Row numbers of the cells that train, validate and test; the three sets are disjoint."""

    train: "IntArray"
    validation: "IntArray"
    test: "IntArray"


def split_cells(
    labels: "IntArray",
    candidates: "IntArray",
    *,
    train_size: float,
    validation_size: float | None,
    shuffle: bool,
    seed: int,
) -> CellSplit:
    """Split labelled cells into training, validation and test cells.

    Parameters
    ----------
    labels
        Label code of every cell, shape `(n_obs,)`.
    candidates
        Row numbers of the cells that may be used.
    train_size, validation_size
        Shares of `candidates`; `validation_size=None` uses what `train_size` leaves. The rest is for testing.
    shuffle
        Assign at random, stratified by label. Otherwise the first candidates validate, the next ones train and the last
        ones test, as in scvi-tools.
    seed
        Seed of the random assignment.

    Raises
    ------
    ValueError
        `train_size` or `validation_size` is out of range.

    Notes
    -----
    With `shuffle`, one cell of every label always trains: a label that only occurs in validation cannot be learned.
    """
    validation_size = checked_validation_size(train_size, validation_size)
    if not shuffle:
        return _contiguous(np.asarray(candidates), train_size, validation_size)
    order = np.random.default_rng(seed).permutation(candidates)
    order = order[np.argsort(labels[order], kind="stable")]
    is_first = np.diff(labels[order], prepend=-1) != 0
    movable = order[~is_first]
    n_validation = min(round(validation_size * len(order)), len(movable))
    n_test = min(round((1 - train_size - validation_size) * len(order)), len(movable) - n_validation)
    held_out = _evenly_spaced(movable, n_validation + n_test)
    test = _evenly_spaced(held_out, n_test)
    validation = np.setdiff1d(held_out, test)
    return CellSplit(np.setdiff1d(order, held_out), validation, np.sort(test))


def _contiguous(candidates: "IntArray", train_size: float, validation_size: float) -> CellSplit:
    n = len(candidates)
    n_train = math.ceil(train_size * n - _ROUNDING)
    n_validation = min(math.floor(validation_size * n + _ROUNDING), n - n_train)
    validation, train, test = np.split(candidates, [n_validation, n_validation + n_train])
    return CellSplit(train, validation, test)


def checked_validation_size(train_size: float, validation_size: float | None) -> float:
    """The share of validation cells; `ValueError` if the shares are out of range."""
    if not 0 < train_size <= 1:
        raise ValueError(f"`train_size` must be in (0, 1]; found {train_size}.")
    if validation_size is None:
        return 1 - train_size
    if not 0 <= validation_size <= 1 - train_size + 1e-9:
        raise ValueError(
            f"`validation_size` must be in [0, 1 - train_size]; found {validation_size} with train_size={train_size}."
        )
    return validation_size


def _evenly_spaced(values: "IntArray", n: int) -> "IntArray":
    """`n` evenly spaced values: if sorted by label, every label contributes in proportion."""
    return values[((np.arange(n) + 0.5) * len(values) / max(n, 1)).astype(np.int64)]


class TensorBatches:
    """Iterates over rows of tensors in minibatches, reshuffled every epoch.

    Parameters
    ----------
    inputs
        `{modality: (n_obs, dim)}`.
    labels
        Shape `(n_obs,)`.
    batch_size
        Rows per minibatch.
    generator
        Shuffles the rows; `None` keeps the order.
    rank, world_size
        Index of this process and number of processes, which share the rows.
    """

    def __init__(
        self,
        inputs: "Mapping[str, Tensor]",
        labels: "Tensor",
        *,
        batch_size: int,
        generator: torch.Generator | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.inputs = dict(inputs)
        self.labels = labels
        self.batch_size = batch_size
        self.generator = generator
        self.rank = rank
        self.world_size = world_size
        # Every process gets the same number of rows; otherwise one would wait for gradients that never come.
        self._n_rows = len(labels) // world_size

    def __len__(self) -> int:
        return -(-self._n_rows // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        n_obs = len(self.labels)
        # Drawn on the CPU, so that the order does not depend on the device.
        order = torch.arange(n_obs) if self.generator is None else torch.randperm(n_obs, generator=self.generator)
        order = order[self.rank :: self.world_size][: self._n_rows].to(self.labels.device)
        for rows in order.split(self.batch_size):
            yield {
                "inputs": {modality: values[rows] for modality, values in self.inputs.items()},
                "labels": self.labels[rows],
            }


class EmbeddingDataModule(pl.LightningDataModule):
    """Training and validation minibatches for Lightning.

    Parameters
    ----------
    inputs
        `{modality: (n_obs, dim)}` for all cells: arrays, or objects that give dense rows when indexed.
    labels
        Label codes, shape `(n_obs,)`.
    split
        Which cells train and validate.
    batch_size
        Cells per minibatch.
    seed
        Seed of the shuffling.
    """

    def __init__(
        self, inputs: Mapping[str, Any], labels: "Tensor", split: CellSplit, *, batch_size: int, seed: int
    ) -> None:
        super().__init__()
        self.inputs = dict(inputs)
        self.labels = labels
        self.split = split
        self.batch_size = batch_size
        self._generator = torch.Generator().manual_seed(seed)
        # Names that scvi's TrainRunner reads after training.
        self.train_idx, self.val_idx, self.test_idx = split.train, split.validation, split.test

    def train_dataloader(self) -> TensorBatches:
        """Shuffled minibatches of the training cells."""
        return self._batches(self.split.train, self._generator)

    def val_dataloader(self) -> "TensorBatches | list[Any]":
        """Minibatches of the validation cells; an empty list if there are none, as Lightning expects."""
        return self._batches(self.split.validation, None) if len(self.split.validation) else []

    def _batches(self, rows: "IntArray", generator: torch.Generator | None) -> TensorBatches:
        device, rank, world_size = torch.device("cpu"), 0, 1
        if self.trainer is not None:
            device = self.trainer.strategy.root_device
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
        return TensorBatches(
            {modality: torch.from_numpy(values[rows]).to(device) for modality, values in self.inputs.items()},
            self.labels[torch.as_tensor(rows)].to(device),
            batch_size=self.batch_size,
            generator=generator,
            rank=rank,
            world_size=world_size,
        )
