"""Conformal prediction: sets of labels that hold the true one as often as was asked for, and the score they use."""

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import torch

from scmpt_scverse._checks import checked_numbers, warn_user

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray

#: Products such as 100 * 0.29, which is 29 on paper, must not fall below it by rounding.
ROUNDING = 1e-9


def cross_conformal_sets(
    scores: "FloatArray", true_scores: "FloatArray", folds: "IntArray", alpha: float, *, draws: "FloatArray"
) -> "BoolArray":
    r"""Conformal sets of labels; with several folds, every cell of a cross-validation is a calibration cell.

    Parameters
    ----------
    scores
        Score of every label of new cells, by each of the models that left out one fold, shape `(n_new, n_folds,
        n_labels)`; higher for likelier labels, in any unit.
    true_scores
        Score of the true label of each calibration cell, by the model that left it out, shape `(n_obs,)`. Minus
        infinity for a label that the model does not know.
    folds
        Which model left each of them out, shape `(n_obs,)`; all 0 for split conformal prediction.
    alpha
        Share of cells whose set may miss the true label, in (0, 1).
    draws
        Uniform random numbers in [0, 1), one for each new cell, shape `(n_new,)`. Rounding would make sets of few
        calibration cells too large; the draws correct that :cite:p:`vovk2005algorithmic`. Zeros never do, and give the
        usual, slightly larger sets.

    Returns
    -------
    Which labels belong to the set of each new cell, shape `(n_new, n_labels)`. A set may be empty: no label
    scores as high as true labels mostly do. A cell whose scores are NaN gets every label.

    Raises
    ------
    TypeError
        An argument holds something else than numbers.
    ValueError
        `alpha`, a draw or a fold is out of range, shapes differ, a true score is NaN, or there is no calibration cell.

    Notes
    -----
    Cross-conformal prediction :cite:p:`vovk2015cross`: a label belongs to the set where its scores are no less than
    those of at least :math:`\lfloor (n + 1) \alpha + u \rfloor` of the :math:`n` calibration cells, each compared by
    the model that left it out, :math:`u` being the draw. So both cells of a comparison are new to the model. The
    share of sets that hold the true label is close to :math:`1 - \alpha`. With a single fold it is exactly that, and
    this is split conformal prediction :cite:p:`sadinle2019least`. It holds over all cells, not for each label, and for
    cells that are exchangeable with the calibration cells, which those of other donors or studies are not.

    Examples
    --------
    >>> import numpy as np
    >>> from scmpt_scverse.trust import cross_conformal_sets
    >>> scores = np.array([[[0.7, 0.3], [0.6, 0.4]]])  # by two models
    >>> true_scores = np.array([0.9, 0.5, 0.8, 0.5])
    >>> folds = np.array([0, 0, 1, 1])
    >>> draws = np.zeros(1)
    >>> cross_conformal_sets(scores, true_scores, folds, alpha=0.4, draws=draws)
    array([[ True, False]])
    """
    check_alpha(alpha)
    shapes = [np.shape(values) for values in (scores, draws, true_scores, folds)]
    n = len(true_scores) if len(shapes[2]) == 1 else -1
    if len(shapes[0]) != 3 or shapes[1] != shapes[0][:1] or shapes[2:] != [(n,), (n,)]:
        raise ValueError(
            "Expected `scores` of shape (n_new, n_folds, n_labels), `draws` of (n_new,), and `true_scores` and "
            f"`folds` of (n_obs,); found {', '.join(map(str, shapes[:3]))} and {shapes[3]}. Pass one row per cell."
        )
    scores = checked_numbers(scores, "scores", ndim=3)
    draws, numbers = checked_numbers(draws, "draws", ndim=1), checked_numbers(folds, "folds", ndim=1)
    true_scores = checked_numbers(true_scores, "true_scores", ndim=1)
    n_folds = scores.shape[1]
    if not ((draws >= 0) & (draws < 1)).all():
        raise ValueError("`draws` must be numbers in [0, 1); found others. Pass `rng.random(n_new)`.")
    if n == 0:
        raise ValueError("Expected calibration cells; found none. Pass labelled cells held out.")
    if not np.isin(numbers, np.arange(n_folds)).all():
        raise ValueError(f"`folds` must be numbers of the {n_folds} models in `scores`; found others.")
    if np.isnan(true_scores).any():
        raise ValueError("Expected a score of every calibration cell; found NaN. Leave out cells without a prediction.")
    rank = (n + 1) * float(alpha) + ROUNDING
    if rank < 1:
        warn_user(
            f"{n} calibration cells are too few for alpha={alpha}: it takes {cells_for(float(alpha))}. "
            f"{1 - rank:.0%} of sets will hold every label."
        )
    n_below = np.zeros((len(scores), scores.shape[2]), dtype=np.int64)
    for fold in range(n_folds):
        n_below += np.searchsorted(np.sort(true_scores[numbers == fold]), scores[:, fold], side="right")
    sets: BoolArray = n_below >= np.floor(rank + draws)[:, None]
    sets |= np.isnan(scores).any(axis=1)
    return sets


def cumulative_sets(probabilities: "FloatArray", alpha: float) -> "BoolArray":
    """The most probable labels of each cell, as many as it takes to reach `1 - alpha`.

    Without calibration cells nothing promises that they hold the true label so often; it holds where the probabilities
    are calibrated.

    Parameters
    ----------
    probabilities
        Shape `(n_obs, n_labels)`, rows sum to 1; NaN for a cell that cannot be read.
    alpha
        Probability that may be left out, in (0, 1).

    Returns
    -------
    Which labels belong to the set of each cell, shape `(n_obs, n_labels)`: at least one; all where there is NaN.

    Raises
    ------
    ValueError
        `alpha` is out of range.
    """
    check_alpha(alpha)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ordered = np.take_along_axis(probabilities, order, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered
    sets = np.zeros(probabilities.shape, dtype=bool)
    np.put_along_axis(sets, order, before < 1 - float(alpha) - ROUNDING, axis=1)
    sets |= np.isnan(probabilities).any(axis=1, keepdims=True)
    return sets


def cells_for(share: float) -> int | None:
    """The fewest calibration cells with which a share of errors, or of missed labels, can be kept; `None` for 0.

    The least :math:`n` with :math:`1 / (n + 1)` at most that share.
    """
    return None if share <= 0 else max(1, int(np.ceil(1 / share - ROUNDING)) - 1)


def check_alpha(alpha: object) -> None:
    """Raise `ValueError` unless `alpha` is a number in (0, 1)."""
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 < float(alpha) < 1:
        raise ValueError(
            "`alpha` must be a number between 0 and 1, both excluded, such as 0.1 for sets that hold the true label of "
            f"90 % of cells; found {alpha!r}."
        )


def log_odds(logits: "Tensor") -> "Tensor":
    """Logarithm of `p / (1 - p)` of every label, in double precision; shape as given, `(..., n_labels)`.

    Log-odds order labels as probabilities do, and still distinguish cells whose probability rounds to 1.
    """
    logits = logits.double()
    log_probabilities = logits.log_softmax(dim=-1)
    odds = log_probabilities - torch.log1p(-log_probabilities.exp())
    # For the most probable label, 1 - p as the sum over the others; the difference would be lost to rounding.
    most_probable = logits.argmax(dim=-1, keepdim=True)
    others = logits.scatter(-1, most_probable, -torch.inf).logsumexp(dim=-1, keepdim=True)
    return odds.scatter(-1, most_probable, logits.gather(-1, most_probable) - others)
