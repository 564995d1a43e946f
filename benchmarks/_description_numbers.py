"""Numbers and tables about descriptions."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _markdown import markdown, slug

_OURS = "SCMMGPT.describe"
_PEER = "marker scoring and definition"
_METRICS = {
    "label_accuracy": "right type",
    "ontology_distance": "ontology distance",
    "rouge_l": "ROUGE-L",
    "bleu": "BLEU",
    "embedding_cosine": "cosine",
    "textual_discrepancy": "discrepancy",
}


def descriptions_table(record: Mapping[str, Any], unit: str) -> str:
    """Every way to write a text, mean over sets; `unit` is `clusters` or `cells`."""
    rows = pd.DataFrame(record["rows"])
    rows = rows[rows["unit"] == unit]
    columns = {metric: title for metric, title in _METRICS.items() if metric in rows}
    means = rows.groupby("writer", sort=False)[list(columns)].mean().rename(columns=columns)
    return markdown(means.map(lambda value: f"{value:.3f}"), unit)


def descriptions_sets(record: Mapping[str, Any]) -> str:
    """Right types and stated genes of each set."""
    rows = pd.DataFrame(record["rows"])
    ours = rows[rows["writer"] == _OURS].set_index(["set", "unit"])
    peer = rows[rows["writer"] == _PEER].set_index(["set", "unit"])["label_accuracy"]
    columns = {"right type": ours["label_accuracy"], "`predict`": ours["accuracy_of_predict"], "markers": peer}
    table = pd.DataFrame(
        {
            f"{unit}, {title}": values.xs(unit, level="unit").map(lambda value: f"{value:.3f}")
            for unit in ("clusters", "cells")
            for title, values in columns.items()
        }
    )
    clusters = ours.xs("clusters", level="unit")
    table["stated genes"] = clusters["n_stated"].map(lambda value: f"{value:.0f}")
    table["hold in the other half"] = clusters["share_held"].map(lambda value: f"{value:.3f}")
    return markdown(table, "set")


def retrieval_table(record: Mapping[str, Any]) -> str:
    """Recall and AUROC both ways, per cell and per cluster, of each set and their mean."""
    rows = pd.DataFrame(record["retrieval"])
    metrics = [column for column in rows if column.startswith("recall_at_") or column == "auroc"]
    keys = ["unit", "direction"]
    means = rows.groupby(keys, sort=False)[metrics].mean().assign(set="mean").reset_index()
    table = pd.concat([rows, means]).sort_values(keys, kind="stable").set_index([*keys, "set"])[metrics]
    table.index = pd.Index([f"{direction}, {name}" for _, direction, name in table.index])
    titles = {name: name.replace("recall_at_", "recall@").replace("auroc", "AUROC") for name in metrics}
    return markdown(table.rename(columns=titles).map(lambda value: f"{value:.3f}"), "from, to, set")


def description_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The means that the text names."""
    retrieval = pd.DataFrame(record["retrieval"])
    for direction, group in retrieval.groupby("direction"):
        for metric in ("recall_at_1", "recall_at_10", "auroc"):
            yield f"descriptions.retrieval.{slug(direction)}.{metric}", f"{group[metric].mean():.3f}"
    rows = pd.DataFrame(record["rows"])
    for (unit, writer), group in rows.groupby(["unit", "writer"]):
        for metric in ("label_accuracy", "accuracy_of_predict", "rouge_l"):
            yield f"descriptions.{unit}.{slug(writer)}.{metric}", f"{group[metric].mean():.3f}"
    ours = rows[(rows["writer"] == _OURS) & (rows["unit"] == "clusters")]
    held = (ours["share_held"] * ours["n_stated"]).sum() / ours["n_stated"].sum()
    yield "descriptions.share_held", f"{held:.3f}"
    yield "descriptions.n_stated", f"{ours['n_stated'].sum():.0f}"
