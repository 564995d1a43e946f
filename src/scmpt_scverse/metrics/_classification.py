"""Accuracy, macro averages and metrics of each label."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from scmpt_scverse._checks import did_you_mean, list_some
from scmpt_scverse._labels import given_labels, paired_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def classification_metrics(
    y_true: "ArrayLike", y_pred: "ArrayLike", *, labels: Sequence[object] | None = None
) -> pd.Series:
    """Accuracy, macro precision, macro recall and macro F1 of predicted labels.

    Parameters
    ----------
    y_true
        True label of each cell, shape `(n_obs,)`; compared as text.
    y_pred
        Predicted label of each cell, in the same order. A prediction that is not in `labels`, such as the unlabeled
        category of a rejected cell, counts as wrong.
    labels
        Labels that the macro averages weigh equally; `None` takes the labels that occur in `y_true`, so a label that
        is only predicted lowers the recall of the true ones but adds no term of its own. Accuracy is over all cells.

    Returns
    -------
    Series of floats with index `accuracy`, `macro_precision`, `macro_recall`, `macro_f1` and `n_cells`. A label
    that is never predicted has precision 0, and one that never occurs has recall 0.

    Raises
    ------
    TypeError
        An argument is no list or column of labels.
    ValueError
        Lengths differ, columns name other cells or in another order, there is no cell, a label is missing, or none of
        `labels` occurs in `y_true`.

    Examples
    --------
    >>> from scmpt_scverse import metrics
    >>> metrics.classification_metrics(["B", "B", "T", "T"], ["B", "Unknown", "T", "T"])
    accuracy           0.750000
    macro_precision    1.000000
    macro_recall       0.750000
    macro_f1           0.833333
    n_cells            4.000000
    dtype: float64
    """
    truth, predicted = paired_labels(y_true, y_pred)
    occurring = sorted(set(truth))
    averaged = occurring if labels is None else list(dict.fromkeys(given_labels(labels, "labels")))
    if set(averaged).isdisjoint(occurring):
        raise ValueError(
            f"Expected at least one label in `labels` that occurs in `y_true`; found {list_some(averaged)}, and "
            f"{list_some(occurring)} in `y_true`. Pass `None` for those in `y_true`."
            f"{did_you_mean(averaged[0], occurring) if averaged else ''}"
        )
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, labels=averaged, average="macro", zero_division=0
    )
    return pd.Series(
        {
            "accuracy": float(np.mean(truth == predicted)),
            "macro_precision": float(precision),
            "macro_recall": float(recall),
            "macro_f1": float(f1),
            "n_cells": float(len(truth)),
        }
    )


def per_class_metrics(y_true: "ArrayLike", y_pred: "ArrayLike") -> pd.DataFrame:
    """Precision, recall and F1 of every label.

    Parameters
    ----------
    y_true, y_pred
        True and predicted label of each cell, as for :func:`classification_metrics`.

    Returns
    -------
    One row per label that occurs in `y_true` or `y_pred`, in alphabetical order; columns `precision`, `recall`, `f1`
    and `support` (cells that truly have it). Undefined values are 0: the precision of a label that is never
    predicted, the recall of one that no cell has.

    Raises
    ------
    TypeError, ValueError
        As for :func:`classification_metrics`.

    Examples
    --------
    >>> from scmpt_scverse import metrics
    >>> metrics.per_class_metrics(["B", "B", "T", "T"], ["B", "T", "T", "T"]).round(2).rename_axis(None)
       precision  recall    f1  support
    B       1.00     0.5  0.67        2
    T       0.67     1.0  0.80        2
    """
    truth, predicted = paired_labels(y_true, y_pred)
    labels = sorted(set(truth) | set(predicted))
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    return pd.DataFrame(
        {"precision": precision, "recall": recall, "f1": f1, "support": support}, index=pd.Index(labels, name="label")
    )
