"""Tables and numbers about explanations, from `results/explanations.json`."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _markdown import markdown, slug

#: What a change to the sentences does, by the name that it is stored under.
_CHANGES = {
    "intact": "sentences as they are",
    "shuffle": "the 30 genes in random order",
    "shuffle top 10%": "the top tenth in random order",
    "shuffle all but top 10%": "all but the top tenth in random order",
    "shuffle of all expressed genes": "30 random ones of the genes expressed",
    "hash names": "names hashed, one to one",
    "random names": "random names in every cell",
    "prefix": "a text before the genes",
    "top 10 genes": "10 genes",
    "without ribosomal genes": "no ribosomal genes",
    "form: binned": "genes with expression in words",
}
#: Level at which a label's markers count as above random.
_LEVEL = 0.05


def explanation_numbers(explained: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Markers above random, and what changes to the sentences cost."""
    found = [row for of_set in explained.values() for row in of_set["markers"]]
    yield "explanations.markers.n_labels", f"{len(found)}"
    yield "explanations.markers.n_above_random", f"{sum(row['auroc_pval_adj'] < _LEVEL for row in found)}"
    by_change = pd.DataFrame(
        {name: {row["ablation"]: row["mean"] for row in of_set["ablations"]} for name, of_set in explained.items()}
    )
    costs = by_change.loc["intact"] - by_change
    for name, key in (
        ("order", "shuffle"),
        ("names", "hash names"),
        ("top_order", "shuffle top 10%"),
        ("other_order", "shuffle all but top 10%"),
    ):
        yield f"explanations.cost_of_{name}.lowest", f"{costs.loc[key].min():.2f}"
        yield f"explanations.cost_of_{name}.highest", f"{costs.loc[key].max():.2f}"
    for name, of_set in explained.items():
        half = max(row["upper"] - row["mean"] for row in of_set["ablations"])
        yield f"explanations.{slug(name)}.widest_half_interval", f"{half:.2f}"


def faithfulness_table(explained: Mapping[str, Any]) -> str:
    """Completeness, deletion and insertion of every set."""
    rows = {}
    for name, found in explained.items():
        tests = {test["kind"]: test for test in found["faithfulness"] if test["method"] == "integrated_gradients"}
        spans = [
            f"{test['difference']:+.2f} ({test['lower']:+.2f} to {test['upper']:+.2f})"
            for test in (tests["deletion"], tests["insertion"])
        ]
        error = f"{found['completeness_error_median']:.1%}"
        rows[name] = [f"{found['explained_cells']}", error, *spans, f"{found['seconds_per_200_cells']:.0f} s"]
    columns = ["explained", "completeness error, median", "deletion, against random", "insertion, against random"]
    return markdown(pd.DataFrame.from_dict(rows, orient="index", columns=[*columns, "200 cells, two cores"]))


def markers_table(explained: Mapping[str, Any]) -> str:
    """AUROC of the markers of every label."""
    rows = {
        f"{name}: {row['group']}": [
            f"{row['n_markers']}",
            f"{row['auroc']:.2f} ({row['auroc_lower']:.2f} to {row['auroc_upper']:.2f})",
            f"{row['auroc_pval_adj']:.2g}",
        ]
        for name, found in explained.items()
        for row in found["markers"]
    }
    return markdown(pd.DataFrame.from_dict(rows, orient="index", columns=["markers", "AUROC (95 %)", "adjusted p"]))


def order_table(explained: Mapping[str, Any]) -> str:
    """Macro F1 with every change of the sentences."""
    columns = {
        name: {_CHANGES[row["ablation"]]: f"{row['mean']:.3f}" for row in found["ablations"]}
        for name, found in explained.items()
    }
    return markdown(pd.DataFrame(columns))
