"""Numbers and tables about networks from cells to texts."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _markdown import markdown, slug


def _means(record: Mapping[str, Any]) -> pd.DataFrame:
    """Macro F1, mean over seeds: one row per predictor, columns by kind of set, refinement and set."""
    rows = pd.DataFrame(record["rows"])
    rows["kind"] = rows["development"].map({True: "development", False: "test"})
    table = rows.pivot_table(index="predictor", columns=["kind", "refine", "set"], values="macro_f1", sort=False)
    return table.reindex(dict.fromkeys(rows["predictor"]))


def cell_to_text_table(record: Mapping[str, Any]) -> str:
    """Each predictor: mean over development sets and over test sets, raw and refined, then each set raw."""
    means = _means(record)
    columns = {
        f"{kind}, {way}": means[kind][refine].mean(axis=1)
        for kind in ("development", "test")
        for refine, way in (("none", "raw"), ("self-train", "refined"))
    }
    columns |= {name: means[kind, "none", name] for kind in ("development", "test") for name in means[kind]["none"]}
    return markdown(pd.DataFrame(columns).map(lambda value: f"{value:.3f}"), "predictor")


def cell_to_text_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Means over sets, the least and the greatest of a seed, and the number of seeds."""
    means = _means(record)
    rows = pd.DataFrame(record["rows"])
    raw = rows[rows["refine"] == "none"]
    of_seeds = raw.groupby(["development", "predictor", "seed"])["macro_f1"].mean().unstack()
    for (development, predictor), values in of_seeds.iterrows():
        of_kind = f"cell_to_text.{slug(predictor)}.{'development' if development else 'test'}"
        yield f"{of_kind}.least", f"{values.min():.3f}"
        yield f"{of_kind}.greatest", f"{values.max():.3f}"
    for kind in ("development", "test"):
        for refine, way in (("none", "raw"), ("self-train", "refined")):
            for predictor, value in means[kind][refine].mean(axis=1).items():
                yield f"cell_to_text.{slug(predictor)}.{kind}.{way}", f"{value:.3f}"
    yield "cell_to_text.n_seeds", str(len({row["seed"] for row in record["rows"]}))
