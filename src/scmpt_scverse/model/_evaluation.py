"""How right a model is on cells that it was not trained on, beside simple predictors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_key, list_some, warn_user
from scmpt_scverse._labels import labels_or, warn_of_doubtful_labels
from scmpt_scverse.evaluation import (
    BaselineCells,
    check_baselines,
    compare_baselines,
    decode,
    read_expression,
    results_of,
)
from scmpt_scverse.metrics import per_class_metrics
from scmpt_scverse.modalities import cell_keys, content_keys
from scmpt_scverse.model._predictions import rows_of

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import IntArray, StrArray
    from scmpt_scverse.modalities import Modalities
    from scmpt_scverse.model._predicts_labels import PredictsLabelsMixin


def evaluate(
    model: "PredictsLabelsMixin",
    adata: "AnnData",
    modalities: "Modalities",
    indices: "Sequence[int] | IntArray | None",
    baselines: Sequence[str],
) -> pd.DataFrame:
    """See :meth:`scmpt_scverse.SCMPT.evaluate`; `modalities` read the cells."""
    check_baselines(baselines)
    rows, truth = _labelled(model, adata, modalities, indices)
    predictions = {model._own_name: _soft(model, adata, modalities, rows)}
    train, reads_train, train_rows = adata, modalities, model._trained_rows(adata, modalities)
    own = model._training_cells()
    # Part of the training cells is not what the model learned from.
    if len(train_rows) < len(model.record.rows):
        train_rows = train_rows[:0]
    if not train_rows.size and own is not None:
        train, reads_train, train_rows = own, model.modalities, model._trained_rows(own, model.modalities)
    if train_rows.size:
        labels = labels_or(train.obs[model.labels_key], model.unlabeled_category)[train_rows]
        both = baseline_cells(reads_train, train, train_rows), baseline_cells(modalities, adata, rows)
        predictions |= compare_baselines(baselines, both[0], labels, both[1], seed=0)
    elif "majority" in baselines:
        shares = pd.Series(dict(model.record.label_counts), dtype=float)
        predictions["majority"] = pd.DataFrame([shares / shares.sum()] * len(rows))
    table = {name: results_of(truth, soft, model.unlabeled_category) for name, soft in predictions.items()}
    return pd.DataFrame(table).T


def evaluate_per_class(
    model: "PredictsLabelsMixin",
    adata: "AnnData",
    modalities: "Modalities",
    indices: "Sequence[int] | IntArray | None",
) -> pd.DataFrame:
    """See :meth:`scmpt_scverse.SCMPT.evaluate_per_class`; `modalities` read the cells."""
    rows, truth = _labelled(model, adata, modalities, indices)
    return per_class_metrics(truth, decode(_soft(model, adata, modalities, rows), model.unlabeled_category))


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
