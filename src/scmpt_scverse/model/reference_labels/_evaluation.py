"""How right a trained model is, on cells that it was not trained on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_key, list_some, rows_of, warn_user
from scmpt_scverse._labels import labels_or, warn_of_doubtful_labels
from scmpt_scverse.evaluation import (
    DEFAULT_BASELINES,
    BaselineCells,
    check_baselines,
    compare_baselines,
    decode,
    read_expression,
    results_of,
)
from scmpt_scverse.metrics import per_class_metrics
from scmpt_scverse.modalities import cell_keys, content_keys

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, IntArray, StrArray
    from scmpt_scverse.modalities import Modalities
    from scmpt_scverse.model.reference_labels._predicts_labels import PredictsLabelsMixin
    from scmpt_scverse.pp import Organism


def evaluate(
    self: "PredictsLabelsMixin",
    adata: "AnnData | None" = None,
    indices: "Sequence[int] | IntArray | None" = None,
    *,
    baselines: Sequence[str] = DEFAULT_BASELINES,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: "Organism | None" = None,
) -> pd.DataFrame:
    """Compare the model with simpler predictors that were trained on the same cells.

    Parameters
    ----------
    adata
        Cells with the label column; `None` takes the data that the model was made with.
    indices
        Row numbers or a mask. `None` takes all cells of `adata`; for the data that the model was trained on, which
        it knows by names and content of the cells, those held out from training (the test cells if there are any,
        else the validation cells, on which early stopping looked).
    baselines
        Names as in :func:`scmpt_scverse.evaluation.baseline_probabilities`. `"knn"` and `"logistic_regression"`
        read the embedding of each modality, the others expression. They are trained for this call, so with many
        cells `("majority",)` is faster.
    layer, gene_symbols, organism
        As for :meth:`predict`.

    Returns
    -------
    One row per predictor: `"scmpt"`, then the baselines, with the modality in parentheses where there is one.
    Columns as in :func:`scmpt_scverse.metrics.classification_metrics`, then `ece`, `brier` and `nll` as in
    :func:`scmpt_scverse.metrics.calibration_metrics`. Cells without a label are left out; a cell whose label
    the model does not know, or that it leaves unlabelled, counts as wrong; warnings name labels that the model does
    not know, and those that read like missing values, or differ from labels of the model only in how they are spelled.

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
    self._check_if_trained(warn=False)
    check_baselines(baselines)
    adata, modalities = self._query(adata, layer, gene_symbols, organism)
    rows, truth = _labelled(self, adata, modalities, indices)
    predictions = {self._own_name: _soft(self, adata, modalities, rows)}
    train, reads_train, train_rows = adata, modalities, self._trained_rows(adata, modalities)
    own = self._training_cells()
    # Part of the training cells is not what the model learned from.
    if len(train_rows) < len(self.record.rows):
        train_rows = train_rows[:0]
    if not train_rows.size and own is not None:
        train, reads_train, train_rows = own, self.modalities, self._trained_rows(own, self.modalities)
    if train_rows.size:
        labels = labels_or(train.obs[self.labels_key], self.unlabeled_category)[train_rows]
        both = baseline_cells(reads_train, train, train_rows), baseline_cells(modalities, adata, rows)
        predictions |= compare_baselines(baselines, both[0], labels, both[1], seed=0)
    elif "majority" in baselines:
        shares = pd.Series(dict(self.record.label_counts), dtype=float)
        predictions["majority"] = pd.DataFrame([shares / shares.sum()] * len(rows))
    table = {name: results_of(truth, soft, self.unlabeled_category) for name, soft in predictions.items()}
    return pd.DataFrame(table).T


def evaluate_per_class(
    self: "PredictsLabelsMixin",
    adata: "AnnData | None" = None,
    indices: "Sequence[int] | IntArray | None" = None,
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: "Organism | None" = None,
) -> pd.DataFrame:
    """Precision, recall, F1 and support of every label; arguments and errors as for :meth:`evaluate`.

    Returns
    -------
    One row per label: `precision`, `recall`, `f1` and `support`.
    """
    self._check_if_trained(warn=False)
    adata, modalities = self._query(adata, layer, gene_symbols, organism)
    rows, truth = _labelled(self, adata, modalities, indices)
    return per_class_metrics(truth, decode(_soft(self, adata, modalities, rows), self.unlabeled_category))


def is_training_cell(
    self: "PredictsLabelsMixin",
    adata: "AnnData | None" = None,
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: "Organism | None" = None,
) -> "BoolArray":
    """Which cells the model was trained on, shape `(n_obs,)`.

    Cells are recognised by their names and what they express, in any order and among any others; arguments as for
    :meth:`predict`.
    """
    adata, modalities = self._query(adata, layer, gene_symbols, organism)
    is_training_cell = np.zeros(adata.n_obs, dtype=bool)
    is_training_cell[self._trained_rows(adata, modalities)] = True
    return is_training_cell


def baseline_cells(modalities: "Modalities", adata: "AnnData", rows: "IntArray | None" = None) -> BaselineCells:
    """Some cells as baselines read them."""
    rows = np.arange(adata.n_obs) if rows is None else rows
    inputs = modalities.read(adata, rows)
    embeddings = {name: values for name, values in inputs.items() if isinstance(values, np.ndarray)}
    return BaselineCells(len(rows), embeddings, read_expression(lambda: modalities.source.reader(adata), rows))


def _labelled(
    model: "PredictsLabelsMixin",
    adata: "AnnData",
    modalities: "Modalities",
    indices: "Sequence[int] | IntArray | None",
) -> "tuple[IntArray, StrArray]":
    """Rows of cells to compare, and their labels; warns where they were trained on."""
    check_key(model.labels_key, adata.obs.columns, "adata.obs")
    keys = cell_keys(adata, modalities.source)
    trained_on = model.record.rows_in(keys)
    rows = _held_out(model) if model.record.is_of(keys) and indices is None else rows_of(adata, indices)
    n_trained_on = int(np.isin(rows, trained_on).sum())
    if n_trained_on:
        warn_user(f"{n_trained_on} of {len(rows)} cells were trained on; metrics on them say little about new cells.")
    elif n_renamed := model.record.n_renamed(content_keys(adata, modalities.source)[rows]):
        warn_user(
            f"{n_renamed} of {len(rows)} cells express exactly what cells do that were trained on, under other names; "
            "metrics on them say little about new cells."
        )
    elif model.batch_key in adata.obs and not trained_on.size:
        _warn_of_batches(labels_or(adata.obs[model.batch_key], "")[rows], model.record.batches)
    truth = labels_or(adata.obs[model.labels_key], model._unlabeled_names)[rows]
    where = f"adata.obs[{model.labels_key!r}]"
    warn_of_doubtful_labels(truth, where, unlabeled=model._unlabeled_names, known=model.labels)
    is_labelled = truth != model.unlabeled_category
    if not is_labelled.any():
        raise ValueError(
            f"Expected labels in `adata.obs[{model.labels_key!r}]` to compare with; found none in the {len(rows)} "
            "cells."
        )
    unknown = sorted(set(truth[is_labelled]) - set(model.labels))
    if unknown:
        warn_user(
            f"{int(np.isin(truth, unknown).sum())} of {int(is_labelled.sum())} labelled cells have labels in `{where}` "
            f"that the model does not know, such as {list_some(unknown, 3)}, so they count as wrong. Where these are "
            f"other names of {list_some(model.labels, 3)}, rename them first."
        )
    return rows[is_labelled], truth[is_labelled]


def _warn_of_batches(batches: "StrArray", trained_on: Sequence[str]) -> None:
    known = sorted(set(batches) & set(trained_on) - {""})
    if known:
        n_cells = int(np.isin(batches, known).sum())
        warn_user(
            f"{n_cells} of {len(batches)} cells come from batches that were trained on, {list_some(known, 3)}; metrics "
            "on them say little about new batches."
        )


def _held_out(model: "PredictsLabelsMixin") -> "IntArray":
    for held_out in (model.test_indices, model.validation_indices):
        never_trained_on = np.setdiff1d([] if held_out is None else held_out, model.record.rows).astype(np.int64)
        if len(never_trained_on):
            return never_trained_on
    raise ValueError(
        "No cell was held out from training. Pass `adata=` with cells that were not trained on, call "
        "`cross_validate`, or train with `train_size` below 1."
    )


def _soft(model: "PredictsLabelsMixin", adata: "AnnData", modalities: "Modalities", rows: "IntArray") -> pd.DataFrame:
    return pd.DataFrame(model._probabilities(adata, modalities, rows), columns=pd.Index(model.labels))
