"""Whether genes that are said to decide do: take them out, or put them in, in the order of their scores."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy import stats

from scmpt_scverse.attribution._base import GatedLogits

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import FloatArray

CONTROL = "random"


def curve(
    forward: GatedLogits, gates: "Tensor", scores: "Tensor", target: "Tensor", counts: Sequence[int], *, insert: bool
) -> "FloatArray":
    """Probability of the target label when the best-scored genes are taken out of the cell, or only they are kept.

    Parameters
    ----------
    forward
        Exact: answers for the cell without the genes at 0.
    gates
        Of the whole cells, shape `(n_cells, n_modalities, n_genes)`.
    scores
        Shape `(n_cells, n_genes)`.
    target
        Shape `(n_cells,)`.
    counts
        How many genes, one point each.
    insert
        Keep only those genes, instead of taking them out.

    Returns
    -------
    Shape `(n_cells, n_counts)`.
    """
    is_gene = gates.any(1)
    order = scores.masked_fill(~is_gene, -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1]).expand_as(order).to(order.device))
    cells = torch.arange(len(gates), device=gates.device)
    points = []
    for count in counts:
        kept = (rank < count) if insert else (rank >= count)
        logits = forward(gates * kept.unsqueeze(1), cells)
        points.append(logits.softmax(dim=1)[cells, target])
    return torch.stack(points, dim=1).cpu().numpy()


def faithfulness(curves: pd.DataFrame) -> pd.DataFrame:
    """Sum up curves, and compare every method with random order on the same cells.

    Parameters
    ----------
    curves
        From :meth:`scmpt_scverse.SCMPT.deletion_curves`.

    Returns
    -------
    One row a method and kind of curve: `mean`, the probability averaged over the curve and the cells; with a random
    control among the methods also `difference` to it, `difference_low` and `difference_high` (95 %, paired over cells).
    A faithful method has a negative difference in deletion and a positive one in insertion.
    """
    areas = curves.groupby(["method", "kind", "cell"], sort=False)["probability"].mean().unstack("cell")
    rows = []
    for (method, kind), values in areas.iterrows():
        row = {"method": method, "kind": kind, "n_cells": len(values), "mean": values.mean()}
        if (CONTROL, kind) in areas.index and method != CONTROL:
            difference = values - areas.loc[(CONTROL, kind)]
            half = stats.t.ppf(0.975, len(values) - 1) * difference.sem() if len(values) > 1 else np.nan
            mean = difference.mean()
            row |= {"difference": mean, "difference_low": mean - half, "difference_high": mean + half}
        rows.append(row)
    return pd.DataFrame(rows).set_index(["method", "kind"])
