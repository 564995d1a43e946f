"""Confidence against accuracy, bin by bin; what the expected calibration error and its diagram both rest on."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray

#: Bins of equal width, as :cite:p:`guo2017calibration` and most after them.
N_BINS = 15


def reliability_bins(confidence: "FloatArray", is_correct: "BoolArray", n_bins: int = N_BINS) -> pd.DataFrame:
    """Bins of equal width over confidence, those with cells; columns `confidence`, `accuracy` (means) and `n_cells`.

    The index holds the bins as intervals, closed on the right; the first one holds 0 as well.
    """
    edges = np.linspace(0, 1, n_bins + 1)
    codes = np.clip(np.searchsorted(edges, confidence) - 1, 0, n_bins - 1)
    cells = pd.DataFrame({"confidence": confidence, "accuracy": np.asarray(is_correct, dtype=float)})
    by_bin = cells.groupby(codes)
    table = by_bin.mean().assign(n_cells=by_bin.size())
    return table.set_axis(pd.IntervalIndex.from_breaks(edges, name="bin")[table.index])
