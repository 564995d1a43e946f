"""Predictions as a column that scanpy plots."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from scmpt_scverse._types import StrArray


def as_categorical(values: "StrArray", order: "Sequence[str] | StrArray") -> pd.Categorical:
    """Categories are the values of `order` that occur: several of scanpy's plots refuse categories without cells."""
    occurring = set(values)
    return pd.Categorical(values, categories=[value for value in order if value in occurring])
