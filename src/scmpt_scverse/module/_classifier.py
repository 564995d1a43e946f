"""The contract of a classifier, and the inputs and results of fitting it; arrays and tensors only."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch

from scmpt_scverse.module._principal_axes import BLOCK_SIZE

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.module._data_module import CellSplit

#: Cells per forward pass; with 4096 hidden units, 64 MB.
_BATCH_SIZE = 4096


class Rows(Protocol):
    """Values of one modality: an array of shape `(n_obs, dim)`, or an object that gives dense rows when indexed."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: "IntArray", /) -> "FloatArray": ...


@dataclass(frozen=True)
class FitOptions:
    """How to fit a classifier; a head ignores options that do not apply to it.

    Attributes
    ----------
    seed
        Seeds initialisation, folds, shuffling and dropout.
    class_weight
        `"balanced"`, or the weight of a cell of each label, shape `(n_labels,)`; `None` weights all cells equally.
    device
        Where to compute.
    batch_size
        Cells per minibatch.
    max_epochs
        `None` uses 400 for up to 20,000 training cells and fewer for more.
    early_stopping
        Stop when the validation loss no longer falls.
    plan
        Options of the training plan: `lr`, `weight_decay`.
    trainer
        Options of :class:`scvi.train.Trainer` for a head that is trained in epochs.
    folder
        Where a head keeps what it needs to resume an interrupted training; `None` keeps nothing.
    """

    seed: int = 0
    class_weight: "Literal['balanced'] | Tensor | None" = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    batch_size: int = 256
    max_epochs: int | None = None
    early_stopping: bool = True
    plan: Mapping[str, Any] = field(default_factory=dict)
    trainer: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def label_weights(self, codes: "Tensor", n_labels: int) -> "Tensor | None":
        """Weight of a cell of each label, shape `(n_labels,)`, from the codes of the training cells."""
        return balanced_weights(codes, n_labels) if isinstance(self.class_weight, str) else self.class_weight


@dataclass(frozen=True)
class HeldOut:
    """Logits of cells by a head that was not fitted on them, for calibration and label sets.

    Attributes
    ----------
    logits
        Uncalibrated, shape `(n_cells, n_labels)`.
    codes
        Label code of each cell, shape `(n_cells,)`.
    folds
        Which of `fold_states` left each cell out, shape `(n_cells,)`; 0 if there are none.
    fold_states
        Parameters of the heads that each left out one fold of the training cells. Empty if the cells were held out from
        the final head itself.
    """

    logits: "Tensor"
    codes: "Tensor"
    folds: "IntArray"
    fold_states: "list[dict[str, Tensor]]" = field(default_factory=list)


@dataclass(frozen=True)
class Fit:
    """Result of fitting a classifier, besides its weights.

    Attributes
    ----------
    history
        Metric, such as `"train_loss"`, to a DataFrame with its values.
    held_out
        Logits to calibrate on.
    """

    history: "dict[str, pd.DataFrame]"
    held_out: HeldOut


class Classifier(Protocol):
    """Predicts labels from the modalities of cells.

    Attributes
    ----------
    n_labels
        Number of labels.
    default_train_size
        Share of the labelled cells to fit on by default; the rest validates.
    """

    n_labels: int
    default_train_size: float

    def fit(self, inputs: Mapping[str, Rows], codes: "IntArray", split: "CellSplit", options: FitOptions) -> Fit:
        """Fit on the training cells of a split.

        Parameters
        ----------
        inputs
            Modality to its values for all cells, `{modality: (n_obs, dim)}`.
        codes
            Label code of each cell, shape `(n_obs,)`.
        split
            Which cells train and validate.
        options
            How to fit.
        """
        ...

    def logits(self, inputs: Mapping[str, Rows], *, batch_size: int | None = None) -> "FloatArray":
        """Calibrated logits of all cells, shape `(n_obs, n_labels)`; NaN for a cell with NaN in its inputs."""
        ...


def in_blocks(values: Rows, rows: "IntArray", device: torch.device) -> "Iterator[Tensor]":
    """Some rows of a modality, in order, in blocks of shape `(n_rows, dim)`."""
    for start in range(0, len(rows), BLOCK_SIZE):
        yield torch.from_numpy(values[rows[start : start + BLOCK_SIZE]]).to(device)


def in_batches(
    function: "Callable[[dict[str, Tensor]], tuple[Tensor, ...]]",
    inputs: Mapping[str, Rows],
    device: torch.device,
    batch_size: int | None = None,
) -> "list[FloatArray]":
    """Apply a function of tensors in minibatches, without gradients; returns its outputs as arrays, rows in order."""
    n_obs = len(next(iter(inputs.values())))
    size = batch_size or _BATCH_SIZE
    outputs = []
    with torch.inference_mode():
        # Runs once even without cells, so that the arrays have the right width.
        for start in range(0, max(n_obs, 1), size):
            rows = np.arange(start, min(start + size, n_obs))
            tensors = {name: torch.from_numpy(values[rows]).to(device) for name, values in inputs.items()}
            outputs.append([each.float().cpu() for each in function(tensors)])
    return [torch.cat(parts).numpy() for parts in zip(*outputs, strict=True)]


def balanced_weights(codes: "Tensor", n_labels: int) -> "Tensor":
    """Weights with the same sum for every label that occurs and a mean of 1 per cell; shape `(n_labels,)`."""
    counts = torch.bincount(codes, minlength=n_labels).float()
    return len(codes) / ((counts > 0).sum() * counts.clamp(min=1))
