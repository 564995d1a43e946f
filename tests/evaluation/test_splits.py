import numpy as np
import pandas as pd
import pytest

from scmpt_scverse import evaluation

LABELS = np.repeat(["B", "NK", "T"], [20, 30, 50])


def test_by_cell_every_cell_is_tested_once_and_labels_are_in_proportion() -> None:
    splits = evaluation.cell_splits(LABELS, n_splits=5)
    assert np.sort(np.concatenate([test for _, test in splits])).tolist() == list(range(100))
    for train, test in splits:
        assert np.intersect1d(train, test).size == 0
        assert len(train) + len(test) == 100
        assert pd.Series(LABELS[test]).value_counts().to_dict() == {"T": 10, "NK": 6, "B": 4}


def test_repeats_and_seeds_divide_anew_and_the_same_seed_the_same() -> None:
    twice = evaluation.cell_splits(LABELS, n_repeats=2, seed=3)
    assert len(twice) == 10
    assert all(
        np.array_equal(a, b) for (_, a), (_, b) in zip(twice, evaluation.cell_splits(LABELS, seed=3), strict=False)
    )
    assert not np.array_equal(twice[0][1], twice[5][1])
    assert np.array_equal(twice[5][1], evaluation.cell_splits(LABELS, seed=4)[0][1])


def test_rare_labels_always_train() -> None:
    splits = evaluation.cell_splits([*LABELS, "rare", "rare"], n_splits=5)
    assert all({100, 101} <= set(train.tolist()) for train, _ in splits)
    exactly_enough = evaluation.cell_splits([*LABELS, *["rare"] * 5], n_splits=5)
    assert all((test >= 100).sum() == 1 for _, test in exactly_enough)


def test_groups_are_compared_as_text() -> None:
    """A donor that is 1 in one study and 1.0 or "1" in another is one donor."""
    groups = pd.Series([1, 1.0, "1", b"1", 2, 2.0, "2", "2"] * 2, dtype=object)
    ((_, test), _) = evaluation.cell_splits(["B", "T"] * 8, groups, n_splits=2)
    assert len(test) == 8


def test_clusters_that_arrive_as_floats_split_alike() -> None:
    codes = pd.Series(np.repeat([1, 2], 10))
    for (_, one), (_, other) in zip(
        evaluation.cell_splits(codes), evaluation.cell_splits(codes.astype(float)), strict=True
    ):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize("n_splits", [4, 8])
def test_groups_stay_whole(n_splits: int) -> None:
    groups = np.random.default_rng(0).choice(list("abcdefgh"), size=101)
    splits = evaluation.cell_splits([*LABELS, "rare"], groups, n_splits=n_splits)
    assert np.sort(np.concatenate([test for _, test in splits])).tolist() == list(range(101))
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
        assert len(set(groups[test])) >= 1


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="at least 5 groups, one for each fold; found 2. Lower `n_splits` to 2"):
        evaluation.cell_splits(LABELS, np.arange(100) % 2)
    with pytest.raises(ValueError, match="for every cell in `groups`; found 1 missing of 100"):
        evaluation.cell_splits(LABELS, pd.Series([*["a"] * 50, *["b"] * 49, None]), n_splits=2)
    with pytest.raises(ValueError, match="at least two labels to tell apart; found 'B'"):
        evaluation.cell_splits(["B"] * 10)
    with pytest.raises(ValueError, match="a label on at least 5 cells; the most frequent is on 3"):
        evaluation.cell_splits(["B"] * 3 + ["T"] * 2)
    assert len(evaluation.cell_splits(["B"] * 5 + ["T"] * 2)) == 5
    with pytest.raises(ValueError, match="`n_splits` must be at least 2"):
        evaluation.cell_splits(LABELS, n_splits=1)
    with pytest.raises(ValueError, match=r"a group for each of 100 cells; found shape \(2,\)"):
        evaluation.cell_splits(LABELS, ["a", "b"])


def test_rare_labels_are_never_tested_wherever_they_stand() -> None:
    splits = evaluation.cell_splits(["rare", *LABELS], n_splits=5)
    assert np.sort(np.concatenate([test for _, test in splits])).tolist() == list(range(1, 101))


def test_repeats_and_seeds_divide_like_groups_anew() -> None:
    """Groups that differ in their labels are placed by these; chance decides among those that are alike."""
    labels, groups = np.tile(["B", "T"], 40), np.repeat(np.arange(8), 10)
    first, second = evaluation.cell_splits(labels, groups, n_splits=2, n_repeats=2, seed=0)[::2]
    assert first[1].tolist() != second[1].tolist()
    assert second[1].tolist() == evaluation.cell_splits(labels, groups, n_splits=2, seed=1)[0][1].tolist()


def test_as_many_folds_as_groups_leave_out_one_at_a_time() -> None:
    groups = np.repeat(["a", "b", "c"], [96, 2, 2])
    splits = evaluation.cell_splits(LABELS, groups, n_splits=3, seed=7)
    assert [set(groups[test]) for _, test in splits] == [{"a"}, {"b"}, {"c"}]
