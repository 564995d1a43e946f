"""How right a model is about its own predictions, learned from cells that it was not fitted on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

from scmpt_scverse._checks import check_choice, check_share, warn_user
from scmpt_scverse.trust._label_sets import ROUNDING, cells_for, cross_conformal_sets, log_odds

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray

#: What :meth:`Calibration.least_confidence` takes: a share of errors, or `{"error" or "coverage": share}`.
Reject: TypeAlias = float | Mapping[str, float]

_REJECT_BY = ("error", "coverage")
#: With fewer cells, one more wrong prediction changes the error rate by more than a fifth.
_FEW_CELLS = 5
#: The logarithm of a temperature is sought between minus this and this.
_LARGEST_LOGARITHM = 4.0
#: Cells that are computed at once: in double precision, all of them would take many times what their logits take.
_BLOCK_SIZE = 16_384


@dataclass(frozen=True)
class Calibration:
    """Cells that were not fitted on, and how the model does there.

    Attributes
    ----------
    temperature
        What logits are divided by, so that probabilities are right as often as they say.
    confidence
        Calibrated probability of the predicted label, shape `(n_cells,)`.
    is_correct
        Whether that label is the true one, shape `(n_cells,)`.
    true_scores
        Calibrated log-odds of the true label, shape `(n_cells,)`.
    folds
        Which of the heads in `fold_states` left each cell out, shape `(n_cells,)`; 0 where there are none.
    fold_states
        Parameters of the heads that each left one fold of the training cells out.
    """

    temperature: float
    confidence: "FloatArray"
    is_correct: "BoolArray"
    true_scores: "FloatArray"
    folds: "IntArray"
    fold_states: "Sequence[dict[str, Tensor]]" = ()

    @classmethod
    def fit(
        cls, logits: "Tensor", codes: "Tensor", folds: "IntArray", fold_states: "Sequence[dict[str, Tensor]]" = ()
    ) -> Self:
        """From logits `(n_cells, n_labels)` and the codes of the true labels, shape `(n_cells,)`; at least one cell.

        Warns
        -----
        UserWarning
            There are fewer than 5 cells.
        """
        warn_of_few_cells(
            len(codes),
            "Probabilities are calibrated on",
            "say how often they are right",
            "Train on more cells, with a smaller `train_size`, or with `fusion='stacked'`, which calibrates on all "
            "training cells.",
        )
        temperature = fit_temperature(logits, codes)
        confidence, predicted, scores = [], [], []
        for some, truth in zip(logits.split(_BLOCK_SIZE), codes.split(_BLOCK_SIZE), strict=True):
            of_block = (some.double() / temperature).softmax(dim=-1).max(dim=-1)
            confidence.append(of_block.values)
            predicted.append(of_block.indices)
            scores.append(log_odds(some / temperature).gather(1, truth[:, None])[:, 0])
        return cls(
            temperature,
            torch.cat(confidence).numpy(),
            (torch.cat(predicted) == codes).numpy(),
            torch.cat(scores).numpy(),
            np.asarray(folds),
            tuple(fold_states),
        )

    def least_confidence(self, reject: Reject) -> float:
        """The confidence below which cells are rejected, infinite if all are; see :func:`check_reject` for `reject`.

        Warns
        -----
        UserWarning
            No limit keeps errors as rare as was asked for: there are too few cells, or too many errors among them.
        """
        by, share = check_reject(reject)
        confidence = self.confidence.astype(np.float32)  # as predictions are, which have the same ties then
        order = np.argsort(-confidence, kind="stable")
        confidence, n = confidence[order], len(order)
        if by == "coverage":
            n_kept = max(1, int(np.ceil(share * n - ROUNDING)))
            return float(confidence[n_kept - 1]) if share > 0 else float("inf")
        # One error more than was seen, so that few cells do not promise too much.
        errors = (np.cumsum(~self.is_correct[order]) + 1) / (np.arange(n) + 2)
        # Cells of equal confidence are kept or rejected together.
        is_last_of_equals = np.append(confidence[:-1] != confidence[1:], True)
        kept = np.flatnonzero((errors <= share + ROUNDING) & is_last_of_equals)
        if kept.size:
            return float(confidence[kept[-1]])
        _warn_of_no_cell(share, n, float(errors[is_last_of_equals].min()))
        return float("inf")

    def label_sets(self, logits: "Tensor", alpha: float, draws: "FloatArray") -> "BoolArray":
        """Which labels belong to the set of each new cell, shape `(n_obs, n_labels)`.

        `logits` are those of the heads that each left one fold out, calibrated, shape `(n_obs, n_folds, n_labels)`;
        `alpha` and `draws` as in :func:`cross_conformal_sets`.
        """
        return cross_conformal_sets(log_odds(logits).numpy(), self.true_scores, self.folds, alpha, draws=draws)

    def arrays(self) -> "dict[str, FloatArray | IntArray | BoolArray]":
        """All that there is, as named arrays."""
        states = {
            f"fold_states.{number}.{name}": values.numpy()
            for number, state in enumerate(self.fold_states)
            for name, values in state.items()
        }
        names = ("confidence", "is_correct", "true_scores", "folds")
        return {"temperature": np.float64(self.temperature), **{name: getattr(self, name) for name in names}, **states}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`arrays`."""
        states: dict[int, dict[str, Tensor]] = {}
        for key in arrays:
            if key.startswith("fold_states."):
                _, number, name = key.split(".", 2)
                states.setdefault(int(number), {})[name] = torch.from_numpy(arrays[key])
        return cls(
            temperature=float(arrays["temperature"]),
            confidence=arrays["confidence"],
            is_correct=arrays["is_correct"],
            true_scores=arrays["true_scores"],
            folds=arrays["folds"],
            fold_states=tuple(states[number] for number in sorted(states)),
        )


def check_reject(reject: Reject) -> tuple[str, float]:
    """What is asked for, `"error"` or `"coverage"`, and its share; `ValueError` otherwise."""
    given = dict(reject) if isinstance(reject, Mapping) else {"error": reject}
    if len(given) != 1:
        raise ValueError(f"`reject` must be a share of errors, or one of {_REJECT_BY} with a share; found {reject!r}.")
    ((by, share),) = given.items()
    check_choice(by, _REJECT_BY, "reject")
    check_share(share, "reject")
    return by, float(share)


def warn_of_few_cells(n_cells: int, what: str, purpose: str, advice: str) -> None:
    """Warn where a measure of trust is learned from so few cells that it says little.

    `what` begins the sentence before the number of cells, `purpose` follows "too few to".
    """
    if n_cells < _FEW_CELLS:
        warn_user(
            f"{what} {n_cells} cell{'' if n_cells == 1 else 's'}, too few to {purpose}; at least {_FEW_CELLS} are "
            f"needed. {advice}"
        )


def _warn_of_no_cell(share: float, n: int, least: float) -> None:
    """Say why a share of errors leaves no cell; `least` is the least share that some limit reaches."""
    needed = cells_for(share)
    if needed is None:
        why = "no number of calibration cells shows that there are no errors at all"
    elif n < needed:
        why = f"it takes at least {needed} calibration cells, all of them right; found {n}"
    else:
        why = f"the surest of the {n} calibration cells are wrong more often"
    warn_user(
        f"`reject={share:g}` keeps no cell: {why}. Train with more cells to calibrate on (a smaller `train_size`, or "
        f"`fusion='stacked'`, which takes all), or pass {least:.3g} or more, or `{{'coverage': share}}`."
    )


def fit_temperature(logits: "Tensor", codes: "Tensor") -> float:
    """The temperature that minimises cross-entropy on cells that were not trained on :cite:p:`guo2017calibration`.

    Parameters
    ----------
    logits
        Shape `(n_obs, n_labels)`.
    codes
        Of the true labels, shape `(n_obs,)`.
    """

    def loss(logarithm: float) -> float:
        blocks = zip(logits.split(_BLOCK_SIZE), codes.split(_BLOCK_SIZE), strict=True)
        each = [
            functional.cross_entropy(some.double() / np.exp(logarithm), truth, reduction="sum")
            for some, truth in blocks
        ]
        return float(sum(each)) / len(codes)

    found = minimize_scalar(loss, bounds=(-_LARGEST_LOGARITHM, _LARGEST_LOGARITHM), method="bounded")
    return float(np.exp(found.x))
