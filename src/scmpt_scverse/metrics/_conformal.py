"""Sets of labels that hold the true one as often as was asked for."""

import warnings
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, overload

import numpy as np
import pandas as pd

from scmpt_scverse.metrics._calibration import columns_and_codes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import FloatArray


@overload
def conformal_threshold(
    probabilities: "pd.DataFrame | FloatArray",
    y_true: "ArrayLike",
    alpha: float,
    *,
    labels: Sequence[object] | None = None,
    draws: None = None,
) -> float: ...


@overload
def conformal_threshold(
    probabilities: "pd.DataFrame | FloatArray",
    y_true: "ArrayLike",
    alpha: float,
    *,
    labels: Sequence[object] | None = None,
    draws: "FloatArray",
) -> "FloatArray": ...


def conformal_threshold(
    probabilities: "pd.DataFrame | FloatArray",
    y_true: "ArrayLike",
    alpha: float,
    *,
    labels: Sequence[object] | None = None,
    draws: "FloatArray | None" = None,
) -> "float | FloatArray":
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
    draws
        Uniform random numbers in [0, 1), one for each new cell, shape `(n_new,)`. With them the coverage is
        :math:`1 - \alpha` and not above, however few the calibration cells are.

    Returns
    -------
    Threshold for :func:`conformal_sets`; with `draws`, one for each new cell, shape `(n_new,)`. It is minus infinity,
    so that the set holds every label, where the cells are too few for `alpha`; a warning says how many it takes.

    Raises
    ------
    ValueError
        `alpha` or a draw is out of range, shapes differ, or no cell is left.

    Notes
    -----
    Split conformal prediction with the probability of the true label as score :cite:p:`sadinle2019least`. The threshold
    is the :math:`k`-th smallest probability of a true label over the :math:`n` calibration cells, where
    :math:`k = \lfloor (n + 1) \alpha \rfloor`. For new cells that are exchangeable with these, sets hold the true label
    with a probability of at least :math:`1 - \alpha` and, without ties, at most :math:`1 - \alpha + 1/(n + 1)`: over
    all cells, not for each label. What rounding down costs is given back by chance: with a draw :math:`u`, the rank is
    :math:`\lfloor (n + 1) \alpha + u \rfloor` :cite:p:`vovk2005algorithmic`. No score gives smaller sets on average
    where the probabilities are right. Donors or studies that were not calibrated on are not exchangeable with those
    that were.

    Examples
    --------
    >>> import numpy as np
    >>> from scmpt_scverse import metrics
    >>> probabilities = np.array([[p, 1 - p] for p in (0.9, 0.8, 0.7, 0.6)])
    >>> metrics.conformal_threshold(probabilities, ["B"] * 4, alpha=0.25, labels=["B", "T"])
    0.6
    """
    check_alpha(alpha)
    if draws is not None and not ((np.asarray(draws) >= 0) & (np.asarray(draws) < 1)).all():
        raise ValueError("`draws` must be numbers in [0, 1); found others. Pass `rng.random(n_new)`, one a new cell.")
    values, codes, _ = columns_and_codes(y_true, probabilities, labels)
    of_truth = np.where(codes >= 0, values[np.arange(len(values)), codes], -np.inf)
    of_truth = of_truth[~np.isnan(values).any(axis=1)]
    n = len(of_truth)
    if n == 0:
        raise ValueError("Expected calibration cells with probabilities; found none. Pass labelled cells held out.")
    # The small term keeps products such as 10 * 0.1, which are whole numbers on paper, from falling below them.
    rank = (n + 1) * float(alpha) + 1e-9
    if rank < 1:
        which = "Every set" if draws is None else f"{1 - rank:.0%} of sets"
        warnings.warn(
            f"{n} calibration cells are too few for alpha={alpha}: it takes {int(np.ceil(1 / alpha - 1e-9)) - 1}. "
            f"{which} will hold every label.",
            UserWarning,
            stacklevel=2,
        )
    of_rank = np.concatenate([[-np.inf], np.sort(of_truth), [np.inf]])
    if draws is None:
        return float(of_rank[int(rank)])
    thresholds: FloatArray = of_rank[np.floor(rank + np.asarray(draws)).astype(np.int64)]
    return thresholds


def conformal_sets(probabilities: "pd.DataFrame | FloatArray", threshold: "float | FloatArray") -> pd.DataFrame:
    """Which labels belong to the set of each cell.

    Parameters
    ----------
    probabilities
        Of each cell and label, shape `(n_obs, n_labels)`, from the same model as those of the calibration cells.
    threshold
        From :func:`conformal_threshold`; a number, or one a cell.

    Returns
    -------
    Boolean DataFrame `(n_obs, n_labels)`, index and columns as given. A set may be empty: no label is as probable as
    those of calibration cells mostly were, so the cell is unlike them. A cell whose probabilities are NaN, about which
    nothing can be said, gets every label.
    """
    table = pd.DataFrame(probabilities)
    values = table.to_numpy(dtype=np.float64)
    # NaN is not below anything.
    return pd.DataFrame(~(values < np.asarray(threshold)[..., None]), index=table.index, columns=table.columns)


def check_alpha(alpha: object) -> None:
    """Raise `ValueError` unless `alpha` is a number in (0, 1)."""
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 < float(alpha) < 1:
        raise ValueError(
            "`alpha` must be a number between 0 and 1, both excluded, such as 0.1 for sets that hold the true label of "
            f"90 % of cells; found {alpha!r}."
        )
