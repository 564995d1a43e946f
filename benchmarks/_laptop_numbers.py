"""How long a whole annotation takes (`results/laptop.json`), beside baselines."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _markdown import markdown

_DEFAULT, _COUNTS, _PEER = "default (preset mini)", "expression itself (counts)", "CellTypist"


def laptop_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Times as long as the peer that the default and expression alone take, by cells of the reference."""
    seconds = pd.DataFrame(record["rows"]).pivot(index="way", columns="n_reference", values="seconds")
    for size in seconds.columns[seconds.loc[_PEER].notna()]:
        for name, way in (("default", _DEFAULT), ("counts", _COUNTS)):
            yield f"laptop.{name}_{size}", f"{seconds.loc[way, size] / seconds.loc[_PEER, size]:.1f}"


def laptop_table(record: Mapping[str, Any]) -> str:
    """Minutes and peak memory, one row per way, one column per number of cells."""
    rows = pd.DataFrame(record["rows"])
    text = [
        f"{row.seconds / 60:.1f} min, {row.peak_mb / 1000:.1f} GB" if row.seconds == row.seconds else "out of memory"
        for row in rows.astype({"seconds": float, "peak_mb": float}).itertuples()
    ]
    rows["text"], rows["size"] = text, [f"{size:,} cells" for size in rows["n_reference"]]
    sizes, ways = (list(dict.fromkeys(rows[name])) for name in ("size", "way"))
    return markdown(rows.pivot(index="way", columns="size", values="text").loc[ways, sizes], "way")
