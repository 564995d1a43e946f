"""Metrics after ablations, and probabilities after deleting genes; with intervals."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_choice, check_table, list_some
from scmpt_scverse._labels import label_text
from scmpt_scverse._statistics import mean_interval
from scmpt_scverse.pl._figure import (
    axes_or_new,
    legend_beside,
    legend_width,
    metric_name,
    name_rows,
    shortened,
    show_if_asked,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def ablations(
    table: pd.DataFrame, *, metric: str = "macro_f1", ax: "Axes | None" = None, show: bool | None = None
) -> "Axes":
    """A metric after each ablation, next to the intact model: every replicate, the mean and its interval.

    Parameters
    ----------
    table
        From :func:`scmpt_scverse.ablation.run`.
    metric
        Which of its metrics.
    ax
        Axes to draw on; `None` makes a figure whose size fits.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes; ablations in the order of the table, the interval (95 %) of the mean over replicates.
    """
    table = check_table(table, ("ablation", "metric"), "table", "`ablation.run`", numbers=["value"])
    check_choice(metric, list(table["metric"].unique()), "metric")
    found = table[table["metric"] == metric]
    names = list(dict.fromkeys(found["ablation"].dropna()))
    ax = axes_or_new(ax, (5.2, len(names) * 0.26 + 1.0))
    for row, name in enumerate(names):
        values = found.loc[found["ablation"] == name, "value"].astype(float)
        ax.plot(values, [row] * len(values), ".", color="lightgrey")
        interval = mean_interval(values)
        margin = interval["upper"] - interval["mean"]
        ax.errorbar(interval["mean"], row, xerr=margin, fmt="o", color="C1" if row else "C0", capsize=2)
    intact = found.loc[found["ablation"] == names[0], "value"].mean()
    ax.axvline(intact, color="grey", linestyle=":")
    name_rows(ax, shortened(map(label_text, names)), fontsize="small")
    ax.set_xlabel(metric_name(metric))
    show_if_asked(show)
    return ax


def deletion_curves(
    curves: pd.DataFrame, *, kind: str = "deletion", ax: "Axes | None" = None, show: bool | None = None
) -> "Axes":
    """The probability of the label against the number of genes removed or inserted, one line per method.

    Parameters
    ----------
    curves
        From :meth:`scmpt_scverse.SCMPT.deletion_curves`.
    kind
        `"deletion"` or `"insertion"`.
    ax
        Axes to draw on; `None` makes a figure.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes; bands are 95 % intervals of the mean over cells.
    """
    curves = check_table(
        curves, ("method", "kind"), "curves", "`model.deletion_curves`", numbers=["n_genes", "probability"]
    )
    found = curves[(curves["kind"] == kind) & curves["method"].notna()]
    if found.empty:
        raise ValueError(f"No curve of the kind {kind!r}; found {list_some(curves['kind'].unique())}.")
    names = [name.replace("_", " ") for name in shortened(map(label_text, found["method"].unique()))]
    ax = axes_or_new(ax, (4.0 + legend_width(names), 3.2))
    for name, (_, points) in zip(names, found.groupby("method", sort=False), strict=True):
        by_count = {count: mean_interval(values) for count, values in points.groupby("n_genes")["probability"]}
        table = pd.DataFrame.from_dict(by_count, orient="index")
        where = np.arange(len(table))
        ax.plot(where, table["mean"], marker="o", label=name)
        ax.fill_between(where, table["lower"], table["upper"], alpha=0.2)
        ax.set_xticks(where, [str(count) for count in table.index])
    ax.set_ylim(0, 1)
    ax.set_xlabel("genes removed" if kind == "deletion" else "genes inserted")
    ax.set_ylabel("probability of the label")
    legend_beside(ax)
    show_if_asked(show)
    return ax
