"""New models of the kind of one: trained on parts of data, to estimate how right they are, or for other settings."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_key, warn_user
from scmpt_scverse._labels import DOUBTFUL, labels_or, warn_of_doubtful_labels
from scmpt_scverse.evaluation import (
    DEFAULT_GRID,
    cell_splits,
    checked_grid,
    cross_validate,
    predicted_out_of_fold,
    search,
    types_apart,
)
from scmpt_scverse.modalities import COUNTS, content_keys
from scmpt_scverse.model.reference_labels._evaluation import baseline_cells
from scmpt_scverse.module import fusion_name
from scmpt_scverse.pp import NOT_IN_REFERENCE

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.modalities import Modalities


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
    _warn_of_copies(content_keys(adata, modalities.source)[labelled], splits)
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
    names = [*modalities.of_encoders, *modalities.of_genes]  # a panel leaves genes of other modalities as they are
    if not names:
        raise ValueError(
            "Expected a modality that reads genes; found only arrays that you brought, which no panel changes. Pass "
            "`encoders=` or `preset=` to the model."
        )
    splits = cell_splits(truth, groups, n_splits=n_splits, seed=seed)
    _warn_of_copies(content_keys(cells, modalities.source), splits)

    def predicted(genes: "list[str] | None") -> "StrArray":
        options = {"fusion": "stacked", "genes": genes}
        whole = kind.untrained(cells, modalities, names, **options)
        whole.embed(progress=False)  # replaces embeddings of other genes
        quiet = whole.modalities.quiet()
        return predicted_out_of_fold(lambda some: kind.untrained(some, quiet, names, **options), cells, splits)

    return types_apart(truth, {"": predicted(panel.tolist()), "_all_genes": predicted(None)})


def _warn_of_copies(contents: "IntArray", splits: "Sequence[tuple[IntArray, IntArray]]") -> None:
    """Warn of cells that are tested although a training cell expresses exactly the same, whatever its name."""
    is_copy = np.zeros(len(contents), dtype=bool)
    for train, test in splits:
        is_copy[test] |= np.isin(contents[test], contents[train]) & (contents[test] != 0)
    if is_copy.any():
        warn_user(
            f"{int(is_copy.sum())} of {len(contents)} cells are copies: they express exactly what a cell does that is "
            "trained on while they are tested, so metrics are too good. Keep one cell of each."
        )


def checked_search(
    kind: ModelKind, grid: Mapping[str, Sequence[Any]] | None, train_options: dict[str, Any]
) -> dict[str, list[Any]]:
    """Settings to try, of models of a kind; `train_options` then leave cells to compare on."""
    settings = checked_grid(DEFAULT_GRID if grid is None else grid)
    if fusion_name(kind.options["fusion"]) == "stacked" and "fusion" not in settings:
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
