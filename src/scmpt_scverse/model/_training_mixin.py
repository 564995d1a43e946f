"""Train the head of a model on the labelled cells."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd
import scvi
import torch
from scvi.train import TrainRunner
from torch.nn import functional

from scmpt_scverse._checks import check_choice, check_key, check_positive
from scmpt_scverse._hardware import check_accelerator, resolve_device, training_precision
from scmpt_scverse.model._embedding_mixin import readable_cells
from scmpt_scverse.model._expression_rows import variable_genes
from scmpt_scverse.model._fields import category_codes
from scmpt_scverse.model._prediction_mixin import PredictionMixin, cells_digest
from scmpt_scverse.model._trainer_options import check_trainer_options
from scmpt_scverse.module._data_module import CellSplit, EmbeddingDataModule, checked_validation_size, split_cells
from scmpt_scverse.module._fusion_stacked import StackedFusion
from scmpt_scverse.module._temperature import balanced_weights
from scmpt_scverse.module._training_plan import HeadTrainingPlan, KeepBestWeights

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.model._embedding_mixin import Rows

#: Epochs, and how much the validation loss must have fallen over them to go on. Where the head knows every cell, the
#: loss would fall by less and less for as long as one lets it.
_EARLY_STOPPING_PATIENCE, _EARLY_STOPPING_MIN_DELTA = 20, 1e-3


class TrainingMixin(PredictionMixin):
    """Training through scvi-tools' runner, on tensors instead of AnnData."""

    is_trained_: bool
    summary_stats: Any

    _training_plan_cls = HeadTrainingPlan
    _train_runner_cls = TrainRunner

    def train(
        self,
        max_epochs: int | None = None,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float = 0.9,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        batch_size: int = 256,
        early_stopping: bool = True,
        class_weight: "Literal['balanced'] | Mapping[str, float] | None" = None,
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Embed what is missing, train the head on the labelled cells, then calibrate its probabilities.

        The head `"stacked"` is not trained in epochs but solved at once: `max_epochs`, `batch_size`, `early_stopping`,
        `plan_kwargs` and options of the trainer mean nothing to it, and since it learns out of fold, it needs no
        validation cells (`train_size=1`).

        Parameters
        ----------
        max_epochs
            `None` takes 400 for up to 20,000 cells and fewer for more.
        accelerator, devices
            As in Lightning; `"auto"` uses a GPU if there is one.
        train_size, validation_size
            Shares of the labelled cells, every label in proportion; `validation_size=None` takes the rest, and what
            both leave is kept for testing. The first cell of each label always trains.
        shuffle_set_split
            Split at random; else at even distances among the cells of a label.
        batch_size
            Cells per minibatch.
        early_stopping
            Stop when the validation loss has not fallen by 0.001 (`early_stopping_min_delta`) for 20 epochs
            (`early_stopping_patience`). The weights of the best epoch are kept in any case, unless there is no
            validation cell.
        class_weight
            `"balanced"` gives every label the same weight in the loss, however few cells it has; a mapping gives the
            weight of a cell of each label, 1 where it says nothing.
        plan_kwargs
            `lr` (default 1e-4) and `weight_decay` (default 0).
        **trainer_kwargs
            Options of :class:`scvi.train.Trainer`. `precision` is `"bf16-mixed"` where the device multiplies bfloat16
            natively, else 32 bit.

        Raises
        ------
        ValueError
            No cell is left to train on, a share is out of range, or there is no such device; for embeddings, as
            :meth:`predict`.
        TypeError
            An option that neither the trainer nor the training plan has.
        """
        check_positive(batch_size, "batch_size")
        checked_validation_size(train_size, validation_size)
        check_accelerator(accelerator)
        check_trainer_options(trainer_kwargs)
        label_weights = self._given_weights(class_weight)
        plan = self._training_plan_cls(self.module, **(plan_kwargs or {}))
        adata = self._adata_or_own(None)
        labels_key = self.registry["setup_args"]["labels_key"]
        check_key(labels_key, adata.obs.columns, "adata.obs")
        inputs = self._inputs(adata, progress=trainer_kwargs.get("enable_progress_bar", True))
        self._record_encoders(adata)
        # Not the codes in `.obs`: they are those of whichever model was set up last on these data.
        codes = category_codes(adata, labels_key, self._categories)
        usable = np.flatnonzero(readable_cells(inputs, adata.n_obs) & (codes < self.summary_stats.n_labels))
        if usable.size == 0:
            raise ValueError("Expected labelled cells to train on; found none that the encoders can read.")
        split = split_cells(
            codes,
            usable,
            train_size=train_size,
            validation_size=validation_size,
            shuffle=shuffle_set_split,
            seed=random_seed(),
        )
        if not self.is_trained_:  # a model that is trained further keeps its genes, and the scale of its weights
            inputs |= self._chosen_expression(adata, split.train)
            self.module.fit_standardisers(_tensors(inputs, split.train))
        labels = torch.from_numpy(codes)
        if class_weight == "balanced":
            label_weights = balanced_weights(labels[split.train], self.summary_stats.n_labels)
        plan.label_weights = label_weights
        digest = cells_digest(adata)
        earlier = self.trained_on_ if digest == self.training_digest_ else np.empty(0, dtype=np.int64)
        self.training_digest_, self.trained_on_ = digest, np.union1d(earlier, split.train)
        names, counts = np.unique(self.labels[codes[split.train]].astype(str), return_counts=True)
        self.label_counts_ = dict(zip(names.tolist(), counts.tolist(), strict=True))
        self.module.temperature.fill_(1)
        if isinstance(self.module.head, StackedFusion):
            self._solve(inputs, labels, split, label_weights, accelerator)
            return
        has_validation = len(split.validation) > 0
        trainer_kwargs = {
            "check_val_every_n_epoch": 1,
            "log_every_n_steps": 1,
            "early_stopping_monitor": "validation_loss",
            "early_stopping_patience": _EARLY_STOPPING_PATIENCE,
            "early_stopping_min_delta": _EARLY_STOPPING_MIN_DELTA,
            "precision": training_precision(accelerator),
            "limit_val_batches": 1.0 if has_validation else 0,
            **trainer_kwargs,
            "callbacks": [*(trainer_kwargs.get("callbacks") or []), *([KeepBestWeights()] if has_validation else [])],
        }
        runner = self._train_runner_cls(
            self,
            training_plan=plan,
            data_splitter=EmbeddingDataModule(inputs, labels, split, batch_size=batch_size, seed=random_seed()),
            max_epochs=max_epochs if max_epochs is not None else _default_max_epochs(len(split.train)),
            accelerator=accelerator,
            devices=devices,
            early_stopping=early_stopping and has_validation,
            **trainer_kwargs,
        )
        self.module.train()  # after an earlier training it is left in evaluation mode
        with torch.random.fork_rng():  # dropout draws from the global state
            torch.manual_seed(random_seed())
            runner()
        self._fit_novelty(inputs, split.train, labels.numpy(), random_seed())
        self._calibrate(self._logits(inputs, split.validation), labels[torch.as_tensor(split.validation)])

    def _solve(
        self,
        inputs: "dict[str, Rows]",
        labels: "torch.Tensor",
        split: CellSplit,
        label_weights: "torch.Tensor | None",
        accelerator: str,
    ) -> None:
        """Solve a stacked head, and calibrate it on the training cells out of fold."""
        head = cast("StackedFusion", self.module.head)
        device = resolve_device("auto" if accelerator in {"auto", "gpu", "cuda"} else "cpu")
        self.module.to(device).eval()
        of_training = labels[torch.as_tensor(split.train)].to(device)
        weights = torch.ones(len(of_training)) if label_weights is None else label_weights[of_training.cpu()]
        with torch.no_grad():
            tensors = {name: values.to(device) for name, values in _tensors(inputs, split.train).items()}
            standardised = self.module.standardised(tensors)
        out_of_fold = head.solve(standardised, of_training, weights.to(device), seed=random_seed())
        logits = out_of_fold.logits.cpu()
        self.is_trained_ = True
        self.train_indices, self.validation_indices, self.test_indices = split.train, split.validation, split.test
        losses = {"train_loss": (logits, split.train)}
        if len(split.validation):
            losses["validation_loss"] = (self._logits(inputs, split.validation), split.validation)
        self.history_ = {
            name: pd.DataFrame(
                {name: [float(functional.cross_entropy(values, labels[torch.as_tensor(rows)]))]},
                index=pd.RangeIndex(1, name="epoch"),
            )
            for name, (values, rows) in losses.items()
        }
        self._fit_novelty(inputs, split.train, labels.numpy(), random_seed())
        self._calibrate(logits, of_training.cpu(), out_of_fold)

    def _given_weights(self, class_weight: "Literal['balanced'] | Mapping[str, float] | None") -> "torch.Tensor | None":
        """Weights by label code; `None` where all are the same or depend on the training cells."""
        if class_weight is None or class_weight == "balanced":
            return None
        if not isinstance(class_weight, Mapping):
            raise ValueError(f"`class_weight` must be 'balanced', a mapping or None; found {class_weight!r}.")
        for label, weight in class_weight.items():
            check_choice(str(label), list(self.labels), "class_weight")
            if not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
                raise ValueError(f"`class_weight` must hold weights of at least 0; found {weight!r} for {label!r}.")
        return torch.tensor([float(class_weight.get(label, 1.0)) for label in self.labels])

    def _chosen_expression(self, adata: "AnnData", rows: "IntArray") -> "dict[str, Rows]":
        """Expression as a modality, where the model has it, over genes chosen on the training cells."""
        for name, modality in self._modalities.items():
            if modality.is_counts:
                genes = variable_genes(adata, rows, modality.embedding_dim, **self._reading)
                self.expression_genes_ = genes.tolist()
                return {name: self._expression(adata, name)}
        return {}


def _tensors(inputs: "Mapping[str, Rows]", rows: "IntArray") -> "dict[str, torch.Tensor]":
    return {name: torch.from_numpy(values[rows]) for name, values in inputs.items()}


def random_seed() -> int:
    """The seed that users set as `scvi.settings.seed`, or 0, so that the same data give the same model."""
    return 0 if scvi.settings.seed is None else int(scvi.settings.seed)


def _default_max_epochs(n_obs: int) -> int:
    """The convention of scvi-tools: 400 epochs up to 20,000 cells, then as many updates with fewer epochs."""
    return max(1, min(round(20_000 / n_obs * 400), 400))
