"""What `max_cells_per_label` costs, from `results/label_caps.json`."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from _markdown import markdown

_SETS = {"sorted blood cells": "sorted blood cells, other cells", "kang": "kang, other donor"}


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
