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

    from scmpt_scverse._types import FloatArray


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
        that hold NaN are left out.
    y_true
        Their true labels, shape `(n_obs,)`. A label that has no column counts as one of probability 0.
    alpha
        Share of cells whose set may lack the true label, in (0, 1).
    labels
        Labels of the columns of an array; a DataFrame has its own.

    Returns
    -------
    Threshold for :func:`conformal_sets`. It is 0, so that every set holds every label, where the cells are too few for
    `alpha`; a warning says how many it takes.

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
    of_truth = np.where(codes >= 0, values[np.arange(len(values)), codes], 0.0)
    of_truth = of_truth[~np.isnan(values).any(axis=1)]
    n = len(of_truth)
    if n == 0:
        raise ValueError("Expected calibration cells with probabilities; found none. Pass labelled cells held out.")
    # The small term keeps products such as 10 * 0.1, which are whole numbers on paper, from falling below them.
    rank = int(np.floor((n + 1) * alpha + 1e-9))
    if rank == 0:
        warnings.warn(
            f"{n} calibration cells are too few for alpha={alpha}: it takes {int(np.ceil(1 / alpha - 1e-9)) - 1}. "
            "Every set will hold every label.",
            UserWarning,
            stacklevel=2,
        )
        return 0.0
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
    # NaN is not below anything.
    return pd.DataFrame(~(values < threshold), index=table.index, columns=table.columns)


def check_alpha(alpha: object) -> None:
    """Raise `ValueError` unless `alpha` is a number in (0, 1)."""
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 < float(alpha) < 1:
        raise ValueError(
            "`alpha` must be a number between 0 and 1, both excluded, such as 0.1 for sets that hold the true label of "
            f"90 % of cells; found {alpha!r}."
        )
