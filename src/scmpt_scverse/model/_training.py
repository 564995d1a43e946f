"""Training: what was asked of it, checked, and what a model learns."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import scvi
import torch
from scvi.train import Trainer

from scmpt_scverse._checks import check_choice, check_number, check_positive, check_seed, did_you_mean, list_some
from scmpt_scverse._folders import check_run_folder
from scmpt_scverse._hardware import check_accelerator, resolve_device
from scmpt_scverse._labels import capped, label_text
from scmpt_scverse.modalities import cell_keys, content_keys
from scmpt_scverse.model._model_record import today
from scmpt_scverse.module import (
    CellSplit,
    FitOptions,
    TrainingRun,
    checked_validation_size,
    split_cells,
)
from scmpt_scverse.trust import N_REFERENCES, Calibration, Novelty, TrainingRecord

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray, StrPath
    from scmpt_scverse.modalities import Modalities
    from scmpt_scverse.module import FusionClassifier, HeldOut, Rows


@dataclass(frozen=True)
class TrainingRequest:
    """What was asked of training, checked.

    Attributes
    ----------
    train_size, validation_size, shuffle
        How cells are split.
    max_cells_per_label
        Of those that are split; `None` for all.
    options
        How the classifier is fitted.
    """

    train_size: float
    validation_size: float | None
    shuffle: bool
    max_cells_per_label: int | None
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
        max_cells_per_label: int | None = None,
        batch_size: int = 256,
        early_stopping: bool = True,
        class_weight: "Literal['balanced'] | Mapping[Any, float] | None" = None,
        seed: int | None = None,
        datasplitter_kwargs: Mapping[str, Any] | None = None,
        plan_kwargs: Mapping[str, Any] | None = None,
        checkpoints: "StrPath | None" = None,
        **trainer: Any,
    ) -> Self:
        """From the arguments of :meth:`scmpt_scverse.SCMPT.train`; see there."""
        check_positive(batch_size, "batch_size")
        if max_epochs is not None:
            check_positive(max_epochs, "max_epochs")
        if max_cells_per_label is not None:
            check_positive(max_cells_per_label, "max_cells_per_label")
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
        if checkpoints is not None:
            if not classifier.head.can_resume:
                raise ValueError(
                    "`checkpoints` keeps the moments of cells, which only a stacked head gathers; found a head of "
                    f"class {type(classifier.head).__name__}. Leave it out."
                )
            check_run_folder(Path(checkpoints))
        options = FitOptions(
            seed=seed_or_default(seed),
            class_weight=_checked_class_weight(class_weight, labels),
            device=resolve_device("auto" if accelerator in {"auto", "gpu", "cuda"} else accelerator),
            batch_size=batch_size,
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            plan=_checked_plan_options(plan_kwargs),
            trainer=trainer,
            folder=None if checkpoints is None else Path(checkpoints),
        )
        return cls(train_size, validation_size, shuffle_set_split, max_cells_per_label, options)

    def split(self, codes: "IntArray", usable: "IntArray", batches: "StrArray | None" = None) -> CellSplit:
        """Which of the usable cells train, validate and test; `codes` and `batches` are those of all cells."""
        if usable.size == 0:
            raise ValueError("Expected labelled cells to train on; found none that the encoders can read.")
        if self.max_cells_per_label is not None:
            usable = capped(codes, usable, self.max_cells_per_label, batches=batches, seed=self.options.seed)
        return split_cells(
            codes,
            usable,
            train_size=self.train_size,
            validation_size=self.validation_size,
            shuffle=self.shuffle,
            seed=self.options.seed,
        )


@dataclass(frozen=True)
class Learned:
    """What one training gave beside the weights of the classifier.

    Attributes
    ----------
    split
        Which cells trained, validated and are kept for testing.
    history
        Of the fit.
    record
        All cells trained on, those of earlier trainings included.
    calibration
        `None` where no cells were held out.
    novelty
        By training cells that new ones are compared with.
    """

    split: CellSplit
    history: dict[str, pd.DataFrame]
    record: TrainingRecord
    calibration: Calibration | None
    novelty: Novelty


def learn(
    classifier: "FusionClassifier",
    modalities: "Modalities",
    record: TrainingRecord,
    adata: "AnnData",
    codes: "IntArray",
    labels: "StrArray",
    batches: "StrArray | None",
    request: TrainingRequest,
    *,
    further: bool,
) -> Learned:
    """Compute missing embeddings, fit the classifier, and calibrate it.

    Parameters
    ----------
    classifier
        Fitted in place.
    modalities
        What it reads; genes and fingerprints of encoders are remembered.
    record
        Of the trainings so far.
    adata
        Cells.
    codes
        Code of the label of each, shape `(n_obs,)`; -1 for none.
    labels
        What the codes stand for.
    batches
        Batch of each cell, blank for none, shape `(n_obs,)`; `None` where the model knows of no batches.
    request
        What was asked.
    further
        The classifier is trained already: it keeps its genes, and the scale of its weights.
    """
    inputs = modalities.read(adata, progress=request.options.trainer.get("enable_progress_bar", True))
    readable = modalities.readable(adata, inputs)
    split = request.split(codes, np.flatnonzero(readable & (codes >= 0)), batches)
    if not further:
        inputs |= modalities.fit_expression(adata, split.train)
    keys, contents = cell_keys(adata, modalities.source), content_keys(adata, modalities.source)[split.train]
    TrainingRun(folder=request.options.folder).claim(
        cells=contents,
        names=keys[split.train],
        codes=codes[split.train],
        modalities=modalities.dims,
        seed=request.options.seed,
    )
    fit = classifier.fit(inputs, codes, split, request.options, keeps_scale=further)
    modalities.record_encoders(adata)
    extended = record.extended(
        keys,
        split.train,
        np.where(codes >= 0, labels[codes], ""),
        () if batches is None else batches[split.train],
        contents,
        today(),
    )
    calibration = calibrated(classifier, fit.held_out)
    some = np.sort(np.random.default_rng(request.options.seed).permutation(split.train)[:N_REFERENCES])
    novelty = Novelty.fit(_standardised(classifier, inputs, some), codes[some])
    return Learned(split, fit.history, extended, calibration, novelty)


def calibrated(classifier: "FusionClassifier", held_out: "HeldOut") -> Calibration | None:
    """Calibrate the classifier on cells that were held out; `None` where there are none."""
    if not len(held_out.codes):
        return None
    calibration = Calibration.fit(held_out.logits, held_out.codes, held_out.folds, held_out.fold_states)
    classifier.temperature.fill_(calibration.temperature)
    return calibration


def _standardised(
    classifier: "FusionClassifier", inputs: "Mapping[str, Rows]", rows: "IntArray"
) -> "dict[str, FloatArray]":
    """Some cells as the head sees them, `{modality: (n_rows, dim)}`."""
    device = classifier.temperature.device
    with torch.no_grad():
        tensors = {name: torch.from_numpy(values[rows]).to(device) for name, values in inputs.items()}
        return {name: values.cpu().numpy() for name, values in classifier.standardised(tensors).items()}


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
    found = dict(plan_kwargs or {})
    if "lr" in found:
        check_number(found["lr"], "lr", above=0)
    if "weight_decay" in found:
        check_number(found["weight_decay"], "weight_decay")
    return found


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
    if given is None:
        return 0
    check_seed(given)
    return int(given)


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
