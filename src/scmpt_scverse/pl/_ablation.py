"""What ablations cost, and what deleting genes does; with intervals."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from scmpt_scverse._checks import check_key, list_some
from scmpt_scverse.pl._figure import new_axes, show_if_asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import FloatArray

_COVERAGE = 0.95


def ablations(
    table: pd.DataFrame, *, metric: str = "macro_f1", ax: "Axes | None" = None, show: bool | None = None
) -> "Axes":
    """A metric after each ablation, beside the intact model: every replicate, the mean and its interval.

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
    check_key(metric, table["metric"].unique(), "table")
    found = table[table["metric"] == metric]
    names = list(dict.fromkeys(found["ablation"]))
    ax = ax if ax is not None else new_axes((5.2, len(names) * 0.26 + 1.0))
    for row, name in enumerate(names):
        values = found.loc[found["ablation"] == name, "value"].astype(float)
        ax.plot(values, [row] * len(values), ".", color="lightgrey")
        half = float(_half_interval(values.sem(), len(values)))
        ax.errorbar(values.mean(), row, xerr=half, fmt="o", color="C1" if row else "C0", capsize=2)
    intact = found.loc[found["ablation"] == names[0], "value"].mean()
    ax.axvline(intact, color="grey", linestyle=":")
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.invert_yaxis()
    ax.set_xlabel(metric.replace("_", " "))
    show_if_asked(show)
    return ax


def deletion_curves(
    curves: pd.DataFrame, *, kind: str = "deletion", ax: "Axes | None" = None, show: bool | None = None
) -> "Axes":
    """The probability of the label by how many genes were taken out or put in, a line a method.

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
    found = curves[curves["kind"] == kind]
    if found.empty:
        raise ValueError(f"No curve of the kind {kind!r}; found {list_some(curves['kind'].unique())}.")
    ax = ax if ax is not None else new_axes((4.4, 3.2))
    for method, points in found.groupby("method", sort=False):
        by_count = points.groupby("n_genes")["probability"]
        mean, half = by_count.mean(), _half_interval(by_count.sem(), by_count.size())
        where = np.arange(len(mean))
        ax.plot(where, mean, marker="o", label=str(method).replace("_", " "))
        ax.fill_between(where, mean - half, mean + half, alpha=0.2)
        ax.set_xticks(where, [str(count) for count in mean.index])
    ax.set_ylim(0, 1)
    ax.set_xlabel("genes taken out" if kind == "deletion" else "genes put in")
    ax.set_ylabel("probability of the label")
    ax.legend(frameon=False)
    show_if_asked(show)
    return ax


def _half_interval(error: "ArrayLike", n: "ArrayLike") -> "FloatArray":
    """Half the width of Student's interval of a mean, from its standard error; 0 for a single figure."""
    n = np.asarray(n)
    return np.where(n > 1, stats.t.ppf((1 + _COVERAGE) / 2, np.maximum(n - 1, 1)) * np.asarray(error), 0.0)
