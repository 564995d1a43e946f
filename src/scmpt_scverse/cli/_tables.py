"""DataFrames as tables on the terminal."""

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

#: Column names of `metrics.classification_metrics`, and their words.
_WORDS = {"macro_precision": "macro precision", "macro_recall": "macro recall", "macro_f1": "macro F1", "n_cells": "cells"}


def table_of(frame: "pd.DataFrame", title: str, *, index: str) -> Table:
    """A table of `frame`, its index as first column under the name `index`."""
    if "n_cells" in frame:
        frame = frame.astype({"n_cells": int})
    table = Table(title=title, title_justify="left")
    table.add_column(index, overflow="fold")
    numeric = set(frame.select_dtypes("number"))
    for column in frame.columns:
        table.add_column(
            _WORDS.get(str(column), str(column)),
            justify="right" if column in numeric else "left",
            overflow="fold",
        )
    for name, row in zip(frame.index, frame.itertuples(index=False), strict=True):
        table.add_row(str(name), *map(_cell, row))
    return table


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
