import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from scmpt_scverse import evaluation
from scmpt_scverse._types import IntArray, StrArray

LABELS = np.repeat(["B", "NK", "T"], [20, 30, 50])


def test_by_cell_every_cell_is_tested_once_and_labels_are_in_proportion() -> None:
    splits = evaluation.cell_splits(LABELS, n_splits=5)
    assert np.sort(np.concatenate([test for _, test in splits])).tolist() == list(range(100))
    for train, test in splits:
        assert np.intersect1d(train, test).size == 0
        assert len(train) + len(test) == 100
        assert pd.Series(LABELS[test]).value_counts().to_dict() == {"T": 10, "NK": 6, "B": 4}


def test_repeats_and_seeds_give_other_splits_and_the_same_seed_the_same() -> None:
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


def uneven(n_groups: int) -> tuple[StrArray, IntArray]:
    """Groups of unlike sizes and labels, which chance alone would always divide in the same way."""
    rng = np.random.default_rng(n_groups)
    groups = np.repeat(np.arange(n_groups), rng.integers(20, 300, n_groups))
    shares = rng.dirichlet([2.0, 1.0, 0.5], size=n_groups)
    return np.array([rng.choice(["B", "T", "NK"], p=shares[group]) for group in groups], dtype=object), groups


@pytest.mark.parametrize(
    ("n_groups", "n_splits", "n_repeats"), [(8, 4, 3), (12, 3, 5), (6, 3, 4), (10, 5, 3), (4, 2, 3), (20, 5, 10)]
)
def test_repeats_by_group_share_no_test_set(n_groups: int, n_splits: int, n_repeats: int) -> None:
    labels, groups = uneven(n_groups)
    splits = evaluation.cell_splits(labels, groups, n_splits=n_splits, n_repeats=n_repeats)
    assert len({test.tobytes() for _, test in splits}) == len(splits) == n_splits * n_repeats
    for repeat in range(n_repeats):
        tests = [test for _, test in splits[repeat * n_splits : (repeat + 1) * n_splits]]
        assert np.sort(np.concatenate(tests)).tolist() == list(range(len(labels)))
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
        assert np.sort(np.concatenate([train, test])).tolist() == list(range(len(labels)))
        assert len(test)


def test_a_repeat_by_group_is_the_first_of_the_next_seed() -> None:
    labels, groups = uneven(12)
    first, second = evaluation.cell_splits(labels, groups, n_splits=3, n_repeats=2, seed=4)[::3]
    assert first[1].tolist() != second[1].tolist()
    assert second[1].tolist() == evaluation.cell_splits(labels, groups, n_splits=3, seed=5)[0][1].tolist()


def test_seed_0_divides_groups_as_scikit_learn_does() -> None:
    labels, groups = uneven(12)
    expected = StratifiedGroupKFold(4, shuffle=True, random_state=0).split(labels, labels, groups)
    found = evaluation.cell_splits(labels, groups, n_splits=4)
    assert [test.tolist() for _, test in found] == [test.tolist() for _, test in expected]


def test_more_repeats_than_there_are_divisions_are_refused() -> None:
    labels, groups = uneven(3)
    with pytest.raises(ValueError, match=r"Expected 4 repeats that share no test set; found 3: .* the 3 groups into 2"):
        evaluation.cell_splits(labels, groups, n_splits=2, n_repeats=4)
    with pytest.raises(ValueError, match="Expected 2 repeats .*; found 1: .* Lower `n_repeats` to 1"):
        evaluation.cell_splits(labels, groups, n_splits=3, n_repeats=2)
    with pytest.raises(ValueError, match="found 2: no other way to divide the cells into 2 folds"):
        evaluation.cell_splits(list("aabb"), n_splits=2, n_repeats=3)


def test_as_many_folds_as_groups_leave_out_one_at_a_time() -> None:
    groups = np.repeat(["a", "b", "c"], [96, 2, 2])
    splits = evaluation.cell_splits(LABELS, groups, n_splits=3, seed=7)
    assert [set(groups[test]) for _, test in splits] == [{"a"}, {"b"}, {"c"}]
