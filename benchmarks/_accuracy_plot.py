"""The plot at the top of the page about accuracy; it holds the digest of what it shows, so that a test can compare."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _accuracy_numbers import DEFAULT, by_set, known_labels
from _accuracy_sets import SEEN, UNSEEN
from PIL import Image

PLOT = Path(__file__).parents[1] / "docs" / "user_guide" / "images" / "accuracy.png"
#: Predictors, their names in the legend, colours that colour-blind readers tell apart, and markers.
_SHOWN = {
    "LR HVG + PCA": ("logistic regression, principal components", "#999999", "s"),
    "CellTypist": ("CellTypist", "#E69F00", "^"),
    "concat": ("the paper's head (concat)", "#56B4E9", "v"),
    DEFAULT: ("default model", "#000000", "o"),
}
_DIGEST = "Results"
#: Rows between two predictors of a set.
_OFFSET = 0.17


def shown(record: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Macro F1 by predictor and set, as plotted."""
    wide = by_set(known_labels(record)).loc[list(_SHOWN), [*UNSEEN, *SEEN]]
    return {name: values.round(4).to_dict() for name, values in wide.iterrows()}


def is_current(record: Mapping[str, Any]) -> bool:
    """Whether the stored plot shows these results."""
    if not PLOT.exists():
        return False
    with Image.open(PLOT) as stored:
        return bool(stored.info.get(_DIGEST) == _digest(record))


def draw(record: Mapping[str, Any]) -> None:
    """Draw and store it: one row per set, one dot per predictor."""
    from matplotlib.figure import Figure

    values = shown(record)
    figure = Figure(figsize=(7.2, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(len(UNSEEN), len(SEEN)))
    titles = ("never seen by the encoder", "seen in its pre-training, without labels")
    for axes, sets, title in ((upper, UNSEEN, titles[0]), (lower, SEEN, titles[1])):
        for place, (name, (label, colour, marker)) in enumerate(_SHOWN.items()):
            offset = _OFFSET * (place - (len(_SHOWN) - 1) / 2)  # equal scores would cover each other
            scores = [values[name][each] for each in sets]
            heights = [row + offset for row in range(len(sets))]
            axes.plot(scores, heights, marker, color=colour, label=label, markersize=5)
        axes.set_yticks(range(len(sets)), sets)
        axes.set_ylim(len(sets) - 0.4, -0.6)
        axes.set_title(f"Sets {title}", loc="left", fontsize=10)
        axes.grid(axis="x", color="#dddddd")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    lower.set_xlabel("macro F1 on held-out cells")
    figure.legend(*upper.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, dpi=130, metadata={_DIGEST: _digest(record), "Software": None})


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(shown(record)).encode()).hexdigest()
