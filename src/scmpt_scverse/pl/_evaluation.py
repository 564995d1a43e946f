"""Predictors compared, each with its interval."""

from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse._checks import check_choice, check_table, list_some
from scmpt_scverse._labels import label_text
from scmpt_scverse.pl._figure import INCHES_PER_LETTER, axes_or_new, metric_name, name_rows, shortened, show_if_asked

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_INCHES_PER_ROW = 0.3


def evaluation(
    summary: "pd.DataFrame",
    *,
    metric: str = "macro_f1",
    ax: "Axes | None" = None,
    show: bool | None = None,
) -> "Axes":
    """A metric of each predictor as a point, with its 95 % interval.

    Parameters
    ----------
    summary
        From :func:`scmpt_scverse.metrics.replicate_summary`, by predictor.
    metric
        Which of its metrics to draw.
    ax
        Axes to draw on; `None` makes a figure whose size fits the number of predictors.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes. Predictors stand in the order of their mean, the highest on top; one with a single replicate has no
    interval.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        There is no such metric, or a predictor has it more than once.
    """
    numbers = ("mean", "lower", "upper")
    summary = check_table(summary, ("predictor", "metric"), "summary", "`metrics.replicate_summary`", numbers=numbers)
    check_choice(metric, list(summary["metric"].unique()), "metric")
    rows = summary[summary["metric"] == metric]
    twice = rows["predictor"][rows["predictor"].duplicated()]
    if len(twice):
        raise ValueError(
            f"Expected one row for each predictor; found several for {list_some(twice.unique(), limit=3)}. Pass the "
            "rows of one data set."
        )
    rows = rows.sort_values("mean")
    names = shortened(map(label_text, rows["predictor"]))
    ax = axes_or_new(ax, (4 + INCHES_PER_LETTER * max(map(len, names)), 1 + _INCHES_PER_ROW * len(rows)))
    margins = rows[["lower", "upper"]].sub(rows["mean"], axis=0).abs().to_numpy().T
    ax.errorbar(rows["mean"], np.arange(len(rows)), xerr=margins, fmt="o", capsize=3, color="C0")
    name_rows(ax, names, first_on_top=False)
    ax.set_xlabel(metric_name(metric))
    ax.grid(axis="x", alpha=0.4)
    show_if_asked(show)
    return ax
