"""Train the head of a model on the labelled cells."""

from typing import Any

import numpy as np
import scvi
import torch
from scvi.train import TrainRunner

from scmpt_scverse._checks import check_key, check_positive
from scmpt_scverse._hardware import check_accelerator, training_precision
from scmpt_scverse.model._fields import category_codes
from scmpt_scverse.model._prediction_mixin import PredictionMixin, cells_digest
from scmpt_scverse.model._trainer_options import check_trainer_options
from scmpt_scverse.module._data_module import EmbeddingDataModule, checked_validation_size, split_cells
from scmpt_scverse.module._training_plan import HeadTrainingPlan, KeepBestWeights

_EARLY_STOPPING_PATIENCE = 20


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
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Embed what is missing, then train the head on the labelled cells.

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
            Stop when the validation loss has not fallen for 20 epochs (`early_stopping_patience`). The weights of the
            best epoch are kept in any case, unless there is no validation cell.
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
        plan = self._training_plan_cls(self.module, **(plan_kwargs or {}))
        adata = self._adata_or_own(None)
        labels_key = self.registry["setup_args"]["labels_key"]
        check_key(labels_key, adata.obs.columns, "adata.obs")
        inputs = self._inputs(adata, progress=trainer_kwargs.get("enable_progress_bar", True))
        self._record_encoders(adata)
        # Not the codes in `.obs`: they are those of whichever model was set up last on these data.
        codes = category_codes(adata, labels_key, self._categories)
        readable = np.all([np.isfinite(values).all(axis=1) for values in inputs.values()], axis=0)
        usable = np.flatnonzero(readable & (codes < self.summary_stats.n_labels))
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
        tensors = {name: torch.from_numpy(values) for name, values in inputs.items()}
        if not self.is_trained_:  # a model that is trained further keeps the scale that its weights are made for
            self.module.fit_standardisers({name: values[split.train] for name, values in tensors.items()})
        digest = cells_digest(adata)
        earlier = self.trained_on_ if digest == self.training_digest_ else np.empty(0, dtype=np.int64)
        self.training_digest_, self.trained_on_ = digest, np.union1d(earlier, split.train)
        names, counts = np.unique(self.labels[codes[split.train]].astype(str), return_counts=True)
        self.label_counts_ = dict(zip(names.tolist(), counts.tolist(), strict=True))
        has_validation = len(split.validation) > 0
        trainer_kwargs = {
            "check_val_every_n_epoch": 1,
            "log_every_n_steps": 1,
            "early_stopping_monitor": "validation_loss",
            "early_stopping_patience": _EARLY_STOPPING_PATIENCE,
            "precision": training_precision(accelerator),
            "limit_val_batches": 1.0 if has_validation else 0,
            **trainer_kwargs,
            "callbacks": [*(trainer_kwargs.get("callbacks") or []), *([KeepBestWeights()] if has_validation else [])],
        }
        runner = self._train_runner_cls(
            self,
            training_plan=plan,
            data_splitter=EmbeddingDataModule(
                tensors, torch.from_numpy(codes), split, batch_size=batch_size, seed=random_seed()
            ),
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


def random_seed() -> int:
    """The seed that users set as `scvi.settings.seed`, or 0, so that the same data give the same model."""
    return 0 if scvi.settings.seed is None else int(scvi.settings.seed)


def _default_max_epochs(n_obs: int) -> int:
    """The convention of scvi-tools: 400 epochs up to 20,000 cells, then as many updates with fewer epochs."""
    return max(1, min(round(20_000 / n_obs * 400), 400))
