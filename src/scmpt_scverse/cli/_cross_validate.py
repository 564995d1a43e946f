"""Metrics of several splits as one table, and as a plot."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt

from scmpt_scverse import metrics, pl
from scmpt_scverse.cli._group import quiet_libraries

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scmpt_scverse import SCMPT

_SHOWN = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "ece", "brier", "nll")
_DPI = 150


def cross_validated(
    model: "SCMPT",
    adata: "AnnData",
    n_splits: int,
    group_key: str | None,
    **where: Any,
) -> "pd.DataFrame":
    """Mean and 95 % interval of each metric of each predictor over the splits, from :func:`replicate_summary`.

    `where` are `layer`, `gene_symbols` and `organism` of :meth:`SCMPT.cross_validate`.
    """
    quiet_libraries()
    table = model.cross_validate(adata, group_key=group_key, n_splits=n_splits, **where)
    return metrics.replicate_summary(table)


def mean_metrics(summary: "pd.DataFrame") -> "pd.DataFrame":
    """One row per predictor: the means of a summary, and the interval of macro F1."""
    means = summary.pivot(index="predictor", columns="metric", values="mean").loc[summary["predictor"].unique()]
    macro_f1 = summary[summary["metric"] == "macro_f1"].set_index("predictor")
    columns = [name for name in _SHOWN if name in means]
    scores = means[columns].rename_axis(columns=None)
    scores.insert(columns.index("macro_f1") + 1, "lower", macro_f1["lower"])
    scores.insert(columns.index("macro_f1") + 2, "upper", macro_f1["upper"])
    return scores


def draw_metrics(summary: "pd.DataFrame", path: Path) -> None:
    """Write the plot of a summary to a file."""
    plt.switch_backend("agg")  # a file only, also where there is no display
    pl.evaluation(summary, show=False)
    try:
        plt.savefig(path, dpi=_DPI)
    finally:
        plt.close("all")
