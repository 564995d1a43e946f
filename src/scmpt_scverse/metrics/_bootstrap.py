"""Intervals for metrics on one set of cells: how they would differ with other cells of the same kind."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from scmpt_scverse._checks import check_positive, check_same_cells, check_seed, list_some, type_name
from scmpt_scverse._labels import checked_labels
from scmpt_scverse._statistics import COVERAGE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import FloatArray, IntArray

_METRICS = ("accuracy", "macro_f1")
#: Resamples in memory at a time: fastest for 200 to 20,000 cells, and 8 MB for the latter.
_BATCH = 50


def bootstrap_metrics(
    y_true: "ArrayLike", predictions: Mapping[str, "ArrayLike"], *, n_resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Accuracy and macro F1 of several predictors on the same cells, with 95 % intervals.

    Parameters
    ----------
    y_true
        True label of each cell, shape `(n_cells,)`; at least two cells.
    predictions
        Predictor to its labels of the same cells, at least one predictor; a DataFrame has one per column. A prediction
        that is not among the true labels, such as an abstention, counts as wrong.
    n_resamples
        Number of resamples, drawn with replacement; the same for all predictors.
    seed
        Seed of the resamples.

    Returns
    -------
    One row per predictor; columns `accuracy` and `macro_f1` as in :func:`classification_metrics`, each with `_lower`
    and `_upper`, and `n_cells`. With a single cell the intervals are NaN.

    Raises
    ------
    TypeError
        `predictions` is no mapping, or something in it is no list or column of labels.
    ValueError
        There is no cell or no predictor, the lengths differ, columns name other cells or in another order, or a label
        is missing.

    Notes
    -----
    Percentile bootstrap over cells, :func:`scipy.stats.bootstrap`. The intervals describe more cells of these donors;
    other donors and studies differ by more.
    """
    check_positive(n_resamples, "n_resamples")
    check_seed(seed)
    if not isinstance(predictions, Mapping | pd.DataFrame):
        raise TypeError(
            f"Expected a mapping of predictor to labels as `predictions`; found {type_name(predictions)}. Pass "
            "`{'name of the predictor': labels}`."
        )
    truth = checked_labels(y_true, "y_true")
    predicted = {name: checked_labels(labels, f"predictions[{name!r}]") for name, labels in predictions.items()}
    if not len(truth) or any(len(labels) != len(truth) for labels in predicted.values()):
        raise ValueError(
            f"Expected one prediction for each true label, and at least one; found {len(truth)} true labels and "
            f"{ {name: len(labels) for name, labels in predicted.items()} } predictions. Pass the same cells for all."
        )
    if not predicted or len(predicted) < len(list(predictions)):
        raise ValueError(
            f"Expected at least one predictor, and one name for each; found {list_some(predictions)} in `predictions`. "
            "Pass `{'name of the predictor': labels}`."
        )
    for name, labels in predictions.items():
        check_same_cells(y_true, labels, ("y_true", f"predictions[{name!r}]"))
    codes, names = pd.factorize(np.concatenate([truth, *predicted.values()]))
    true_codes, *predicted_codes = codes.reshape(-1, len(truth))
    rows = {}
    for name, of_predictor in zip(predicted, predicted_codes, strict=True):
        pairs = true_codes * len(names) + of_predictor  # one number for each pair of true and predicted label
        values = _metrics(pairs[None], len(names))[:, 0]
        lower, upper = _interval(pairs, len(names), n_resamples, seed)
        rows[name] = {
            f"{metric}{suffix}": float(column[place])
            for place, metric in enumerate(_METRICS)
            for suffix, column in (("", values), ("_lower", lower), ("_upper", upper))
        }
    return pd.DataFrame.from_dict(rows, orient="index").assign(n_cells=len(truth)).rename_axis("predictor")


def _interval(pairs: "IntArray", n_names: int, n_resamples: int, seed: int) -> "tuple[FloatArray, FloatArray]":
    """Lower and upper bound of each metric; NaN for a single cell, which says nothing about others."""
    if len(pairs) < 2:
        nothing = np.full(len(_METRICS), np.nan)
        return nothing, nothing
    interval = stats.bootstrap(
        (pairs,),
        lambda resampled, axis: _metrics(resampled, n_names),
        n_resamples=n_resamples,
        batch=_BATCH,
        vectorized=True,
        confidence_level=COVERAGE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return interval.low, interval.high


def _metrics(pairs: "IntArray", n_names: int) -> "FloatArray":
    """Accuracy and macro F1 of each row of pairs, `(n_rows, n_cells)`; shape `(2, n_rows)`."""
    pairs = np.atleast_2d(pairs)
    n_rows = len(pairs)
    offsets = np.arange(n_rows)[:, None] * n_names**2
    counts = np.bincount((pairs + offsets).ravel(), minlength=n_rows * n_names**2)
    confusion = counts.reshape(n_rows, n_names, n_names)  # (row, true, predicted)
    correct = np.diagonal(confusion, axis1=1, axis2=2)
    n_true, n_predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    occurs = n_true > 0
    f1 = 2 * correct / np.maximum(n_true + n_predicted, 1)
    return np.array([correct.sum(axis=1) / pairs.shape[1], (f1 * occurs).sum(axis=1) / occurs.sum(axis=1)])
