"""How right models are on cells that they were not trained on: the model itself, and new ones of its kind."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_key, list_some, rows_of, warn_user
from scmpt_scverse._labels import DOUBTFUL, labels_or, warn_of_doubtful_labels
from scmpt_scverse.evaluation import (
    DEFAULT_GRID,
    BaselineCells,
    cell_splits,
    check_baselines,
    checked_grid,
    compare_baselines,
    cross_validate,
    decode,
    predicted_out_of_fold,
    read_expression,
    results_of,
    search,
    types_apart,
)
from scmpt_scverse.metrics import per_class_metrics
from scmpt_scverse.modalities import COUNTS, cell_keys, content_keys
from scmpt_scverse.pp import NOT_IN_REFERENCE

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray
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


@dataclass(frozen=True)
class ModelKind:
    """How untrained models of one kind are made: on other cells, of fewer modalities, with another head.

    Attributes
    ----------
    model_class
        Their class.
    setup
        Arguments of its `setup_anndata`.
    options
        Those of the class.
    unlabeled
        Label of cells about which they say nothing.
    """

    model_class: Any
    setup: Mapping[str, Any]
    options: Mapping[str, Any]
    unlabeled: str

    def untrained(
        self, cells: "AnnData", modalities: "Modalities", names: Sequence[str] | None = None, **changes: Any
    ) -> Any:
        """A model of some modalities of those that read the cells, or of all.

        `changes` are options of the head.
        """
        names = modalities.names if names is None else names
        modalities.source.check(cells)
        setup = {**self.setup, **modalities.source.arguments}
        setup.pop("modalities", None)  # cells of a MuData come as an AnnData
        obsm_keys = {name: key for name, key in (setup["obsm_keys"] or {}).items() if name in names}
        # Expression itself is as wide as these cells have genes, or the panel that they are read on.
        described = {
            name: {"encoder": COUNTS, **value["options"]} if value["encoder"] == COUNTS else value
            for name, value in {**self.options, **changes}["encoders"].items()
            if name in names
        }
        cells.uns.pop("_scvi_uuid", None)  # of the data that it is a copy of, which stay registered
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=DOUBTFUL)  # whoever has all cells warned of all labels
            self.model_class.setup_anndata(cells, **{**setup, "obsm_keys": obsm_keys or None})
        options = {**self.options, **changes, "encoders": described}
        options.pop("preset", None)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=NOT_IN_REFERENCE)  # the model itself warned of that
            new = self.model_class(cells, **options)
        new.modalities.use(modalities.built)
        if modalities.is_quiet:
            new.modalities = new.modalities.quiet()
        return new


def truth_and_groups(
    adata: "AnnData", labels_key: str, group_key: str | None, unlabeled: Sequence[str], *, warn: bool
) -> "tuple[StrArray, FloatArray | None]":
    """Label of each cell, and the group that it belongs to, where cells are not split one by one.

    `warn` of doubtful labels.
    """
    for key in (labels_key, *([] if group_key is None else [group_key])):
        check_key(key, adata.obs.columns, "adata.obs")
    if warn:
        where = f"adata.obs[{labels_key!r}]"
        warn_of_doubtful_labels(labels_or(adata.obs[labels_key], ""), where, unlabeled=unlabeled)
    truth = labels_or(adata.obs[labels_key], unlabeled)
    return truth, None if group_key is None else adata.obs[group_key].to_numpy()


def cross_validated(
    kind: ModelKind,
    adata: "AnnData",
    modalities: "Modalities",
    truth: "StrArray",
    groups: "FloatArray | None",
    *,
    n_splits: int,
    n_repeats: int,
    seed: int,
    **options: Any,
) -> pd.DataFrame:
    """See :meth:`scmpt_scverse.SCMPT.cross_validate`; `options` of :func:`scmpt_scverse.evaluation.cross_validate`."""
    labelled = np.flatnonzero(truth != kind.unlabeled)
    groups = None if groups is None else groups[labelled]
    splits = cell_splits(truth[labelled], groups, n_splits=n_splits, n_repeats=n_repeats, seed=seed)
    modalities.read(adata)  # computes missing embeddings, once for all splits
    quiet = modalities.quiet()  # it has warned of cells that cannot be read
    return cross_validate(
        lambda cells, names: kind.untrained(cells, quiet, names),
        lambda cells: baseline_cells(quiet, cells),
        adata[labelled],
        truth[labelled],
        splits,
        modalities.names,
        unlabeled=kind.unlabeled,
        seed=seed,
        **options,
    )


def panel_advice(
    kind: ModelKind,
    cells: "AnnData",
    modalities: "Modalities",
    panel: "StrArray",
    truth: "StrArray",
    groups: "FloatArray | None",
    *,
    n_splits: int,
    seed: int,
) -> "pd.DataFrame":
    """See :meth:`scmpt_scverse.SCMPT.advise_panel`; of labelled cells, in whose `.obsm` embeddings are written."""
    names = [*modalities.of_encoders, *modalities.of_genes]
    if not names:
        raise ValueError(
            "Expected a modality that reads genes; found only arrays that you brought, which no panel changes. Pass "
            "`encoders=` or `preset=` to the model."
        )
    splits = cell_splits(truth, groups, n_splits=n_splits, seed=seed)

    def predicted(genes: "list[str] | None") -> "StrArray":
        options = {"fusion": "stacked", "genes": genes}
        whole = kind.untrained(cells, modalities, names, **options)
        whole.embed(progress=False)  # replaces embeddings of other genes
        quiet = whole.modalities.quiet()
        return predicted_out_of_fold(lambda some: kind.untrained(some, quiet, names, **options), cells, splits)

    return types_apart(truth, {"": predicted(panel.tolist()), "_all_genes": predicted(None)})


def checked_search(
    grid: Mapping[str, Sequence[Any]] | None, fusion: str, train_options: dict[str, Any]
) -> dict[str, list[Any]]:
    """Settings to try, of a model with such a head; `train_options` then leave cells to compare on."""
    settings = checked_grid(DEFAULT_GRID if grid is None else grid)
    if fusion == "stacked" and "fusion" not in settings:
        raise ValueError("A stacked head finds its settings itself. Call `train`, or pass `fusion` in the grid.")
    if train_options.setdefault("train_size", 0.9) == 1:
        raise ValueError("Expected validation cells to compare on; found `train_size=1`. Pass less, such as 0.9.")
    return settings


def tuned(
    kind: ModelKind,
    adata: "AnnData",
    modalities: "Modalities",
    truth: "StrArray",
    settings: Mapping[str, Sequence[Any]],
    **train_options: Any,
) -> tuple[pd.DataFrame, Any]:
    """The table of :meth:`scmpt_scverse.SCMPT.tune`, and the model of its first row."""
    modalities.read(adata)  # computes missing embeddings, once for all
    cells = adata[np.arange(adata.n_obs)].copy()
    return search(lambda **options: kind.untrained(cells, modalities, **options), truth, settings, **train_options)


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
