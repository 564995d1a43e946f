"""Sets of labels that hold the true one as often as was asked for."""

import warnings
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse.metrics._calibration import columns_and_codes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray

#: Keeps products such as 10 * 0.1, which are whole numbers on paper, from falling below them.
_ROUNDING = 1e-9


def conformal_threshold(
    probabilities: "pd.DataFrame | FloatArray",
    y_true: "ArrayLike",
    alpha: float,
    *,
    labels: Sequence[object] | None = None,
) -> float:
    r"""The probability from which on a label belongs to the set of a cell.

    Parameters
    ----------
    probabilities
        Of each calibration cell and label, shape `(n_obs, n_labels)`: cells that the model was not trained on. Rows
        that hold NaN are left out. Any score that is higher for likelier labels will do; log-odds tell cells apart
        whose probabilities round to 1.
    y_true
        Their true labels, shape `(n_obs,)`. A label that has no column counts as less probable than any other.
    alpha
        Share of cells whose set may lack the true label, in (0, 1).
    labels
        Labels of the columns of an array; a DataFrame has its own.

    Returns
    -------
    Threshold for :func:`conformal_sets`. It is minus infinity, so that every set holds every label, where the cells are
    too few for `alpha`; a warning says how many it takes.

    Raises
    ------
    ValueError
        `alpha` is out of range, shapes differ, or no cell is left.

    Notes
    -----
    Split conformal prediction with the probability of the true label as score :cite:p:`sadinle2019least`. The threshold
    is the :math:`k`-th smallest probability of a true label over the :math:`n` calibration cells, where
    :math:`k = \lfloor (n + 1) \alpha \rfloor`. For new cells that are exchangeable with these, sets hold the true label
    with a probability of at least :math:`1 - \alpha` and, without ties, at most :math:`1 - \alpha + 1/(n + 1)`: over
    all cells, not for each label. No score gives smaller sets on average where the probabilities are right. Donors or
    studies that were not calibrated on are not exchangeable with those that were.

    Examples
    --------
    >>> import numpy as np
    >>> from scmpt_scverse import metrics
    >>> probabilities = np.array([[p, 1 - p] for p in (0.9, 0.8, 0.7, 0.6)])
    >>> metrics.conformal_threshold(probabilities, ["B"] * 4, alpha=0.25, labels=["B", "T"])
    0.6
    """
    check_alpha(alpha)
    values, codes, _ = columns_and_codes(y_true, probabilities, labels)
    of_truth = np.where(codes >= 0, values[np.arange(len(values)), codes], -np.inf)
    of_truth = of_truth[~np.isnan(values).any(axis=1)]
    n = len(of_truth)
    if n == 0:
        raise ValueError("Expected calibration cells with probabilities; found none. Pass labelled cells held out.")
    rank = int((n + 1) * float(alpha) + _ROUNDING)
    if rank == 0:
        _warn_of_few(n, alpha, "Every set")
        return -np.inf
    return float(np.sort(of_truth)[rank - 1])


def conformal_sets(probabilities: "pd.DataFrame | FloatArray", threshold: float) -> pd.DataFrame:
    """Which labels belong to the set of each cell.

    Parameters
    ----------
    probabilities
        Of each cell and label, shape `(n_obs, n_labels)`, from the same model as those of the calibration cells.
    threshold
        From :func:`conformal_threshold`.

    Returns
    -------
    Boolean DataFrame `(n_obs, n_labels)`, index and columns as given. A set may be empty: no label is as probable as
    those of calibration cells mostly were, so the cell is unlike them. A cell whose probabilities are NaN, about which
    nothing can be said, gets every label.
    """
    table = pd.DataFrame(probabilities)
    values = table.to_numpy(dtype=np.float64)
    return pd.DataFrame(~(values < threshold), index=table.index, columns=table.columns)  # NaN is not below anything


def cross_conformal_sets(
    scores: "FloatArray", of_truth: "FloatArray", folds: "IntArray", alpha: float, *, draws: "FloatArray"
) -> "BoolArray":
    r"""Sets of labels from a cross-validation, in which every cell is a calibration cell.

    Parameters
    ----------
    scores
        Of every label of new cells, by each of the models that left out one fold, shape `(n_new, n_folds, n_labels)`;
        higher for likelier labels.
    of_truth
        Score of the true label of each calibration cell, by the model that left it out, shape `(n_obs,)`.
    folds
        Which model left each of them out, shape `(n_obs,)`.
    alpha
        Share of cells whose set may lack the true label, in (0, 1).
    draws
        Uniform random numbers in [0, 1), one for each new cell, shape `(n_new,)`. Rounding would make sets of few
        calibration cells too large; chance makes up for it :cite:p:`vovk2005algorithmic`.

    Returns
    -------
    Which labels belong to the set of each new cell, shape `(n_new, n_labels)`. As in :func:`conformal_sets`, a set
    may be empty, and a cell whose scores are NaN gets every label.

    Raises
    ------
    ValueError
        `alpha`, a draw or a fold is out of range, shapes differ, or there is no calibration cell.

    Notes
    -----
    Cross-conformal prediction :cite:p:`vovk2015cross`: a label belongs to the set where its scores are no less than
    those of at least :math:`\lfloor (n + 1) \alpha + u \rfloor` of the :math:`n` calibration cells, each compared by
    the model that left it out, :math:`u` being the draw. So both cells of a comparison are new to the model, and it
    does not matter that a model of all cells would do better. The share of sets that hold the true label is close to
    :math:`1 - \alpha`; with a single fold it is exactly that, and this is split conformal prediction.

    Examples
    --------
    >>> import numpy as np
    >>> from scmpt_scverse import metrics
    >>> scores = np.array([[[0.7, 0.3], [0.6, 0.4]]])  # by two models
    >>> of_truth = np.array([0.9, 0.5, 0.8, 0.5])
    >>> folds = np.array([0, 0, 1, 1])
    >>> draws = np.zeros(1)
    >>> metrics.cross_conformal_sets(
    ...     scores, of_truth, folds, alpha=0.4, draws=draws
    ... )
    array([[ True, False]])
    """
    check_alpha(alpha)
    n = len(of_truth)
    if scores.ndim != 3 or len(draws) != len(scores) or len(folds) != n:
        raise ValueError(
            "Expected `scores` of shape (n_new, n_folds, n_labels), `draws` of (n_new,), and `of_truth` and `folds` of "
            f"(n_obs,); found {scores.shape}, {np.shape(draws)}, {np.shape(of_truth)} and {np.shape(folds)}."
        )
    n_folds = scores.shape[1]
    if not ((draws >= 0) & (draws < 1)).all():
        raise ValueError("`draws` must be numbers in [0, 1); found others. Pass `rng.random(n_new)`, one a new cell.")
    if n == 0:
        raise ValueError("Expected calibration cells; found none. Pass labelled cells held out.")
    if not ((folds >= 0) & (folds < n_folds)).all():
        raise ValueError(f"`folds` must be numbers of the {n_folds} models that `scores` are of; found others.")
    rank = (n + 1) * float(alpha) + _ROUNDING
    if rank < 1:
        _warn_of_few(n, alpha, f"{1 - rank:.0%} of sets")
    n_below = np.zeros((len(scores), scores.shape[2]), dtype=np.int64)
    for fold in range(n_folds):
        n_below += np.searchsorted(np.sort(of_truth[folds == fold]), scores[:, fold], side="right")
    sets: BoolArray = n_below >= np.floor(rank + draws)[:, None]
    sets |= np.isnan(scores).any(axis=1)
    return sets


def check_alpha(alpha: object) -> None:
    """Raise `ValueError` unless `alpha` is a number in (0, 1)."""
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 < float(alpha) < 1:
        raise ValueError(
            "`alpha` must be a number between 0 and 1, both excluded, such as 0.1 for sets that hold the true label of "
            f"90 % of cells; found {alpha!r}."
        )


def _warn_of_few(n: int, alpha: float, which: str) -> None:
    warnings.warn(
        f"{n} calibration cells are too few for alpha={alpha}: it takes {int(np.ceil(1 / alpha - _ROUNDING)) - 1}. "
        f"{which} will hold every label.",
        UserWarning,
        stacklevel=3,
    )
