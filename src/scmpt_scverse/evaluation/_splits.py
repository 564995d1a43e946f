"""Which cells are for training and which for testing: by cell, or with donors, batches or studies kept whole."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold, StratifiedKFold

from scmpt_scverse._checks import check_no_cells, check_positive, check_same_cells, check_seed, list_some
from scmpt_scverse._labels import checked_labels, labels_or, warn_of_doubtful_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import IntArray, StrArray

#: Number of seeds that are tried to find a repeat that shares no test set with an earlier one.
_N_TRIES = 100
#: Smallest share of a group's cells that is used to find another division of the groups; it falls with every try.
_LEAST_SHARE = 0.5


def cell_splits(
    labels: "ArrayLike",
    groups: "ArrayLike | None" = None,
    *,
    n_splits: int = 5,
    n_repeats: int = 1,
    seed: int = 0,
) -> "list[tuple[IntArray, IntArray]]":
    """Splits for cross-validation, with every label in proportion.

    Parameters
    ----------
    labels
        Label of each cell, shape `(n_obs,)`.
    groups
        Donor, batch, sample or study of each cell; cells of one group are never on both sides. Pass them
        where they are known: cells of one donor are more alike than those of two, so a split by cell is too
        optimistic. `None` splits by cell.
    n_splits
        Folds; every cell is tested once per repeat, except as the notes say. As many folds as groups leave out one
        group at a time.
    n_repeats
        Number of times that all cells are split, each time differently: no test set occurs twice.
    seed
        Seed of the first repeat; the next ones take the next seeds.

    Returns
    -------
    `(train, test)` row numbers, ascending, of `n_splits * n_repeats` splits.

    Raises
    ------
    ValueError
        A label or group is missing, lengths differ, there is only one label, no label has `n_splits` cells, there are
        fewer groups than folds, or too few groups or cells for so many repeats; or a number is out of range.

    Warns
    -----
    UserWarning
        Groups read like missing values, or differ only in how they are spelled: they may be one group on both sides.

    Notes
    -----
    By cell, a label with fewer cells than folds cannot be tested in each fold: its cells are training cells in every
    split and are never tested. By group, groups stay whole whatever labels they hold, so a label that occurs in one
    group only is tested without having been trained on, as it would be for a new donor. With seed 0, groups are divided
    as evenly as :class:`sklearn.model_selection.StratifiedGroupKFold` can, which hardly depends on chance. With other
    seeds, it sees a random part of each group's cells, and so finds other divisions that are nearly as even.

    Examples
    --------
    >>> from scmpt_scverse import evaluation
    >>> [test.tolist() for _, test in evaluation.cell_splits(list("aabb"), groups=[1, 2, 1, 2], n_splits=2)]
    [[0, 2], [1, 3]]
    """
    for value, argument in ((n_splits, "n_splits"), (n_repeats, "n_repeats")):
        check_positive(value, argument)
    if n_splits < 2:
        raise ValueError("`n_splits` must be at least 2, so that some cells train and others test; found 1.")
    check_seed(seed)
    text = checked_labels(labels, "labels")
    names, counts = np.unique(text, return_counts=True)
    if len(names) < 2:
        raise ValueError(f"Expected at least two labels to tell apart; found {list_some(names)}. Pass other labels.")
    if groups is not None:
        codes, n_groups = _group_codes(groups, len(text))
        check_same_cells(labels, groups, ("labels", "groups"))
        if n_groups < n_splits:
            raise ValueError(
                f"Expected at least {n_splits} groups, one for each fold; found {n_groups}. Lower `n_splits` to "
                f"{n_groups} or less, or split by cell where cells are independent."
            )
    elif counts.max() < n_splits:
        raise ValueError(
            f"Expected a label on at least {n_splits} cells; the most frequent is on {counts.max()}. Lower `n_splits`."
        )
    tests: list[IntArray] = []
    for repeat in range(n_repeats):
        # Seeds of the other repeats are left to them.
        for number, candidate in enumerate(range(seed + repeat, seed + repeat + n_repeats * _N_TRIES, n_repeats)):
            if groups is None:
                folds = _by_cell(text, n_splits, candidate)
            else:
                least_share = _LEAST_SHARE * (1 - number / _N_TRIES)
                folds = _by_group(text, codes, n_splits, candidate, least_share=least_share)
            if all(map(len, folds)) and not {test.tobytes() for test in folds} & {test.tobytes() for test in tests}:
                tests.extend(folds)
                break
        else:
            raise ValueError(_why_none(n_splits, n_repeats, repeat, None if groups is None else n_groups))
    return [(np.setdiff1d(np.arange(len(text)), test), test) for test in tests]


def _why_none(n_splits: int, n_repeats: int, n_found: int, n_groups: int | None) -> str:
    """The error message where cells cannot be divided, or not once more."""
    if n_found:
        what = "cells" if n_groups is None else f"{n_groups} groups"
        return (
            f"Expected {n_repeats} repeats that share no test set; found {n_found}: no other way to divide the {what} "
            f"into {n_splits} folds with every label in proportion. Lower `n_repeats` to {n_found}, or change "
            "`n_splits`."
        )
    return (
        f"The {n_groups} groups are too uneven for {n_splits} folds with every label in proportion: one would be "
        f"empty. Lower `n_splits`, or pass {n_groups} to leave out one group at a time."
    )


def _by_cell(labels: "StrArray", n_splits: int, seed: int) -> "list[IntArray]":
    """Test cells of each fold, without those of rare labels."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    frequent = np.flatnonzero(counts[inverse] >= n_splits)
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
    return [frequent[test] for _, test in folds.split(frequent, inverse[frequent])]


def _by_group(
    labels: "StrArray", groups: "IntArray", n_splits: int, seed: int, *, least_share: float
) -> "list[IntArray]":
    """Test cells of each fold; a fold may be empty."""
    n_groups = int(groups.max()) + 1
    if n_splits == n_groups:
        return [test for _, test in LeaveOneGroupOut().split(labels, labels, groups)]
    rows = _part_of_each_group(groups, seed, least_share) if seed else np.arange(len(labels))
    # scikit-learn refuses, or warns of, labels with fewer cells than folds; here they count as the most frequent label.
    _, inverse, counts = np.unique(labels[rows], return_inverse=True, return_counts=True)
    if n_splits > len(rows):
        return [np.empty(0, dtype=np.int64)]
    balanced = np.where(counts[inverse] < n_splits, counts.argmax(), inverse)
    folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    held_out = [groups[rows[test]] for _, test in folds.split(balanced, balanced, groups[rows])]
    return [np.flatnonzero(np.isin(groups, some)) for some in held_out]


def _part_of_each_group(groups: "IntArray", seed: int, least_share: float) -> "IntArray":
    """Rows of a random part of every group's cells; the share differs between groups."""
    rng = np.random.default_rng(seed)
    sizes = np.bincount(groups)
    kept = np.ceil(rng.uniform(least_share, 1, size=len(sizes)) * sizes)
    order = rng.permutation(len(groups))
    places = pd.Series(order).groupby(groups[order]).cumcount().to_numpy()  # of a cell within its group
    return np.sort(order[places < kept[groups[order]]])


def _group_codes(groups: "ArrayLike", n_obs: int) -> "tuple[IntArray, int]":
    check_no_cells(groups, "groups")
    if np.shape(groups) != (n_obs,):
        raise ValueError(
            f"Expected a group for each of {n_obs} cells; found shape {np.shape(groups)}. Pass one column as `groups`."
        )
    texts = labels_or(groups, "")
    n_missing = int((texts == "").sum())
    if n_missing:
        raise ValueError(
            f"Expected a group for every cell in `groups`; found {n_missing} missing of {n_obs}. Leave these cells "
            "out, or give them a group of their own."
        )
    warn_of_doubtful_labels(texts, "groups")
    codes, names = pd.factorize(texts)
    return codes, len(names)
