"""Statistics that metrics and plots share: intervals of a mean, and confidence against accuracy bin by bin."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import BoolArray, FloatArray

#: Confidence level of every interval.
COVERAGE = 0.95
#: Bins of equal width, as :cite:p:`guo2017calibration` and most after them.
N_BINS = 15


def mean_interval(values: "ArrayLike") -> dict[str, float]:
    """Mean of the values that are not NaN, and its 95 % interval by Student's t.

    Returns
    -------
    `mean`, `lower`, `upper` and `n_replicates`. The interval is NaN for fewer than two values and for an infinite mean.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    n = len(known)
    mean = float(known.mean()) if n else float("nan")
    has_margin = n > 1 and np.isfinite(mean)  # a likelihood can be infinite
    # `stats.t.interval` and `stats.ttest_1samp` give NaN where all values are equal; there the margin is 0.
    margin = float(stats.t.ppf((1 + COVERAGE) / 2, n - 1) * stats.sem(known)) if has_margin else float("nan")
    return {"mean": mean, "lower": mean - margin, "upper": mean + margin, "n_replicates": n}


def reliability_bins(confidence: "FloatArray", is_correct: "BoolArray", n_bins: int = N_BINS) -> pd.DataFrame:
    """Confidence and accuracy in bins of equal width; only bins that hold cells.

    Returns
    -------
    Columns `confidence` and `accuracy` (means) and `n_cells`. The index holds the bins as intervals, closed on the
    right; the first one holds 0 as well.
    """
    edges = np.linspace(0, 1, n_bins + 1)
    codes = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, n_bins - 1)
    cells = pd.DataFrame({"confidence": confidence, "accuracy": np.asarray(is_correct, dtype=float)})
    by_bin = cells.groupby(codes)
    table = by_bin.mean().assign(n_cells=by_bin.size())
    return table.set_axis(pd.IntervalIndex.from_breaks(edges, name="bin")[table.index])
