"""How far predicted probabilities can be trusted."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_positive, check_same_cells, checked_numbers, list_some
from scmpt_scverse._labels import checked_labels, given_labels
from scmpt_scverse._statistics import N_BINS, reliability_bins

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray

#: How far the probabilities of a cell may be from 1 in sum; float32 softmax and rounded files stay below.
_TOLERANCE = 1e-3


def calibration_metrics(
    y_true: "ArrayLike",
    probabilities: "pd.DataFrame | FloatArray",
    *,
    labels: Sequence[object] | None = None,
    n_bins: int = N_BINS,
) -> pd.Series:
    """Calibration error, Brier score and log-likelihood of predicted probabilities.

    Parameters
    ----------
    y_true
        True label of each cell, shape `(n_obs,)`; compared as text.
    probabilities
        Of each cell and label, shape `(n_obs, n_labels)`, in the same order; rows sum to 1. A row with a missing or
        masked value, as of a cell that no encoder can read, is left out and counted.
    labels
        Labels of the columns of an array; a DataFrame has its own.
    n_bins
        Bins of equal width for `ece`.

    Returns
    -------
    Series of floats:

    `ece`
        Expected calibration error, in [0, 1]: mean distance, over cells, between the mean confidence of their bin and
        the share of correct predictions in it.
    `brier`
        Brier score over all labels, in [0, 2]: mean squared distance of the probabilities from the truth.
    `nll`
        Mean negative logarithm of the probability of the true label, at least 0; infinite if one has probability 0.
        NaN if no cell has a known label.
    `n_cells`, `n_unknown`, `n_unreadable`
        Number of cells evaluated; of those, how many have a true label that is not a column; cells left out.

    Raises
    ------
    TypeError
        `y_true` holds no labels, or `probabilities` no numbers.
    ValueError
        Shapes differ, a DataFrame names other cells than a column of `y_true` or in another order, an array has no
        `labels` or a DataFrame has others, two columns are one label, rows are not probabilities, or no cell is left.

    Notes
    -----
    A cell whose true label is not a column is wrong whatever is predicted: it counts as wrong in `ece`, and in `brier`
    as if its label had a column of zeros. It is left out of `nll`, which would be infinite. `ece` and
    its bins are those of :cite:t:`guo2017calibration`.

    Examples
    --------
    >>> import pandas as pd
    >>> from scmpt_scverse import metrics
    >>> probabilities = pd.DataFrame({"B": [0.8, 0.8, 0.2, 0.2, 0.2], "T": [0.2, 0.2, 0.8, 0.8, 0.8]})
    >>> metrics.calibration_metrics(["B", "T", "T", "T", "T"], probabilities)[["ece", "brier"]].round(3)
    ece      0.00
    brier    0.32
    dtype: float64
    """
    check_positive(n_bins, "n_bins")
    values, codes, is_readable = _readable(y_true, probabilities, labels)
    is_known = codes >= 0
    confidence, is_correct = values.max(axis=1), values.argmax(axis=1) == codes
    bins = reliability_bins(confidence, is_correct, n_bins)
    true_probabilities = values[np.flatnonzero(is_known), codes[is_known]]
    # sum_k (p_k - y_k)^2 = sum_k p_k^2 + 1 - 2 p_true; an unknown label has a column of zeros, so p_true = 0.
    brier = (values**2).sum(axis=1) + 1
    brier[is_known] -= 2 * true_probabilities
    with np.errstate(divide="ignore"):
        nll = -np.log(true_probabilities).mean() if len(true_probabilities) else np.nan
    return pd.Series(
        {
            "ece": float((bins["confidence"] - bins["accuracy"]).abs() @ bins["n_cells"] / len(values)),
            "brier": float(brier.mean()),
            "nll": float(nll),
            "n_cells": float(len(values)),
            "n_unknown": float((~is_known).sum()),
            "n_unreadable": float((~is_readable).sum()),
        }
    )


def _readable(
    y_true: "ArrayLike", probabilities: "pd.DataFrame | FloatArray", labels: Sequence[object] | None
) -> "tuple[FloatArray, IntArray, BoolArray]":
    """Probabilities of readable cells, the columns of their true labels (-1 for none), and which cells these are."""
    truth = checked_labels(y_true, "y_true")
    values = checked_numbers(probabilities, "probabilities", ndim=2)
    columns = _labels_of_columns(probabilities, labels)
    if values.shape != (len(truth), len(columns)):
        raise ValueError(
            f"Expected probabilities of {len(truth)} cells and {len(columns)} labels; found shape {values.shape}. Pass "
            "the same cells in the same order, one column per label."
        )
    check_same_cells(y_true, probabilities, ("y_true", "probabilities"))
    codes = pd.Index(columns, dtype=object).get_indexer(truth)
    is_readable = np.asarray(~np.isnan(values).any(axis=1))
    values, codes = values[is_readable], codes[is_readable]
    if len(values) == 0:
        raise ValueError(
            f"Expected at least one cell with probabilities; found none among {len(is_readable)}. Pass cells that "
            "could be predicted."
        )
    _check_probabilities(values)
    return values, codes, is_readable


def _labels_of_columns(probabilities: "pd.DataFrame | FloatArray", labels: Sequence[object] | None) -> list[str]:
    """The label of each column as text, each different from the others."""
    given = None if labels is None else given_labels(labels, "labels")
    if isinstance(probabilities, pd.DataFrame):
        columns = given_labels(probabilities.columns, "probabilities.columns")
        if given is not None and given != columns:
            raise ValueError(
                f"Expected the labels of a DataFrame to be its columns, {list_some(columns)}; found `labels` "
                f"{list_some(given)}. Leave `labels` out."
            )
    elif given is None:
        raise ValueError(
            "Expected the labels of the columns; found an array without. Pass a DataFrame whose columns are labels, or "
            "`labels=`."
        )
    else:
        columns = given
    twice = [label for label, n in Counter(columns).items() if n > 1]
    if twice:
        raise ValueError(
            f"Expected one column per label, compared as text; found several for {list_some(twice)}. Add up the "
            "columns of one label, or rename them."
        )
    return columns


def _check_probabilities(values: "FloatArray") -> None:
    """Raise `ValueError` unless every row is a probability distribution."""
    if not values.shape[1]:
        raise ValueError("Expected probabilities of at least one label; found none. Pass one column per label.")
    is_broken = (values < 0).any(axis=1) | (np.abs(values.sum(axis=1) - 1) > _TOLERANCE)
    if is_broken.any():
        row = values[is_broken][0]
        raise ValueError(
            f"Expected rows that are at least 0 and sum to 1; found others in {int(is_broken.sum())} of {len(values)} "
            f"cells, with sums such as {list_some(values[is_broken].sum(axis=1).round(3), limit=3)} and values from "
            f"{row.min():.3g} to {row.max():.3g}. Pass probabilities, not logits."
        )
