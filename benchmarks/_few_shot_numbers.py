"""Numbers and tables about what texts add where labelled cells are few, from `results/few_shot.json`."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _accuracy_sets import UNSEEN
from _markdown import markdown, slug

from scmpt_scverse._statistics import mean_interval

#: What something is added to, and what is added.
REFERENCE = "counts + scgpt-mini"
ADDED = {
    "minilm": f"{REFERENCE} + minilm",
    "minilm-genes": f"{REFERENCE} + minilm-genes",
    "knowledge": f"{REFERENCE} + knowledge",
    "minilm and knowledge": f"{REFERENCE} + minilm + knowledge",
}
_KINDS = {
    "unseen": "sets that no encoder has seen",
    "seen": "sets that `scgpt-mini` has seen, without labels",
    "groups": "another donor, batch or study",
}


def _sizes(rows: pd.DataFrame) -> dict[int, str]:
    """Numbers of cells per label in ascending order, all of them last, and how they are written."""
    sizes = sorted(rows["size"].unique(), key=lambda size: (size == 0, size))
    return {size: "all" if size == 0 else str(size) for size in sizes}


def _rows(record: Mapping[str, Any]) -> pd.DataFrame:
    rows = pd.DataFrame(record["rows"])
    kinds = rows["set"].isin(UNSEEN).map({True: "unseen", False: "seen"})
    return rows.assign(kind=kinds.mask(rows["is_by_group"], "groups"))


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds, then over sets, one row per model, one column per number of cells."""
    by_set = rows.groupby(["predictor", "size", "set"], sort=False)["macro_f1"].mean()
    table = by_set.groupby(["predictor", "size"], sort=False).mean().unstack("size")
    return table.reindex(dict.fromkeys(rows["predictor"]))[list(_sizes(rows))].rename(columns=_sizes(rows))


def _gains(rows: pd.DataFrame) -> Iterator[tuple[str, int, dict[str, float]]]:
    """What is added, cells per label, and the paired difference: interval over seeds of the mean over sets."""
    wide = rows.pivot_table(index=["size", "seed", "set"], columns="predictor", values="macro_f1")
    for name, model in ADDED.items():
        difference = (wide[model] - wide[REFERENCE]).groupby(["size", "seed"]).mean()
        for size in _sizes(rows):
            yield name, size, mean_interval(difference.loc[size])


def few_shot_table(record: Mapping[str, Any], kind: str) -> str:
    """Macro F1 of every model on the sets of a kind."""
    rows = _rows(record)
    rows = rows[rows["kind"] == kind]
    return markdown(_means(rows).map("{:.3f}".format), "cells per label")


def few_shot_gains(record: Mapping[str, Any]) -> str:
    """What each text view adds to expression, on the sets of each kind."""
    every = _rows(record)
    found: dict[str, dict[str, str]] = {}
    for kind, title in _KINDS.items():
        rows = every[every["kind"] == kind]
        for name, size, gain in _gains(rows):
            text = f"{gain['mean']:+.3f} ({gain['lower']:+.3f} to {gain['upper']:+.3f})"
            found.setdefault(f"{name}, {title}", {})[_sizes(rows)[size]] = text
    return markdown(pd.DataFrame.from_dict(found, orient="index"), "cells per label")


def few_shot_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Macro F1 and gains by kind of sets, model and number of cells; numbers of sets and seeds."""
    every = _rows(record)
    yield "few_shot.n_seeds", str(every["seed"].nunique())
    for kind in _KINDS:
        rows = every[every["kind"] == kind]
        yield f"few_shot.{kind}.n_sets", str(rows["set"].nunique())
        for model, values in _means(rows).iterrows():
            for size, value in values.items():
                yield f"few_shot.{kind}.{slug(str(model))}.{size}", f"{value:.3f}"
        for name, size, gain in _gains(rows):
            yield f"few_shot.{kind}.gain.{slug(name)}.{_sizes(rows)[size]}", f"{gain['mean']:+.3f}"
