"""Which cells of a SOMA experiment a query finds, and which of them are taken; no expression is read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_key, check_positive, check_seed, type_name
from scmpt_scverse._labels import capped, labels_or, reads_missing
from scmpt_scverse.datasets._soma import check_filter

if TYPE_CHECKING:
    from scmpt_scverse._types import IntArray

#: In the Census: whether this is the one copy of a cell that several studies have; expressed genes of a cell.
_PRIMARY, _NNZ = "is_primary_data", "nnz"
#: Number of a cell or gene in an experiment.
JOINID = "soma_joinid"


@dataclass(frozen=True)
class CellQuery:
    """Which cells; the arguments of :func:`census_labels`, checked."""

    obs_filter: str | None
    source: str
    organism: str
    labels_key: str
    max_cells_per_label: int | None
    batch_key: str | None
    primary_only: bool
    seed: int

    def __post_init__(self) -> None:
        for argument in ("obs_filter", "batch_key"):
            value = getattr(self, argument)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"Expected text or None as `{argument}`; found {type_name(value)}.")
        check_seed(self.seed)
        if self.max_cells_per_label is not None:
            check_positive(self.max_cells_per_label, "max_cells_per_label")


@dataclass(frozen=True)
class ChosenCells:
    """Cells of a query.

    Attributes
    ----------
    rows
        Their numbers in the experiment, ascending, shape `(n_obs,)`.
    labels
        One row per label; see :func:`census_labels`.
    n_values
        Expressed genes of all of them together; `None` where the experiment does not tell.
    """

    rows: "IntArray"
    labels: pd.DataFrame
    n_values: int | None


def chosen_cells(obs: Any, query: CellQuery) -> ChosenCells:
    """Find the cells of a query in the table of cells, of which only the columns that decide are read."""
    columns = list(obs.schema.names)
    check_key(query.labels_key, columns, "experiment.obs")
    is_capped = query.max_cells_per_label is not None
    if is_capped and query.batch_key is not None:
        check_key(query.batch_key, columns, "experiment.obs", hint=" Pass `batch_key=None` to draw from all alike.")
    conditions = []
    if query.obs_filter is not None:
        check_filter(obs, query.obs_filter)
        conditions.append(f"({query.obs_filter.strip()})")
    if query.primary_only and _PRIMARY in columns:
        conditions.append(f"{_PRIMARY} == True")
    ids = f"{query.labels_key}_ontology_term_id"
    batch = query.batch_key if is_capped else None
    read = [JOINID, query.labels_key, *(name for name in (batch, _NNZ, ids) if name in columns)]
    table = obs.read(value_filter=" and ".join(conditions) or None, column_names=list(dict.fromkeys(read))).concat()
    found = table.to_pandas().sort_values(JOINID, ignore_index=True)
    column = found[query.labels_key].astype("category")
    names = labels_or(column.cat.categories, "")
    is_label = np.array([bool(name) and not reads_missing(name) for name in names], dtype=bool)
    codes = column.cat.codes.to_numpy().astype(np.int64)
    usable = np.flatnonzero((codes >= 0) & np.append(is_label, False)[codes])
    if not len(usable):
        _raise_empty(query, len(found))
    taken: IntArray = usable
    if query.max_cells_per_label is not None:
        batches = None if batch is None else found[batch].astype("category").cat.codes.to_numpy()
        taken = capped(codes, usable, query.max_cells_per_label, batches=batches, seed=query.seed)
    counts = pd.DataFrame(
        {
            "n_found": np.bincount(codes[codes >= 0], minlength=len(names)),
            "n_cells": np.bincount(codes[taken], minlength=len(names)),
        },
        index=pd.Index(names, name=query.labels_key),
    )
    if ids in columns:
        of_label = found.groupby(query.labels_key, observed=True)[ids].first()
        counts["ontology_id"] = labels_or(of_label.reindex(column.cat.categories).astype(object), "")
    counts = counts[counts["n_found"] > 0].sort_values("n_found", ascending=False, kind="stable")
    n_values = int(found[_NNZ].to_numpy()[taken].sum()) if _NNZ in columns else None
    return ChosenCells(found[JOINID].to_numpy()[taken], counts, n_values)


def _raise_empty(query: CellQuery, n_found: int) -> None:
    what = "cells with a label" if n_found else "cells"
    found = f"{n_found} cells without one in {query.labels_key!r}" if n_found else "none"
    raise ValueError(
        f"Expected {what} that pass {query.obs_filter!r} in {query.source!r}; found {found}. Change the filter"
        f"{', or pass `primary_only=False`' if query.primary_only else ''}."
    )
