"""Numbers and tables about pseudo-cells."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _markdown import markdown, slug

_SEEN = {
    "knn_10": "kNN accuracy",
    "energy_distance": "energy distance",
    "mmd": "MMD",
    "lfc_correlation": "log-fold changes",
    "de_recovery": "differential genes",
    "diversity_ratio": "diversity",
    "discriminator_auc": "discriminator",
}
_UNSEEN = {"knn_10": "kNN accuracy", "energy_distance": "energy distance", "marker_auroc": "marker AUROC"}
_MISSING = "The stored run did not measure it yet.\n"


def generation_tables(record: Mapping[str, Any]) -> dict[str, str]:
    """One table for each part of the page."""
    return {
        "generation.seen": _of_sets(record.get("seen"), _SEEN),
        "generation.unseen": _of_sets(record.get("unseen"), _UNSEEN),
        "generation.few_shot": _few_shot(record.get("few_shot")),
        "generation.reference": _reference(record.get("reference")),
    }


def generation_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the text names: the targets, by set."""
    rows = pd.DataFrame(record.get("seen") or [], columns=["set", "predictor", *_SEEN, "seconds"])
    for name, of_set in rows.groupby("set", sort=False):
        table = of_set.set_index("predictor")
        own = table.loc["generator, dense"]
        yield f"generation.{name}.knn_of_resampling", f"{own['knn_10'] / table.loc['resampling', 'knn_10']:.2f}"
        ratio = own["energy_distance"] / table.loc["mean + Gaussian", "energy_distance"]
        yield f"generation.{name}.energy_of_gaussian", f"{ratio:.2f}"
        yield f"generation.{name}.seconds", f"{own['seconds']:.0f}"
        for predictor, values in table.iterrows():
            yield f"generation.{name}.{slug(predictor)}.lfc_correlation", f"{values['lfc_correlation']:.2f}"


def _of_sets(rows: "list[dict[str, Any]] | None", columns: Mapping[str, str]) -> str:
    """Means over hold-outs: one row per set and predictor."""
    if not rows:
        return _MISSING
    table = pd.DataFrame(rows).groupby(["set", "predictor"], sort=False)[list(columns)].mean()
    table.index = [f"{name}: {predictor}" for name, predictor in table.index]
    return markdown(table.map(lambda value: f"{value:.2f}").rename(columns=columns), "set")


def _few_shot(rows: "list[dict[str, Any]] | None") -> str:
    if not rows:
        return _MISSING
    table = pd.DataFrame(rows).pivot_table(index=["set", "predictor"], columns="size", values="macro_f1", sort=False)
    table.index = [f"{name}: {predictor}" for name, predictor in table.index]
    table.columns = [f"{size} cells" for size in table.columns]
    return markdown(table.map(lambda value: f"{value:.3f}"), "macro F1")


def _reference(rows: "list[dict[str, Any]] | None") -> str:
    if not rows:
        return _MISSING
    table = pd.DataFrame(rows)
    table.index = pd.Index(
        [
            f"{learned} to {asked}: {name}"
            for learned, asked, name in table[["learned", "asked", "predictor"]].to_numpy()
        ]
    )
    return markdown(
        table[["macro_f1"]].map(lambda value: f"{value:.3f}").rename(columns={"macro_f1": "macro F1"}),
        "learned from, asked of",
    )
