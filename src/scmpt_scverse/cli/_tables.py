"""DataFrames as tables on the terminal."""

from typing import TYPE_CHECKING, Literal

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

#: Column names that are shorter, or read better, as words.
_WORDS = {
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "ece": "calibration error",
    "n_cells": "cells",
    "embedding_dim": "dim",
    "is_available_offline": "here",
}


def table_of(frame: "pd.DataFrame", title: str, *, index: str) -> Table:
    """A table of `frame`, its index as first column under the name `index`."""
    if "n_cells" in frame:
        frame = frame.astype({"n_cells": int})
    table = Table(title=Text(title), title_justify="left")
    table.add_column(index, no_wrap=True)
    numeric = set(frame.select_dtypes("number"))
    for column in frame.columns:
        justify: Literal["left", "right"] = "right" if column in numeric else "left"
        table.add_column(_WORDS.get(column, column), justify=justify, overflow="fold")
    for row in frame.itertuples():
        table.add_row(*map(_cell, row))
    return table


def _cell(value: object) -> Text:
    # Text, because rich would take brackets in a plain string, such as "T cell [naive]", for markup.
    if isinstance(value, float):
        return Text(f"{value:.3f}")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    return Text(str(value))
