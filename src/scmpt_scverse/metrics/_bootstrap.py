"""Intervals for figures on one set of cells: how they would differ with other cells of the same kind."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_positive
from scmpt_scverse.metrics._classification import as_text

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import FloatArray, IntArray

_COVERAGE = 0.95
_METRICS = ("accuracy", "macro_f1")


def bootstrap_metrics(
    y_true: "ArrayLike", predictions: Mapping[str, "ArrayLike"], *, n_resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Accuracy and macro F1 of several predictors on the same cells, with 95 % intervals.

    Parameters
    ----------
    y_true
        True label of each cell, shape `(n_cells,)`.
    predictions
        Predictor to its labels of the same cells. A label that is no true one, such as an abstention, counts as wrong.
    n_resamples
        Times that cells are drawn anew, with replacement; the same draws for all predictors.
    seed
        Of the draws.

    Returns
    -------
    One row a predictor; columns `accuracy` and `macro_f1` as in :func:`classification_metrics`, each with `_lower` and
    `_upper`, and `n_cells`.

    Raises
    ------
    ValueError
        There is no cell, the lengths differ, or a label is missing.

    Notes
    -----
    Percentiles of the bootstrap over cells. They say how sure the figures are for more cells of these donors; other
    donors and studies differ by more.
    """
    check_positive(n_resamples, "n_resamples")
    truth = as_text(y_true, "y_true").astype(str)
    guesses = {name: as_text(labels, name).astype(str) for name, labels in predictions.items()}
    if len(truth) == 0 or any(len(labels) != len(truth) for labels in guesses.values()):
        raise ValueError(
            f"Expected one prediction for each of at least one true label; found {len(truth)} true labels and "
            f"{ {name: len(labels) for name, labels in guesses.items()} } predictions."
        )
    names, codes = np.unique(np.concatenate([truth, *guesses.values()]), return_inverse=True)
    true, *guessed = codes.reshape(-1, len(truth))
    rng = np.random.default_rng(seed)
    draws = [np.arange(len(truth)), *(rng.integers(len(truth), size=len(truth)) for _ in range(n_resamples))]
    rows = {}
    for name, guess in zip(guesses, guessed, strict=True):
        pairs = true * len(names) + guess
        figures = np.array([_figures(pairs[draw], len(names)) for draw in draws])  # (1 + n_resamples, n_metrics)
        lower, upper = np.quantile(figures[1:], [(1 - _COVERAGE) / 2, (1 + _COVERAGE) / 2], axis=0)
        rows[name] = {
            f"{metric}{suffix}": float(values[place])
            for place, metric in enumerate(_METRICS)
            for suffix, values in (("", figures[0]), ("_lower", lower), ("_upper", upper))
        }
    return pd.DataFrame.from_dict(rows, orient="index").assign(n_cells=len(truth)).rename_axis("predictor")


def _figures(pairs: "IntArray", n_names: int) -> "FloatArray":
    """Accuracy and macro F1 from pairs of true and guessed label, written as one number each."""
    confusion = np.bincount(pairs, minlength=n_names**2).reshape(n_names, n_names)  # (true, guessed)
    right, of_label, guessed = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    occurs = of_label > 0
    f1 = 2 * right[occurs] / (of_label[occurs] + guessed[occurs])
    return np.array([right.sum() / confusion.sum(), f1.mean()])
