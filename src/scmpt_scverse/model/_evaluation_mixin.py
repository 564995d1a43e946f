"""Figures on cells that were not trained on, always beside simpler predictors."""

import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_key
from scmpt_scverse.metrics import cell_splits, per_class_metrics
from scmpt_scverse.model._beside import (
    DEFAULT_BASELINES,
    baselines_beside,
    check_baselines,
    decode,
    figures_of,
    shared_expression,
)
from scmpt_scverse.model._embedding_mixin import rows_of
from scmpt_scverse.model._fields import as_text
from scmpt_scverse.model._prediction_mixin import cells_digest
from scmpt_scverse.model._training_mixin import TrainingMixin

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import IntArray, StrArray

#: The row of the model itself.
_OWN = "scmpt"


class EvaluationMixin(TrainingMixin):
    """How good a model is."""

    init_params_: dict[str, Any]

    def evaluate(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        *,
        baselines: Sequence[str] = DEFAULT_BASELINES,
    ) -> pd.DataFrame:
        """Compare predictions with labels, beside simpler predictors that learned from the same cells.

        Parameters
        ----------
        adata
            Cells with the label column; `None` takes the data that the model was made with.
        indices
            Row numbers or a mask. `None` takes all cells of `adata`; for the data that the model was trained on, which
            it knows by the names of the cells, those held out from training (the test cells if there are any, else the
            validation cells, on which early stopping looked).
        baselines
            Names as in :func:`scmpt_scverse.metrics.baseline_probabilities`. `"knn"` and `"logistic_regression"` read
            the embedding of each modality, the others expression. They are trained for this call, so with many cells
            `("majority",)` is faster.

        Returns
        -------
        One row a predictor: `"scmpt"`, then the baselines, with the modality in parentheses where there is one.
        Columns as in :func:`scmpt_scverse.metrics.classification_metrics`, then `ece`, `brier` and `nll` as in
        :func:`scmpt_scverse.metrics.calibration_metrics`. Cells without a label are left out; a cell whose label
        the model does not know, or that it leaves unlabelled, counts as wrong.

        Baselines other than `"majority"` need the cells that the model was trained on: in `adata`, or in the data that
        the model holds. Those that read expression need it on both sides. Where that is missing, so are their rows.

        Raises
        ------
        RuntimeError
            The model is not trained.
        KeyError
            The label column is missing.
        ValueError
            No labelled cell was held out, or none is in `adata`, or there is no such baseline.
        """
        check_baselines(baselines)
        adata, rows, truth = self._labelled(adata, indices)
        predictions = {_OWN: self._soft(adata, rows)}
        known = [adata] if self.adata is None else [adata, self._adata_or_own(None)]
        train = next((data for data in known if cells_digest(data) == self.training_digest_), None)
        if train is not None:
            predictions |= self._baselines(baselines, train, self.trained_on_, adata, rows, seed=0)
        elif "majority" in baselines:
            shares = pd.Series(self.label_counts_, dtype=float)
            predictions["majority"] = pd.DataFrame([shares / shares.sum()] * len(rows))
        table = {name: figures_of(truth, soft, self.unlabeled_category) for name, soft in predictions.items()}
        return pd.DataFrame(table).T

    def evaluate_per_class(
        self, adata: "AnnData | None" = None, indices: "Sequence[int] | IntArray | None" = None
    ) -> pd.DataFrame:
        """Precision, recall, F1 and support of every label; arguments and errors as for :meth:`evaluate`.

        Returns
        -------
        As :func:`scmpt_scverse.metrics.per_class_metrics`.
        """
        adata, rows, truth = self._labelled(adata, indices)
        return per_class_metrics(truth, decode(self._soft(adata, rows), self.unlabeled_category))

    def cross_validate(
        self,
        adata: "AnnData | None" = None,
        *,
        group_key: str | None = None,
        n_splits: int = 5,
        n_repeats: int = 1,
        baselines: Sequence[str] = DEFAULT_BASELINES,
        modalities_alone: bool = True,
        seed: int = 0,
        **train_kwargs: Any,
    ) -> pd.DataFrame:
        """Train a new head of the same kind on every split, beside its parts and simpler predictors.

        Parameters
        ----------
        adata
            Labelled cells, set up as those of the model; `None` takes the data that the model was made with. The model
            itself need not be trained, and is not changed.
        group_key
            Column of `.obs` with donors, batches or studies; none of them is on both sides of a split. `None` splits by
            cell.
        n_splits, n_repeats, seed
            As in :func:`scmpt_scverse.metrics.cell_splits`.
        baselines
            As in :meth:`evaluate`.
        modalities_alone
            Also train a head on each modality alone, where there are several.
        **train_kwargs
            Options of :meth:`train`, such as `max_epochs`.

        Returns
        -------
        One row a split and predictor: columns `replicate`, `predictor`, then those of :meth:`evaluate`.
        :func:`scmpt_scverse.metrics.replicate_summary` makes means with intervals of it, and
        :func:`scmpt_scverse.metrics.paired_differences` compares two predictors.

        Raises
        ------
        KeyError
            `group_key` or the label column is missing.
        ValueError
            As :meth:`train` and :func:`scmpt_scverse.metrics.cell_splits`; before anything is embedded or trained.

        Notes
        -----
        Embeddings are computed once, since no encoder sees a label. Everything that learns sees the training cells of
        the split alone. As far as cells with few labels go, see :func:`scmpt_scverse.metrics.cell_splits`.

        Examples
        --------
        >>> from scmpt_scverse import SCMPT, datasets, metrics
        >>> adata = datasets.pbmc68k_reduced()
        >>> SCMPT.setup_anndata(adata, labels_key="bulk_labels", obsm_keys={"expression": "X_pca"})
        >>> table = SCMPT(adata, n_hidden=64).cross_validate(n_splits=3, max_epochs=5)
        >>> summary = metrics.replicate_summary(table)
        """
        check_baselines(baselines)
        adata = self._adata_or_own(adata)
        labels_key = self.registry["setup_args"]["labels_key"]
        check_key(labels_key, adata.obs.columns, "adata.obs")
        if group_key is not None:
            check_key(group_key, adata.obs.columns, "adata.obs")
        text = as_text(adata.obs[labels_key], self.unlabeled_category)
        labelled = np.flatnonzero(text != self.unlabeled_category)
        groups = None if group_key is None else adata.obs[group_key].to_numpy()[labelled]
        splits = cell_splits(text[labelled], groups, n_splits=n_splits, n_repeats=n_repeats, seed=seed)
        self._inputs(adata)  # embeds what is missing, once for all splits
        alone = [[name] for name in self._modalities] if modalities_alone and len(self._modalities) > 1 else []
        frames: list[pd.Series] = []
        for replicate, (train_rows, test_rows) in enumerate(splits):
            train, test = adata[labelled[train_rows]].copy(), adata[labelled[test_rows]].copy()
            predictions = {}
            for modalities in (list(self._modalities), *alone):
                head = self._fresh(train, modalities)
                with redirect_stdout(StringIO()):  # scvi-tools prints why training stopped
                    head.train(**{"enable_progress_bar": False, **train_kwargs})
                name = _OWN if len(modalities) == len(self._modalities) else f"{_OWN} ({modalities[0]} alone)"
                predictions[name] = head._soft(test, np.arange(test.n_obs))
                if name == _OWN:
                    every = np.arange(train.n_obs)
                    beside = head._baselines(baselines, train, every, test, np.arange(test.n_obs), seed=seed)
            truth = text[labelled[test_rows]]
            frames.extend(
                figures_of(truth, soft, self.unlabeled_category).rename((replicate, name))
                for name, soft in (predictions | beside).items()
            )
        table = pd.DataFrame(frames)
        table.index = pd.MultiIndex.from_tuples(table.index, names=["replicate", "predictor"])
        return table.reset_index()

    def _labelled(
        self, adata: "AnnData | None", indices: "Sequence[int] | IntArray | None"
    ) -> "tuple[AnnData, IntArray, StrArray]":
        """Cells to compare, and their labels; warns where they were trained on."""
        self._check_if_trained(warn=False)
        adata = self._adata_or_own(adata)
        own = cells_digest(adata) == self.training_digest_
        labels_key = self.registry["setup_args"]["labels_key"]
        check_key(labels_key, adata.obs.columns, "adata.obs")
        if own and indices is None:
            indices = self._held_out()
        rows = rows_of(adata, indices)
        n_trained_on = int(np.isin(rows, self.trained_on_).sum()) if own else 0
        if n_trained_on:
            warnings.warn(
                f"{n_trained_on} of {len(rows)} cells were trained on; figures on them say little about new cells.",
                UserWarning,
                stacklevel=3,
            )
        truth = as_text(adata.obs[labels_key], self.unlabeled_category)[rows]
        is_labelled = truth != self.unlabeled_category
        if not is_labelled.any():
            raise ValueError(
                f"Expected labels in `adata.obs[{labels_key!r}]` to compare with; found none in the {len(rows)} cells."
            )
        return adata, rows[is_labelled], truth[is_labelled]

    def _held_out(self) -> "IntArray":
        for held_out in (self.test_indices, self.validation_indices):
            never_trained_on = np.setdiff1d([] if held_out is None else held_out, self.trained_on_).astype(np.int64)
            if len(never_trained_on):
                return never_trained_on
        raise ValueError(
            "No cell was held out from training. Pass `adata=` with cells that were not trained on, or train with "
            "`train_size` below 1."
        )

    def _soft(self, adata: "AnnData", rows: "IntArray") -> pd.DataFrame:
        return pd.DataFrame(self._probabilities(adata, rows, None), columns=pd.Index(self.labels))

    def _baselines(
        self,
        baselines: Sequence[str],
        train: "AnnData",
        train_rows: "IntArray",
        test: "AnnData",
        test_rows: "IntArray",
        *,
        seed: int,
    ) -> dict[str, pd.DataFrame]:
        """Probabilities by baselines of test cells, learned from the training cells that every encoder can read."""
        setup = self.registry["setup_args"]
        train_inputs, test_inputs = self._inputs(train), self._inputs(test)
        readable = np.all([np.isfinite(values[train_rows]).all(axis=1) for values in train_inputs.values()], axis=0)
        train_rows = train_rows[readable]
        reading = {"layer": setup["layer"], "gene_symbols": setup["gene_symbols"]}
        return baselines_beside(
            baselines,
            {name: values[train_rows] for name, values in train_inputs.items() if isinstance(values, np.ndarray)},
            as_text(train.obs[setup["labels_key"]], self.unlabeled_category)[train_rows],
            {name: values[test_rows] for name, values in test_inputs.items()},
            shared_expression(train, train_rows, test, test_rows, **reading),
            n_test=len(test_rows),
            seed=seed,
        )

    def _fresh(self, train: "AnnData", modalities: Sequence[str], **changes: Any) -> Self:
        """A new model of the same kind over some of the modalities; `changes` are options of the head."""
        setup = dict(self.registry["setup_args"])
        setup.pop("modalities", None)  # cells of a MuData come as an AnnData
        obsm_keys = {name: key for name, key in (setup["obsm_keys"] or {}).items() if name in modalities}
        model_class: Any = type(self)
        train.uns.pop("_scvi_uuid", None)  # of the data that it is a copy of, which stay registered
        model_class.setup_anndata(train, **{**setup, "obsm_keys": obsm_keys or None})
        options = dict(self.init_params_["non_kwargs"])
        options["encoders"] = {name: value for name, value in options["encoders"].items() if name in modalities}
        options.pop("registry", None)
        fresh: Self = model_class(train, **{**options, **changes})
        fresh._encoders = {name: encoder for name, encoder in self._encoders.items() if name in modalities}
        return fresh
