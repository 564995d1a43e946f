"""The page that `scmpt demo` writes: one HTML file that holds everything it shows."""

import base64
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from html import escape
from io import BytesIO
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc

from scmpt_scverse import metrics, pl

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

LABELS_KEY = "bulk_labels"
RECOMMENDED = "recommended model"
BASELINE = "logistic regression"
#: The interactive report beside the page.
REPORT_NAME = "report.html"
#: Metrics that are shown; `metrics.csv` has more.
_SHOWN = ["accuracy", "macro_f1", "ece"]
_WORDS = {"accuracy": "accuracy", "macro_f1": "macro F1", "ece": "calibration error"}
_DPI = 110
_TEMPLATE = Path(__file__).with_name("demo_page.html")


@dataclass(frozen=True)
class DemoResults:
    """Everything that the demo measured, on held-out cells only.

    Attributes
    ----------
    scores
        One row per split and predictor, columns are metrics.
    in_set, set_size
        Of each held-out cell: whether its label is in its label set, and how many labels are.
    alpha
        Share of cells whose label set may miss the label.
    hidden_label, trained_labels
        The label that one model was trained without, and those that it was trained with.
    novelty_auroc, doubt_auroc
        AUROC for cells of the hidden label against the others: of novelty, and of one minus the probability that
        logistic regression gives its prediction.
    n_hidden, n_known
        How many held-out cells have the hidden label, or another one.
    genes
        For each label, the genes that speak most for it.
    n_explained
        How many cells these genes were computed from.
    """

    scores: pd.DataFrame
    in_set: list[bool]
    set_size: list[int]
    alpha: float
    hidden_label: str
    trained_labels: list[str]
    novelty_auroc: float
    doubt_auroc: float
    n_hidden: int
    n_known: int
    genes: dict[str, list[str]]
    n_explained: int

    @property
    def coverage(self) -> float:
        """Share of held-out cells whose label is in their label set."""
        return float(np.mean(self.in_set))

    @property
    def mean_set_size(self) -> float:
        """Mean number of labels in a label set."""
        return float(np.mean(self.set_size))

    def write_json(self, path: Path) -> None:
        """Write what the page and the documentation show."""
        content = asdict(self) | {
            "comparison": comparison(self.scores),
            "scores": self.scores.reset_index().to_dict("records"),
            "coverage": self.coverage,
            "mean_set_size": self.mean_set_size,
            "n_cells": len(self.in_set),
        }
        del content["in_set"], content["set_size"]
        path.write_text(json.dumps(content, indent=1) + "\n")


def mean_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per predictor: the metrics that are shown, mean over splits."""
    return scores.groupby("predictor", sort=False)[_SHOWN].mean()


def comparison(scores: pd.DataFrame) -> str:
    """By how much the recommended model is better or worse than logistic regression on all genes."""
    table = scores.reset_index()
    parts, includes_zero = [], []
    for metric in ("macro_f1", "accuracy"):
        gap = metrics.paired_differences(table, reference=BASELINE, metric=metric, replicate="split").loc[RECOMMENDED]
        parts.append(
            f"{_WORDS[metric]} is {_gap(gap['mean'])} (95 % interval of the difference {gap['lower']:+.3f} to "
            f"{gap['upper']:+.3f})"
        )
        includes_zero.append(gap["lower"] <= 0 <= gap["upper"])
    wide = scores["macro_f1"].unstack("predictor")
    n_won = int((wide[RECOMMENDED] > wide[BASELINE]).sum())
    verdict = (
        "Both intervals include zero: these cells do not tell which of the two is better."
        if all(includes_zero)
        else "An interval without zero means a difference that is more than chance between splits."
    )
    return (
        f"The {RECOMMENDED} against {BASELINE} on all genes: {', and '.join(parts)}. Its macro F1 is higher on "
        f"{n_won} of {len(wide)} splits. {verdict}"
    )


def write_page(path: Path, results: DemoResults, held_out: "AnnData", hidden: "AnnData") -> None:
    """Write the page.

    Parameters
    ----------
    path
        The file.
    results
        The numbers on the page.
    held_out
        All held-out cells, annotated, for the plots.
    hidden
        Held-out cells as annotated by the model that was trained without `results.hidden_label`.
    """
    plt.switch_backend("agg")  # files only, also where there is no display
    mean = mean_scores(results.scores)
    by_split = results.scores["macro_f1"].unstack("split")[lambda wide: sorted(wide)].loc[mean.index]
    by_split.columns = [f"split {number + 1}" for number in by_split]
    n_labels = held_out.obs[LABELS_KEY].nunique()
    sizes = Counter(results.set_size)
    text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        n_cells=held_out.n_obs,
        n_labels=n_labels,
        n_splits=by_split.shape[1],
        comparison=escape(comparison(results.scores)),
        scores=_table(mean.rename(columns=_WORDS), "predictor"),
        scores_by_split=_table(by_split, "predictor"),
        umaps=_umaps(held_out),
        legend=_legend(held_out),
        report=REPORT_NAME,
        reliability=_figure(
            lambda: _reliability(held_out),
            "Bar chart of the share of correct predictions by confidence; the diagonal is perfect calibration.",
        ),
        ece=f"{mean.loc[RECOMMENDED, 'ece']:.3f}",
        baseline_ece=f"{mean.loc[BASELINE, 'ece']:.3f}",
        hidden_label=escape(results.hidden_label),
        n_hidden=results.n_hidden,
        n_known=results.n_known,
        novelty_auroc=f"{results.novelty_auroc:.3f}",
        doubt_auroc=f"{results.doubt_auroc:.3f}",
        novelty=_figure(
            lambda: _novelty(hidden, results.hidden_label),
            f"Histograms of novelty: cells of the hidden type {results.hidden_label}, and cells of known types.",
        ),
        promised=f"{1 - results.alpha:.0%}",
        coverage=f"{results.coverage:.1%}",
        mean_set_size=f"{results.mean_set_size:.2f}",
        set_sizes=_table(
            pd.DataFrame({"cells": {f"{size}": sizes[size] for size in sorted(sizes)}}), "labels in the set"
        ),
        genes=_table(
            pd.DataFrame({"genes": {label: ", ".join(genes) for label, genes in results.genes.items()}}), "type"
        ),
        n_explained=results.n_explained,
    )
    path.write_text(text, encoding="utf-8")


def _gap(difference: float) -> str:
    if f"{abs(difference):.3f}" == "0.000":
        return "equal to three digits"
    return f"{abs(difference):.3f} {'higher' if difference > 0 else 'lower'}"


def _table(frame: pd.DataFrame, index: str) -> str:
    """HTML of a table with its row names as first column."""
    is_text = frame.dtypes.map(lambda dtype: not pd.api.types.is_numeric_dtype(dtype))
    kinds = ["", *(' class="text"' if text else "" for text in is_text)]
    names = zip(kinds, (index, *frame.columns), strict=True)
    head = "".join(f'<th scope="col"{kind}>{escape(str(name))}</th>' for kind, name in names)
    rows = "".join(
        f'<tr><th scope="row">{escape(str(name))}</th>' + "".join(map(_cell, values)) + "</tr>\n"
        for name, *values in frame.itertuples()
    )
    return f'<div class="table"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>'


def _cell(value: object) -> str:
    if isinstance(value, str):
        return f'<td class="text">{escape(value)}</td>'
    return f"<td>{value:.3f}</td>" if isinstance(value, float) else f"<td>{value}</td>"


def _figure(draw: "Callable[[], Axes | None]", alt: str, caption: str = "") -> str:
    """What `draw` draws, as an image within the page."""
    draw()
    buffer = BytesIO()
    plt.savefig(buffer, dpi=_DPI, format="png")
    plt.close("all")
    data = base64.b64encode(buffer.getvalue()).decode()
    note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="data:image/png;base64,{data}" alt="{escape(alt)}">{note}</figure>'


def _umaps(held_out: "AnnData") -> str:
    """True labels, predictions in the same colours, and confidence, as three images that wrap on a narrow screen."""
    colours = _colours(held_out)
    predicted = held_out.obs["scmpt_prediction"].cat.categories
    held_out.uns["scmpt_prediction_colors"] = [colours[label] for label in predicted]
    panels = {
        LABELS_KEY: ("True type", "UMAP of the held-out cells, coloured by their true type."),
        "scmpt_prediction": ("Predicted type", "The same UMAP, coloured by the predicted type."),
        "scmpt_confidence": ("Confidence", "The same UMAP, coloured by the confidence of the prediction."),
    }

    def draw(key: str) -> "Axes":
        _, ax = plt.subplots(figsize=(4, 3.6), layout="constrained")
        sc.pl.umap(held_out, color=key, size=45, title="", legend_loc="none", ax=ax, show=False)
        return ax

    return "\n".join(_figure(partial(draw, key), alt, title) for key, (title, alt) in panels.items())


def _colours(held_out: "AnnData") -> dict[str, str]:
    return dict(zip(held_out.obs[LABELS_KEY].cat.categories, held_out.uns[f"{LABELS_KEY}_colors"], strict=True))


def _legend(held_out: "AnnData") -> str:
    items = (
        f'<li><span class="dot" style="background:{escape(colour)}"></span>{escape(label)}</li>'
        for label, colour in _colours(held_out).items()
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _reliability(held_out: "AnnData") -> "Axes":
    ax = pl.reliability_diagram(held_out, LABELS_KEY, n_bins=10, show=False)
    ax.set_ylabel("share of correct predictions")
    return ax


def _novelty(hidden: "AnnData", hidden_label: str) -> "Axes":
    kinds = {True: f"{hidden_label} (hidden)", False: "known types"}
    hidden.obs["kind"] = hidden.obs["is_hidden"].map(kinds).astype("category")
    ax = pl.novelty(hidden, "kind", show=False)
    ax.legend(loc="upper left", frameon=False)
    return ax
