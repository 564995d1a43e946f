"""One conversion of labels to text, whatever the column holds."""

import unicodedata
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from scmpt_scverse._labels import (
    as_categorical,
    capped,
    checked_labels,
    checked_unlabeled,
    distinct_labels,
    label_text,
    labels_or,
    warn_of_doubtful_labels,
)


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


def test_an_order_that_names_a_label_twice_is_no_error() -> None:
    column = as_categorical(np.array(["T", "Unknown"], dtype=object), ["T", "Unknown", "Unknown"])
    assert column.categories.tolist() == ["T", "Unknown"]


def doubts(labels: list[str], **options: Any) -> str:
    """What is warned of, or nothing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_doubtful_labels(np.array(labels, dtype=object), "y", **options)
    assert len(caught) <= 1
    assert all(warning.filename == __file__ for warning in caught)
    return str(caught[0].message) if caught else ""


@pytest.mark.parametrize(
    "name",
    [
        *(
            "nan",
            "NaN",
            "NAN",
            "NA",
            "na",
            "N/A",
            "n.a.",
            "#N/A",
            "<NA>",
            "NaT",
            "None",
            "none",
            "NULL",
            "null",
            "missing",
        ),
        *(
            "-",
            "--",
            "?",
            "_",
            "???",
            "\u2014",
            "\u200b",
            "unknown",
            "UNKNOWN",
            "Unknown ",
            " unknown",
            "un-known",
        ),
        *(
            "Unassigned",
            "unassigned",
            "Unlabeled",
            "unlabelled",
            "Unannotated",
            "unclassified",
            "undetermined",
            "ambiguous",
        ),
        *("not assigned", "Not_Available", "not applicable", "no label", "unknown cell", "Unknown cell type", "-1"),
        "\uff2e\uff21",  # NA in full width
    ],
)
def test_names_that_read_like_missing_values_are_doubted(name: str) -> None:
    message = doubts(["B", "B", name], unlabeled=["Not there"])
    assert f"read like missing values, but count as labels: {name!r} (1 cell)" in message
    assert f"pass `unlabeled_category={name!r}`" in message
    assert doubts(["B", name], unlabeled=[name]) == ""
    assert doubts(["B", name], known=[name]) == ""


@pytest.mark.parametrize(
    "name",
    [
        *("B", "NK", "1", "0", "doublet", "other", "low quality", "Nana", "nanocyte", "native cell", "none-T", "NAc"),
        *("CD4+", "CD4-", "unconventional T cell", "naive", "null cell", "unknown T cell 2", "cluster -1", ".", ".."),
    ],
)
def test_names_that_may_be_labels_are_not_doubted(name: str) -> None:
    assert doubts(["B cell", name], unlabeled=["Unknown"]) == ""


def test_a_minus_is_a_label_beside_a_plus() -> None:
    assert doubts(["+", "-"], unlabeled=["Unknown"]) == ""
    assert "'-' (2 cells)" in doubts(["B", "-", "-"], unlabeled=["Unknown"])


def test_the_advice_names_what_to_pass() -> None:
    labels = ["B", "T", "nan", "nan", "NA", "Unknown"]
    assert "`unlabeled_category=['Unknown', 'nan', 'NA']`" in doubts(labels, unlabeled=["Unknown"])
    assert "leave these cells out" in doubts(labels)
    assert doubts(labels, unlabeled=["Unknown", "nan", "NA"]) == ""
    assert "'filtered out ' (1 cell)" in doubts(["B", "T", "filtered out "], unlabeled=["Filtered out"])


@pytest.mark.parametrize(
    "other",
    [
        *(
            "B cell ",
            " B cell",
            "B  cell",
            "B\u00a0cell",
            "B\tcell",
            "b cell",
            "B CELL",
            "B-cell",
            "B_cell",
            "B\u2010cell",
        ),
        *("B\u2013cell", "B\u200bcell\u200b".replace("B\u200b", "B "), "B cells", "\uff22 cell", "\ufeffB cell"),
    ],
)
def test_two_spellings_of_one_label_are_doubted(other: str) -> None:
    message = doubts(["B cell", "B cell", other, "T cell"], unlabeled=["Unknown"])
    first, second = sorted(["B cell", other])
    counts = {"B cell": "2 cells", other: "1 cell"}
    assert f"{first!r} ({counts[first]}) and {second!r} ({counts[second]});" in message
    assert "T cell" not in message


def test_composed_and_decomposed_letters_are_one_spelling() -> None:
    composed, decomposed = (unicodedata.normalize(form, "M\u00fcller glia") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert "differ only in how they are spelled" in doubts([composed, decomposed])


def test_numbers_that_were_floats_before_they_became_text() -> None:
    assert "'1' (2 cells) and '1.0' (1 cell)" in doubts(["1", "1", "1.0", "2"])
    assert doubts(["1", "10", "1.5", "-2", "2"]) == ""


@pytest.mark.parametrize(
    "labels",
    [["CD4+ T", "CD4- T", "CD4 T"], ["CD8+", "CD8-"], ["B1", "B 1"], ["T", "T1"], ["\u03b1", "\u03b2"], ["", "B"]],
)
def test_labels_of_their_own_are_not_doubted(labels: list[str]) -> None:
    assert doubts(labels) == ""


def test_known_labels_are_compared_with_but_not_doubted() -> None:
    assert doubts(["B cell", "b cell", "nan"], known=["B cell", "b cell", "nan", "T cell"]) == ""
    assert "'T cell' (0 cells) and 't cell' (1 cell)" in doubts(["t cell"], known=["T cell"])


def test_many_doubtful_labels_are_counted() -> None:
    message = doubts([spelling for number in range(9) for spelling in (f"type {number}", f"type_{number}")])
    assert message.count(" and ") == 7
    assert "and 3 more" in message


def test_the_names_of_no_label() -> None:
    assert checked_unlabeled("Unknown") == ["Unknown"]
    assert checked_unlabeled(["NA", b"nan", "NA", 1.0]) == ["NA", "nan", "1"]
    assert checked_unlabeled(-1) == ["-1"]
    for nothing in (None, np.nan, "", " ", [], ["NA", None]):
        with pytest.raises(ValueError, match="`unlabeled_category` must be a label, or several; found"):
            checked_unlabeled(nothing)


def test_several_missing_names_become_the_first() -> None:
    assert labels_or(["B", "nan", None, "NA", "Unknown"], ["Unknown", "nan", "NA"]).tolist() == ["B", *["Unknown"] * 4]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(1, 9), st.integers(0, 5))
def test_a_cap_keeps_what_is_rare(labels: list[int], most: int, seed: int) -> None:
    codes = np.array(labels)
    candidates = np.flatnonzero(codes < 3)
    kept = capped(codes, candidates, most, batches=None, seed=seed)
    assert set(kept) <= set(candidates)
    assert np.all(np.diff(kept) > 0)
    expected = np.minimum(np.bincount(codes[candidates], minlength=3), most)
    np.testing.assert_array_equal(np.bincount(codes[kept], minlength=3), expected)
    np.testing.assert_array_equal(kept, capped(codes, candidates, most, batches=None, seed=seed))


def test_a_cap_takes_from_batches_in_turn() -> None:
    codes = np.repeat([0, 1], [1000, 50])
    batches = np.array(["big"] * 890 + ["small"] * 100 + ["tiny"] * 10 + ["big"] * 50, dtype=object)
    kept = capped(codes, np.arange(1050), 60, batches=batches, seed=0)
    of_zero = batches[kept[codes[kept] == 0]]
    assert {batch: int((of_zero == batch).sum()) for batch in set(of_zero)} == {"big": 25, "small": 25, "tiny": 10}
    assert (codes[kept] == 1).sum() == 50
    assert not np.array_equal(kept, capped(codes, np.arange(1050), 60, batches=batches, seed=1))


def test_measurements_and_names_of_cells_are_no_labels() -> None:
    values = [f"{number / 7:.5f}" for number in range(60)]
    assert "60 of 60 labels are on one cell each, such as '0.00000'" in doubts(values)
    assert "60 of 62 labels are on one cell each" in doubts([*values, "B", "B", "T", "T"])
    assert doubts([*values[:40]]) == ""  # a reference of one cell per type
    assert doubts([*values, *values[:40]]) == ""
