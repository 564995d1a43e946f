"""What neighbours in tissue add, from `results/spatial.json`."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from _markdown import markdown


def spatial_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Sizes, and how much was smoothed."""
    yield "spatial.n_cells", f"{record['n_cells']:,}"
    yield "spatial.n_blocks", str(record["n_blocks"])
    yield "spatial.n_neighbours", str(record["n_neighbours"])
    strengths = np.concatenate([row["strengths"] for row in record["rows"] if "smoothed" not in row["predictor"]])
    for what, share in record["alike"]["cell_type"].items():
        yield f"spatial.alike_{what}", f"{share:.0%}"
    yield "spatial.share_unsmoothed", f"{np.mean(strengths == 0):.0%}"


def spatial_table(record: Mapping[str, Any]) -> str:
    """Accuracy and macro F1 by predictor, mean over seeds with the standard deviation, for both columns of labels."""
    rows = pd.DataFrame(record["rows"])
    wide = {}
    for labels, of_labels in rows.groupby("labels", sort=False):
        for metric in ("accuracy", "macro_f1"):
            groups = of_labels.groupby("predictor", sort=False)[metric]
            wide[f"`{labels}`: {metric.replace('_f1', ' F1')}"] = groups.agg(_mean)
    return markdown(pd.DataFrame(wide), "modalities")


def recall_table(record: Mapping[str, Any]) -> str:
    """Share of the cells of each type that get its label, mean over seeds."""
    rows = pd.DataFrame(record["rows"])
    rows = rows[(rows["labels"] == "cell_type") & ~rows["predictor"].str.contains("smoothed")]
    recall = pd.DataFrame(rows["recall"].tolist(), index=rows["predictor"])
    table = recall.groupby(level=0, sort=False).mean().T
    return markdown(table.map("{:.3f}".format), "recall")


def _mean(values: pd.Series) -> str:
    return f"{values.mean():.3f}" + (f" ± {values.std():.3f}" if len(values) > 1 else "")
