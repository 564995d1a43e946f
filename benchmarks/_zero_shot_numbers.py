"""Numbers and tables about annotation without a reference."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _markdown import markdown, slug

#: Names of the ways to refine, as the page has them.
_WAYS = {"none": "raw", "smooth": "smoothed", "self-train": "refined"}
_TRUST = {
    "accuracy": "accuracy",
    "accuracy_at_80": "accuracy, surest 80 %",
    "recall_at_3": "recall at 3",
    "ece": "calibration error",
    "error_auroc": "AUROC of errors",
}


def _means(record: Mapping[str, Any], metric: str) -> pd.DataFrame:
    """Mean over seeds, one row per predictor and way, one column per set."""
    rows = pd.DataFrame(record["rows"])
    table = rows.pivot_table(index=["predictor", "refine"], columns="set", values=metric, sort=False)
    return table[list(dict.fromkeys(rows["set"]))]


def zero_shot_table(record: Mapping[str, Any]) -> str:
    """Macro F1 of every predictor: mean over sets in each way, then each set as it is."""
    scores = _means(record, "macro_f1")
    by_way = scores.mean(axis=1).unstack("refine").rename(columns=_WAYS)[list(_WAYS.values())]
    raw = scores.xs("none", level="refine")
    table = pd.concat([by_way, raw], axis=1).reindex(dict.fromkeys(scores.index.get_level_values("predictor")))
    return markdown(table.map(lambda value: "" if pd.isna(value) else f"{value:.3f}"), "predictor")


def trust_table(record: Mapping[str, Any]) -> str:
    """How far the confidence of the model can be trusted, mean over sets, in each way."""
    columns = {title: _means(record, metric).loc["SCMMGPT"].mean(axis=1) for metric, title in _TRUST.items()}
    table = pd.DataFrame(columns).rename(index=_WAYS).loc[list(_WAYS.values())]
    return markdown(table.map(lambda value: f"{value:.3f}"), "SCMMGPT")


def zero_shot_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Means over sets, the number of seeds, and the gap to the best peer."""
    scores = _means(record, "macro_f1").mean(axis=1)
    for (predictor, refine), value in scores.items():
        yield f"zero_shot.{slug(predictor)}.{_WAYS[refine]}", f"{value:.3f}"
    yield "zero_shot.n_seeds", str(len({row["seed"] for row in record["rows"]}))
