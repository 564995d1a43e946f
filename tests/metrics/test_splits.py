import numpy as np
import pandas as pd
import pytest

from scmpt_scverse import metrics

LABELS = np.repeat(["B", "NK", "T"], [20, 30, 50])


def test_by_cell_every_cell_is_tested_once_and_labels_are_in_proportion() -> None:
    splits = metrics.cell_splits(LABELS, n_splits=5)
    assert np.sort(np.concatenate([test for _, test in splits])).tolist() == list(range(100))
    for train, test in splits:
        assert np.intersect1d(train, test).size == 0
        assert len(train) + len(test) == 100
        assert pd.Series(LABELS[test]).value_counts().to_dict() == {"T": 10, "NK": 6, "B": 4}


def test_repeats_and_seeds_divide_anew_and_the_same_seed_the_same() -> None:
    twice = metrics.cell_splits(LABELS, n_repeats=2, seed=3)
    assert len(twice) == 10
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(twice, metrics.cell_splits(LABELS, seed=3), strict=False))
    assert not np.array_equal(twice[0][1], twice[5][1])
    assert np.array_equal(twice[5][1], metrics.cell_splits(LABELS, seed=4)[0][1])


def test_rare_labels_always_train() -> None:
    splits = metrics.cell_splits([*LABELS, "rare", "rare"], n_splits=5)
    assert all({100, 101} <= set(train.tolist()) for train, _ in splits)


@pytest.mark.parametrize("n_splits", [4, 8])
def test_groups_stay_whole(n_splits: int) -> None:
    groups = np.random.default_rng(0).choice(list("abcdefgh"), size=101)
    splits = metrics.cell_splits([*LABELS, "rare"], groups, n_splits=n_splits)
    assert np.sort(np.concatenate([test for _, test in splits])).tolist() == list(range(101))
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
        assert len(set(groups[test])) >= 1


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="at least 5 groups, one for each fold; found 2. Lower `n_splits` to 2"):
        metrics.cell_splits(LABELS, np.arange(100) % 2)
    with pytest.raises(ValueError, match="for every cell in `groups`; found 1 missing of 100"):
        metrics.cell_splits(LABELS, pd.Series([*["a"] * 50, *["b"] * 49, None]), n_splits=2)
    with pytest.raises(ValueError, match="at least two labels to tell apart; found 'B'"):
        metrics.cell_splits(["B"] * 10)
    with pytest.raises(ValueError, match="a label on at least 5 cells; the most frequent is on 3"):
        metrics.cell_splits(["B"] * 3 + ["T"] * 2)
    with pytest.raises(ValueError, match="`n_splits` must be at least 2"):
        metrics.cell_splits(LABELS, n_splits=1)
    with pytest.raises(ValueError, match=r"a group for each of 100 cells; found shape \(2,\)"):
        metrics.cell_splits(LABELS, ["a", "b"])
