"""Which cells train and which test: by cell, or with donors, batches or studies kept whole."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold, StratifiedKFold

from scmpt_scverse._checks import check_positive, list_some
from scmpt_scverse._labels import checked_labels, labels_or

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

    from scmpt_scverse._types import IntArray, StrArray


def cell_splits(
    labels: "ArrayLike",
    groups: "ArrayLike | None" = None,
    *,
    n_splits: int = 5,
    n_repeats: int = 1,
    seed: int = 0,
) -> "list[tuple[IntArray, IntArray]]":
    """Splits of a cross-validation, every label in proportion.

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
        Number of times that the cells are split again.
    seed
        Seed of the first repeat; the next ones take the next seeds.

    Returns
    -------
    `(train, test)` row numbers, ascending, of `n_splits * n_repeats` splits.

    Raises
    ------
    ValueError
        A label or group is missing, lengths differ, there is one label only, no label is on `n_splits` cells, or there
        are fewer groups than folds.

    Notes
    -----
    By cell, a label on fewer cells than folds cannot be tested in each fold: its cells train in every split and are
    never tested. By group, groups stay whole whatever labels they hold, so a label of one group only is tested without
    having been trained on, as it would be for a new donor.

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
    text = checked_labels(labels, "labels")
    names, counts = np.unique(text, return_counts=True)
    if len(names) < 2:
        raise ValueError(f"Expected at least two labels to tell apart; found {list_some(names)}. Pass other labels.")
    if groups is not None:
        codes, n_groups = _group_codes(groups, len(text))
        if n_groups < n_splits:
            raise ValueError(
                f"Expected at least {n_splits} groups, one for each fold; found {n_groups}. Lower `n_splits` to "
                f"{n_groups} or less, or split by cell where cells are independent."
            )
    elif counts.max() < n_splits:
        raise ValueError(
            f"Expected a label on at least {n_splits} cells; the most frequent is on {counts.max()}. Lower `n_splits`."
        )
    splits: list[tuple[IntArray, IntArray]] = []
    for repeat in range(n_repeats):
        if groups is None:
            folds = _by_cell(text, n_splits, seed + repeat)
        else:
            folds = _by_group(text, codes, n_splits, n_groups, seed + repeat)
        splits.extend((np.setdiff1d(np.arange(len(text)), test), test) for test in folds)
    return splits


def _by_cell(labels: "StrArray", n_splits: int, seed: int) -> "Iterator[IntArray]":
    """Test cells of each fold, without those of rare labels."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    frequent = np.flatnonzero(counts[inverse] >= n_splits)
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
    for _, test in folds.split(frequent, inverse[frequent]):
        yield frequent[test]


def _by_group(labels: "StrArray", groups: "IntArray", n_splits: int, n_groups: int, seed: int) -> "Iterator[IntArray]":
    """Test cells of each fold."""
    if n_splits == n_groups:
        for _, test in LeaveOneGroupOut().split(labels, labels, groups):
            yield test
        return
    # scikit-learn refuses, or warns of, labels on fewer cells than folds; here they count as the most frequent label.
    names, counts = np.unique(labels, return_counts=True)
    balanced = np.where(np.isin(labels, names[counts < n_splits]), names[counts.argmax()], labels)
    folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    for _, test in folds.split(balanced, balanced, groups):
        if len(test) == 0:
            raise ValueError(
                f"The {n_groups} groups are too uneven for {n_splits} folds with every label in proportion: one would "
                f"be empty. Lower `n_splits`, or pass {n_groups} to leave out one group at a time."
            )
        yield test


def _group_codes(groups: "ArrayLike", n_obs: int) -> "tuple[IntArray, int]":
    values = np.asarray(groups, dtype=object)
    if values.shape != (n_obs,):
        raise ValueError(f"Expected a group for each of {n_obs} cells; found shape {values.shape}.")
    texts = labels_or(values, "")
    n_missing = int((texts == "").sum())
    if n_missing:
        raise ValueError(
            f"Expected a group for every cell in `groups`; found {n_missing} missing of {n_obs}. Leave these cells "
            "out, or give them a group of their own."
        )
    codes, names = pd.factorize(texts)
    return codes, len(names)
