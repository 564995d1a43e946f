"""Which cells are explained: one by its name, or some of each group."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse._checks import check_key, list_some, warn_user
from scmpt_scverse._labels import distinct_labels, label_text, labels_or
from scmpt_scverse._storable import check_groups_fit

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, IntArray, StrArray


def checked_groupby(adata: "AnnData", groupby: str | None, written: str, labels_key: str) -> str:
    """The column of groups: what was asked for, else the labels that `annotate` wrote, else the column of labels.

    Raises
    ------
    KeyError
        It is not there.
    """
    hint = ""
    if groupby is None:
        groupby = written if written in adata.obs else labels_key
        hint = " Run `model.annotate(adata)` first, or pass `groupby=`."
    check_key(groupby, adata.obs.columns, "adata.obs", hint=hint)
    return groupby


def wanted_groups(
    adata: "AnnData", groupby: str, groups: Sequence[str] | None, unlabeled: Sequence[str]
) -> "tuple[StrArray, list[str]]":
    """Group of each cell, shape `(n_obs,)`, and the groups to explain: those asked for, or all but `unlabeled`.

    Raises
    ------
    ValueError
        No cell is in a group, or there are more groups than a file can hold.
    """
    column = labels_or(adata.obs[groupby], unlabeled)
    names = distinct_labels(adata.obs[groupby])
    present = [group for group in names if (column == group).any() and group != unlabeled[0]]
    wanted = present
    if groups is not None:
        wanted = [label_text(group) for group in ([groups] if isinstance(groups, str) else groups)]
        missing = [group for group in wanted if not (column == group).any()]
        if missing:
            raise ValueError(
                f"No cell of `adata.obs[{groupby!r}]` is in the group {list_some(missing)}; "
                f"groups are {list_some(present)}."
            )
    check_groups_fit(wanted)
    return column, wanted


def sample_cells(
    column: "StrArray", groups: Sequence[str], is_usable: "BoolArray", n_cells: int | None, seed: int
) -> "dict[str, IntArray]":
    """Row numbers of at most `n_cells` cells of each group, ascending; groups without a readable cell are skipped."""
    generator = np.random.default_rng(seed)
    chosen: dict[str, IntArray] = {}
    for group in groups:
        cells = np.flatnonzero((column == group) & is_usable)
        if n_cells is not None and len(cells) > n_cells:
            cells = np.sort(generator.choice(cells, n_cells, replace=False))
        chosen[group] = cells
    empty = [group for group, cells in chosen.items() if not len(cells)]
    if len(empty) == len(chosen):
        raise ValueError(f"None of the groups {list_some(groups)} has a cell that the encoders can read.")
    if empty:
        warn_user(f"The groups {list_some(empty)} are skipped: the encoders can read none of their cells.")
    return {group: cells for group, cells in chosen.items() if len(cells)}


def row_of_cell(adata: "AnnData", obs_name: str) -> int:
    """The row of the one cell of a name; `KeyError` for none, `ValueError` for several."""
    rows = np.flatnonzero(adata.obs_names == obs_name)
    if not len(rows):
        check_key(obs_name, adata.obs_names, "adata.obs_names")
    if len(rows) > 1:
        raise ValueError(
            f"Expected one cell called {obs_name!r}; found {len(rows)}. Make names unique with "
            "`adata.obs_names_make_unique()`."
        )
    return int(rows[0])


def one_cell(adata: "AnnData", obs_name: str) -> "AnnData":
    """The cell of a name, as data of their own."""
    cell = adata[[row_of_cell(adata, obs_name)]]
    return cell.to_memory() if cell.isbacked else cell.copy()
