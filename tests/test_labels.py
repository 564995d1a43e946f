"""One conversion of labels to text, whatever the column holds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from scmpt_scverse._labels import as_categorical, checked_labels, distinct_labels, label_text, labels_or


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 10.0, np.nan], ["1", "10", "-"]),
        (np.array([1.0, np.nan], dtype=np.float32), ["1", "-"]),
        ([1.5, -0.0, np.inf], ["1.5", "0", "inf"]),
        (pd.Series([1, pd.NA, 3], dtype="Int64"), ["1", "-", "3"]),
        (pd.Categorical([3, None, 1]), ["3", "-", "1"]),
        (pd.Series([True, False, None], dtype="boolean"), ["True", "False", "-"]),
        (np.array([True, False]), ["True", "False"]),
        (np.array([b"T cell", b"B"]), ["T cell", "B"]),
        (["β cell".encode(), "β cell"], ["β cell", "β cell"]),
        (pd.Series(["a", None, pd.NA], dtype="string"), ["a", "-", "-"]),
        (["", "  ", None, "x"], ["-", "-", "-", "x"]),
        (pd.Series(["a", None], dtype="category"), ["a", "-"]),
        ([], []),
    ],
)
def test_text_of_every_kind_of_column(values: object, expected: list[str]) -> None:
    found = labels_or(values, "-")
    assert found.tolist() == expected
    assert found.dtype == object
    assert all(type(text) is str for text in found)


@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans()))
def test_conversion_is_idempotent(value: object) -> None:
    assert label_text(label_text(value)) == label_text(value)


@given(st.lists(st.one_of(st.none(), st.integers(-1000, 1000)), min_size=1, max_size=20))
def test_the_same_labels_in_any_column_are_the_same_text(values: list[int | None]) -> None:
    expected = ["-" if value is None else str(value) for value in values]
    columns = [
        pd.Series(values, dtype=float),
        pd.Series(values, dtype="Int64"),
        pd.Series(values, dtype=object),
        pd.Series(values, dtype="Int64").astype("category"),
        pd.Series(values, dtype=float).astype("category"),
        pd.Series([None if value is None else str(value) for value in values], dtype="string"),
    ]
    for column in columns:
        assert labels_or(column, "-").tolist() == expected


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "", " "])
def test_missing_labels_are_refused(missing: object) -> None:
    with pytest.raises(ValueError, match="every cell in `y_true`; found 1 missing of 2"):
        checked_labels(pd.Series(["B", missing], dtype=object), "y_true")


def test_distinct_labels_keep_the_order_of_categories() -> None:
    assert distinct_labels([10.0, 2.0, np.nan, 10.0]) == ["2", "10"]
    assert distinct_labels(pd.Categorical(["b", "a"], categories=["b", "unused", "a"])) == ["b", "a"]
    assert distinct_labels(pd.Series(["", "x", None])) == ["x"]


def test_categories_without_cells_are_dropped() -> None:
    column = as_categorical(np.array(["T", "B"], dtype=object), ["NK", "B", "T"])
    assert column.categories.tolist() == ["B", "T"]
