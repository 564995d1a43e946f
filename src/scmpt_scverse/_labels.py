"""Labels as text: the one conversion that every part of the package uses."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from scmpt_scverse._types import StrArray


def label_text(value: object) -> str:
    """One label as text.

    A whole float becomes the integer, since one missing value turns a column of integers into floats; bytes, as HDF5
    files of other tools hold them, are decoded.
    """
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def labels_or(values: "ArrayLike | pd.Series", missing: str) -> "StrArray":
    """Labels as Python strings, with `missing` in place of missing values and blank text; shape `(n_obs,)`."""
    array = np.asarray(values, dtype=object)
    texts = (missing if is_na else label_text(value) for value, is_na in zip(array, pd.isna(array), strict=True))
    return np.array([text if text.strip() else missing for text in texts], dtype=object)


def checked_labels(values: "ArrayLike | pd.Series", argument: str) -> "StrArray":
    """Labels as Python strings, shape `(n_obs,)`; `ValueError` where one is missing or blank."""
    texts = labels_or(values, "")
    n_missing = int((texts == "").sum())
    if n_missing:
        raise ValueError(
            f"Expected a label for every cell in `{argument}`; found {n_missing} missing of {len(texts)}. "
            "Leave these cells out, on both sides."
        )
    return texts


def distinct_labels(values: "ArrayLike | pd.Series") -> list[str]:
    """The labels that occur, as text, in the order of their categories; missing values and blank text left out.

    A column that is not categorical is ordered by value, so that 2 comes before 10.
    """
    column = pd.Series(values).astype("category")
    ordered = labels_or(column.cat.remove_unused_categories().cat.categories.to_numpy(), "")
    return [text for text in dict.fromkeys(ordered) if text]


def as_categorical(values: "StrArray", order: "Sequence[str] | StrArray") -> pd.Categorical:
    """Labels as a column that scanpy plots.

    Categories are the values of `order` that occur: several of scanpy's plots refuse categories without cells.
    """
    occurring = set(values)
    return pd.Categorical(values, categories=[value for value in order if value in occurring])
