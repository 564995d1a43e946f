"""Training as a model remembers it: which cells it saw, and whether other data are these."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Self

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import scvi
import torch
from scvi.train import Trainer

from scmpt_scverse._checks import check_choice, check_positive, did_you_mean, list_some
from scmpt_scverse._hardware import check_accelerator, resolve_device
from scmpt_scverse._labels import label_text
from scmpt_scverse.modalities import digest_of
from scmpt_scverse.module import CellSplit, FitOptions, checked_validation_size, split_cells

if TYPE_CHECKING:
    from scmpt_scverse._types import IntArray, StrArray
    from scmpt_scverse.module import FusionClassifier


#: Share of cells from which on they count as training cells that were renamed.
_MOST = 0.5
#: So few cells are an example rather than a query.
_FEW_CELLS = 10


@dataclass(frozen=True)
class TrainingRecord:
    """Which cells a model was trained on.

    Attributes
    ----------
    digest
        Of the data that held them, see :func:`scmpt_scverse.modalities.digest_of`.
    rows
        Their row numbers in these data, ascending.
    cells
        Their keys, see :func:`cell_keys`, ascending: they are known again in any other data.
    label_counts
        Number of the cells in `rows` with each label.
    batches
        Batches that training cells came from, where the model knows of batches.
    contents
        What they express, see :func:`content_keys`, ascending: they are known again under other names.
    """

    digest: str = ""
    rows: "IntArray" = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    cells: "IntArray" = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    label_counts: Mapping[str, int] = field(default_factory=dict)
    batches: tuple[str, ...] = ()
    contents: "IntArray" = field(default_factory=lambda: np.empty(0, dtype=np.uint64))

    def extended(
        self,
        keys: "IntArray",
        rows: "IntArray",
        labels: "StrArray",
        batches: "StrArray | tuple[str, ...]" = (),
        contents: "IntArray | tuple[int, ...]" = (),
    ) -> Self:
        """The record after a (further) training on some cells.

        Cells of an earlier training stay: the model has seen them. `keys` and `labels` are those of all cells of the
        data, labels blank for none; `batches` and `contents` are those of the training cells.
        """
        every = np.union1d(self.rows if self.is_of(keys) else [], rows).astype(np.int64)
        names, counts = np.unique(labels[every], return_counts=True)
        label_counts = {name: n for name, n in zip(names.tolist(), counts.tolist(), strict=True) if name}
        cells = np.union1d(self.cells, keys[rows]).astype(np.uint64)
        known = np.union1d(self.contents, np.asarray(contents, dtype=np.uint64)).astype(np.uint64)
        return type(self)(
            digest_of(keys), every, cells, label_counts, tuple(sorted({*self.batches, *batches})), known[known != 0]
        )

    def rows_in(self, keys: "IntArray") -> "IntArray":
        """Rows of some data that were trained on, in whatever order, and among whatever others, they stand there."""
        # In the very data that were trained on, rows tell cells of one name and content apart.
        return self.rows if self.is_of(keys) else np.flatnonzero(np.isin(keys, self.cells))

    def n_renamed(self, contents: "IntArray") -> int:
        """How many cells express exactly what a training cell does; 0 unless these are most, and not a few."""
        n_same = int(np.isin(contents, self.contents).sum())
        return n_same if n_same > _FEW_CELLS and n_same >= _MOST * len(contents) else 0

    def is_of(self, keys: "IntArray") -> bool:
        """Whether data are the very ones that were trained on, cell by cell."""
        return digest_of(keys) == self.digest

    def state(self) -> dict[str, Any]:
        """All that there is, as plain values and arrays."""
        return {
            "digest": self.digest,
            "rows": self.rows,
            "cells": self.cells,
            "label_counts": dict(self.label_counts),
            "batches": list(self.batches),
            "contents": self.contents,
        }


@dataclass(frozen=True)
class TrainingRequest:
    """What was asked of training, checked.

    Attributes
    ----------
    train_size, validation_size, shuffle
        How cells are split.
    options
        How the classifier is fitted.
    """

    train_size: float
    validation_size: float | None
    shuffle: bool
    options: FitOptions

    @classmethod
    def checked(
        cls,
        classifier: "FusionClassifier",
        labels: "StrArray",
        *,
        max_epochs: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        batch_size: int = 256,
        early_stopping: bool = True,
        class_weight: "Literal['balanced'] | Mapping[Any, float] | None" = None,
        seed: int | None = None,
        datasplitter_kwargs: Mapping[str, Any] | None = None,
        plan_kwargs: Mapping[str, Any] | None = None,
        **trainer: Any,
    ) -> Self:
        """From the arguments of :meth:`scmpt_scverse.SCMPT.train`; see there."""
        check_positive(batch_size, "batch_size")
        if max_epochs is not None:
            check_positive(max_epochs, "max_epochs")
        train_size = classifier.default_train_size if train_size is None else train_size
        checked_validation_size(train_size, validation_size)
        check_accelerator(accelerator)
        _check_trainer_options(trainer)
        if datasplitter_kwargs:
            raise TypeError(
                "`datasplitter_kwargs` is not supported: cells are split label by label. Use `train_size`, "
                "`validation_size` and `shuffle_set_split`."
            )
        if devices != "auto":
            trainer["devices"] = devices
        options = FitOptions(
            seed=seed_or_default(seed),
            class_weight=_checked_class_weight(class_weight, labels),
            device=resolve_device("auto" if accelerator in {"auto", "gpu", "cuda"} else accelerator),
            batch_size=batch_size,
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            plan=_checked_plan_options(plan_kwargs),
            trainer=trainer,
        )
        return cls(train_size, validation_size, shuffle_set_split, options)

    def split(self, codes: "IntArray", usable: "IntArray") -> CellSplit:
        """Which of the usable cells train, validate and test; `codes` are those of all cells."""
        if usable.size == 0:
            raise ValueError("Expected labelled cells to train on; found none that the encoders can read.")
        return split_cells(
            codes,
            usable,
            train_size=self.train_size,
            validation_size=self.validation_size,
            shuffle=self.shuffle,
            seed=self.options.seed,
        )


def _checked_class_weight(
    class_weight: "Literal['balanced'] | Mapping[Any, float] | None", labels: "StrArray"
) -> "Literal['balanced'] | torch.Tensor | None":
    """Weights by label code from what users pass; `ValueError` for a label that the model does not know."""
    if class_weight is None or isinstance(class_weight, str):
        if class_weight is not None:
            check_choice(class_weight, ["balanced"], "class_weight")
        return class_weight
    if not isinstance(class_weight, Mapping):
        raise ValueError(f"`class_weight` must be 'balanced', a mapping or None; found {class_weight!r}.")
    weights: dict[str, Any] = {label_text(label): weight for label, weight in class_weight.items()}
    if len(weights) < len(class_weight):
        raise ValueError(f"`class_weight` must give one weight per label; found two of one label in {class_weight!r}.")
    for label, weight in weights.items():
        check_choice(label, list(labels), "class_weight")
        if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 <= float(weight) < float("inf"):
            raise ValueError(f"`class_weight` must hold weights of at least 0; found {weight!r} for {label!r}.")
    return torch.tensor([float(weights.get(label, 1.0)) for label in labels])


def _checked_plan_options(plan_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options of the training plan; `TypeError` for one that it does not have."""
    known = ("lr", "weight_decay")
    for name in plan_kwargs or {}:
        if name not in known:
            raise TypeError(f"`plan_kwargs` has no option {name!r}; it may hold {list_some(known)}.")
    return dict(plan_kwargs or {})


def _check_trainer_options(options: Iterable[str]) -> None:
    """Raise `TypeError` for an option that the trainer does not have."""
    known: set[str] = set()
    for trainer in (Trainer, pl.Trainer):
        known |= set(inspect.signature(trainer).parameters)
    for name in options:
        if name not in known:
            raise TypeError(f"`train` has no option {name!r}.{did_you_mean(name, known)} See `scvi.train.Trainer`.")


def seed_or_default(seed: int | None = None) -> int:
    """The seed that was given, else `scvi.settings.seed`, else 0, so that the same data give the same model."""
    given = scvi.settings.seed if seed is None else seed
    return 0 if given is None else int(given)


def appended(
    earlier: "Mapping[str, pd.DataFrame] | None", history: "Mapping[str, pd.DataFrame]"
) -> "dict[str, pd.DataFrame]":
    """The history of all trainings, with epochs numbered on."""
    joined = {}
    for name, values in history.items():
        before = (earlier or {}).get(name, values.iloc[:0])
        after = values.set_axis(pd.RangeIndex(len(before), len(before) + len(values), name="epoch"), axis=0)
        joined[name] = pd.concat([before, after]) if len(before) else values
    return joined
