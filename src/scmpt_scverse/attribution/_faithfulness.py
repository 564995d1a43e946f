"""Test scores by deletion and insertion: remove genes, or keep only them, in the order of their scores."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy import stats

from scmpt_scverse._checks import check_table, list_some
from scmpt_scverse.attribution._base import GatedLogits

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import FloatArray

#: The method that others are compared with.
_CONTROL = "random"


def curve(
    forward: GatedLogits, gates: "Tensor", scores: "Tensor", target: "Tensor", counts: Sequence[int], *, insert: bool
) -> "FloatArray":
    """Probability of the target label after the top genes are removed from the cell, or with only them kept.

    Parameters
    ----------
    forward
        Logits of the cell without the genes at 0, not of neutral tokens.
    gates
        Gates of the intact cells, shape `(n_cells, n_modalities, n_genes)`.
    scores
        Total score of each gene, shape `(n_cells, n_genes)`.
    target
        Index of the label, shape `(n_cells,)`.
    counts
        Numbers of genes, one point of the curve each.
    insert
        Keep only the top genes instead of removing them.

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
    """Summarise deletion and insertion curves, and compare every method with random order on the same cells.

    Parameters
    ----------
    curves
        From :meth:`scmpt_scverse.SCMPT.deletion_curves`: columns `method`, `kind`, `n_genes`, `cell` and `probability`.
        A column `row`, the position of the cell in the data, identifies cells whose names are not unique.

    Returns
    -------
    One row per method and kind of curve, with `n_cells` and `mean`, the probability averaged over the curve and the
    cells. If the random control is among the methods, also `difference` to it, with `lower` and `upper` (95 %
    interval, paired over cells). A faithful method has a negative difference in deletion and a positive one in
    insertion.

    Raises
    ------
    TypeError
        `curves` is not a DataFrame, or its probabilities are not numbers.
    KeyError
        A column is missing.
    ValueError
        There is no curve, or several cells have one name and there is no column `row`.
    """
    cell = "row" if "row" in getattr(curves, "columns", ()) else "cell"
    columns = ("method", "kind", "n_genes", cell)
    curves = check_table(curves, columns, "curves", "`model.deletion_curves`", numbers=["probability"])
    if curves.empty:
        raise ValueError(
            "Expected at least one curve in `curves`; found none. Pass what `model.deletion_curves` returns."
        )
    repeated = curves.loc[curves.duplicated(["method", "kind", cell, "n_genes"]), cell]
    if len(repeated):
        raise ValueError(
            f"Expected one probability per method, kind, {cell} and `n_genes`; found several for "
            f"{list_some(repeated.unique())}. Make `obs_names` unique, or add a column `row` with the position of each "
            "cell."
        )
    # One value per cell: the mean over its curve.
    areas = curves.groupby(["method", "kind", cell], sort=False)["probability"].mean().unstack(cell)
    rows = []
    for (method, kind), values in areas.iterrows():
        row = {"method": method, "kind": kind, "n_cells": int(values.count()), "mean": values.mean()}
        if (_CONTROL, kind) in areas.index and method != _CONTROL:
            difference = (values - areas.loc[(_CONTROL, kind)]).dropna()
            n_pairs, mean = len(difference), difference.mean()
            half = stats.t.ppf(0.975, n_pairs - 1) * difference.sem() if n_pairs > 1 else np.nan
            row |= {"difference": mean, "lower": mean - half, "upper": mean + half}
        rows.append(row)
    return pd.DataFrame(rows).set_index(["method", "kind"])
