"""Training on an atlas (`results/atlas.json`), and what `max_cells_per_label` costs (`results/label_caps.json`)."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _markdown import markdown

_SETS = {"sorted blood cells": "sorted blood cells, other cells", "kang": "kang, other donor"}


def atlas_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Sizes of what was measured, and how much faster a cap makes training."""
    every, capped, _ = _of_largest(record)
    yield "atlas.n_reference", f"{every['n_reference']:,}"
    yield "atlas.n_query", f"{every['n_query']:,}"
    yield "atlas.gigabytes", f"{every['file_gb']:.1f}"
    yield "atlas.cap_gain", f"{every['train']['seconds'] / capped['train']['seconds']:.0f}"


def _of_largest(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ways that were measured at the largest size: all cells, with a cap, and the peer."""
    size = max(row["n_reference"] for row in record["rows"])
    return [row for row in record["rows"] if row["n_reference"] == size]


def atlas_table(record: Mapping[str, Any]) -> str:
    """Seconds and peak memory of training and of annotation, and macro F1, by way."""
    columns = ("trained on", "training", "annotation", "peak memory", "macro F1")
    table = pd.DataFrame(columns=list(columns))
    for row in _of_largest(record):
        stages = [row[name] for name in ("train", "annotate", "train and annotate") if name in row]
        times = [f"{stage['seconds'] / 60:.1f} min" for stage in stages]
        peak = max(stage["peak_mb"] for stage in stages) / 1000
        both = times if len(times) == 2 else [f"{times[0]} together", ""]
        table.loc[row["way"]] = [f"{row['n_train']:,} cells", *both, f"{peak:.1f} GB", f"{row['macro_f1']:.3f}"]
    return markdown(table, "way")


def caps_table(record: Mapping[str, Any]) -> str:
    """Macro F1 on held-out cells by cap and set, and training cells; means over seeds and donors, and their range."""
    rows = pd.DataFrame(record["rows"])
    rows["cap"] = [f"{cap:.0f}" if cap == cap else "all" for cap in rows["cap"].astype(float)]  # NaN is no cap
    groups = rows.groupby(["cap", "set"], sort=False)
    scores = groups["macro_f1"].agg(["mean", "min", "max"])
    text = scores.apply(lambda each: "{:.3f} ({:.3f} to {:.3f})".format(*each), axis=1).unstack("set")
    n_train = groups["n_train"].mean().round().astype(int).map("{:,}".format).unstack("set")
    order = list(dict.fromkeys(rows["cap"]))
    table = pd.concat({name: part.loc[order] for name, part in (("F1", text), ("cells", n_train))}, axis=1)
    columns = {
        header: table[part, name]
        for name, title in _SETS.items()
        for part, header in (("cells", f"cells ({name})"), ("F1", title))
    }
    return markdown(pd.DataFrame(columns), "cells per label")
