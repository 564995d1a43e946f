"""Names and tables as they stand in documents."""

import re

import pandas as pd


def slug(name: str) -> str:
    """A name as it stands in a mark: `stacked + counts` becomes `stacked-counts`."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")


def markdown(text: pd.DataFrame, corner: str = "") -> str:
    """A table of text, with the row names as first column."""
    lines = [" ".join(["|", *filter(None, [corner]), "|"]) + " " + " | ".join(text.columns) + " |"]
    lines += ["|---|" + "---|" * len(text.columns)]
    lines += [f"| {name} | " + " | ".join(row) + " |" for name, row in zip(text.index, text.to_numpy(), strict=True)]
    return "\n".join(lines) + "\n"


def folded(title: str, table: str) -> str:
    """A wide table that opens when its title is clicked."""
    return f"<details>\n<summary>{title}</summary>\n\n{table}\n</details>\n"
