"""Stacked generalisation: a linear head a modality, and how much each is trusted, learned out of fold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.metrics import f1_score

from scmpt_scverse.module._linear_heads import LinearFits, PrincipalAxes, fit_linear

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import FloatArray, IntArray

#: Heads that leave out a tenth are closest to the final one, so what they say of themselves holds for it; where cells
#: abound, leaving out a quarter is as good, and cheaper.
_N_FOLDS_OF_FEW, _FEW_CELLS, _N_FOLDS = 10, 1000, 4
#: Numbers of principal axes that a head may use. Few of them hold what cells have in common, which is all that there is
#: to learn in some data sets; rare types need more.
_N_AXES = (50, 200, 1000)
#: Axes of few cells in many features bend towards each of these cells, so every fold needs its own. With fewer features
#: than this share of the cells, heads that share them say the same of the cells left out.
_LARGEST_SHARE_OF_FEATURES = 0.5
#: In units of the total variance of the features; strong to weak. The search stops where weaker is worse.
_PENALTIES = (0.3, 0.03, 0.003, 0.0003)
#: How much of the weights of the mixture is given up for the best single modality, where that is better.
_MIXTURES = (0.0, 0.5, 1.0)
#: How much equal weights of the modalities count beside the training cells: as much as the cross-entropy of so many.
#: A handful of cells says little of which modality is better; from a hundred on, this changes nothing.
_PRIOR_CELLS = 1.0


@dataclass(frozen=True)
class LinearHead:
    """One modality's logistic regressions: one for each fold, which leaves that fold out, then the one that predicts.

    Attributes
    ----------
    weights
        Shape `(n_folds + 1, n_labels, dim)`.
    biases
        Shape `(n_folds + 1, n_labels)`.
    out_of_fold
        Log-probabilities of the training cells by heads that did not see them, shape `(n_obs, n_labels)`.
    """

    weights: "Tensor"
    biases: "Tensor"
    out_of_fold: "Tensor"


def fit_head(features: "Tensor", labels: "Tensor", cell_weights: "Tensor", folds: "IntArray") -> LinearHead:
    """Logistic regression whose number of axes and penalty have the least cross-entropy out of fold.

    Parameters
    ----------
    features
        Standardised, of the training cells, shape `(n_obs, dim)`.
    labels
        Codes 0 to `n_labels - 1`, each on a cell, shape `(n_obs,)`.
    cell_weights
        Shape `(n_obs,)`.
    folds
        From :func:`stratified_folds`.
    """
    return min(_candidates(features, labels, cell_weights, folds), key=itemgetter(0))[1]


def _candidates(
    features: "Tensor", labels: "Tensor", cell_weights: "Tensor", folds: "IntArray"
) -> Iterator[tuple[float, LinearHead]]:
    """Heads of several numbers of axes and penalties, each with its cross-entropy out of fold."""
    every = PrincipalAxes.of(features)
    total_variance = float(every.squares.sum()) / len(features)
    every = every.first(max(_N_AXES))
    are_axes_noisy = features.shape[1] > _LARGEST_SHARE_OF_FEATURES * len(features)
    targets = torch.nn.functional.one_hot(labels).to(features.dtype)
    fold_of = torch.as_tensor(folds, device=features.device)
    n_folds = int(folds.max()) + 1
    # The last fit leaves no cell out: it is the head that predicts, and as far from its optimum as the others are.
    left_out = torch.stack([fold_of == fold for fold in range(n_folds + 1)])
    in_folds = cell_weights * ~left_out
    judging = cell_weights * _is_judged(labels, cell_weights)
    if not judging.any():  # then nothing tells settings apart but how sure they are, and the least sure one is taken
        judging = cell_weights
    for n_axes in sorted({min(n_axes, len(every.squares)) for n_axes in _N_AXES}):
        cells = every.without(left_out, n_axes) if are_axes_noisy else every.first(n_axes)
        coordinates, axes = (each.expand(n_folds + 1, -1, -1) for each in (cells.coordinates, cells.axes))
        fits: LinearFits | None = None
        last = float("inf")
        for penalty in [share * total_variance for share in _PENALTIES]:
            fits = fit_linear(cells, targets, in_folds, penalty, fits)
            out_of_fold = torch.empty_like(targets)
            for fold in range(n_folds):
                rows = left_out[fold]
                out_of_fold[rows] = fits.log_probabilities(coordinates[fold, rows], fold)
            loss = float(_cross_entropy(out_of_fold, labels, judging))
            yield loss, LinearHead(fits.weights @ axes.mT, fits.biases[..., 0], out_of_fold)
            if loss > last:
                break
            last = loss


def mixture_weights(heads: Mapping[str, LinearHead], labels: "Tensor", cell_weights: "Tensor") -> "FloatArray":
    """How much each modality's log-probabilities count, not negative, shape `(n_modalities,)`.

    The weights have the least cross-entropy out of fold, plus a small penalty on their distance from equal weights,
    which decides where cells are few. They also set how sure the mixture is, so its probabilities are calibrated as far
    as the training cells tell. A label of one cell says nothing: the head that leaves this cell out has never seen its
    label. Without any other label, weights are equal. Where the best single modality has a higher macro F1 out of fold,
    the mixture gives way to it. Which modality is best is a matter of cross-entropy as well: macro F1 of few cells
    hangs on one or two of a rare label.
    """
    stacked = torch.stack([head.out_of_fold for head in heads.values()]).double().cpu()  # heads first
    labels, cell_weights = labels.cpu(), cell_weights.double().cpu()
    is_judged = _is_judged(labels, cell_weights)
    if not is_judged.any():
        return np.full(len(heads), 1 / len(heads))
    stacked, labels, cell_weights = stacked[:, is_judged], labels[is_judged], cell_weights[is_judged]
    mixed = _least_cross_entropy(stacked, labels, cell_weights)
    alone = []
    for modality in range(len(heads)):
        weights = np.zeros(len(heads))
        weights[modality] = _least_cross_entropy(stacked[[modality]], labels, cell_weights)[0]
        alone.append(weights)
    losses = [float(_cross_entropy(mix(stacked, torch.as_tensor(one)), labels, cell_weights)) for one in alone]
    best = alone[int(np.argmin(losses))]
    candidates = [(1 - share) * mixed + share * best for share in _MIXTURES]
    return candidates[int(np.argmax([_macro_f1(weights, stacked, labels) for weights in candidates]))]


def stratified_folds(labels: "IntArray", seed: int) -> "IntArray":
    """The fold that each cell is left out in, every label spread over as many folds as it has cells.

    Shape `(n_obs,)`.
    """
    n_folds = _N_FOLDS_OF_FEW if len(labels) <= _FEW_CELLS else _N_FOLDS
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    folds = np.empty(len(labels), dtype=np.int64)
    folds[order] = np.arange(len(labels)) % n_folds
    return folds


def mix(log_probabilities: "Tensor", weights: "Tensor") -> "Tensor":
    """Log-probabilities of a mixture, up to a constant a cell; sums over the first axis, the modalities."""
    return torch.einsum("m,m...->...", weights, log_probabilities)


def _is_judged(labels: "Tensor", cell_weights: "Tensor") -> "Tensor":
    """Cells whose label other cells have, too, so that heads that leave them out know it; shape `(n_obs,)`."""
    counts = labels.bincount((cell_weights > 0).to(cell_weights.dtype))
    return (cell_weights > 0) & (counts[labels] > 1)


def _least_cross_entropy(stacked: "Tensor", labels: "Tensor", cell_weights: "Tensor") -> "FloatArray":
    start = np.full(len(stacked), 1 / len(stacked))
    equal, prior = torch.from_numpy(start), _PRIOR_CELLS / len(labels)

    def loss(values: "FloatArray") -> "tuple[float, FloatArray]":
        weights = torch.tensor(values, requires_grad=True)
        loss = _cross_entropy(mix(stacked, weights), labels, cell_weights) + prior * (weights - equal).square().sum()
        loss.backward()
        return loss.item(), weights.grad.numpy()  # type: ignore[union-attr]

    found = minimize(loss, start, jac=True, bounds=[(0, None)] * len(stacked), method="L-BFGS-B")
    return np.asarray(found.x)


def _cross_entropy(logits: "Tensor", labels: "Tensor", cell_weights: "Tensor") -> "Tensor":
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    return (each * cell_weights).sum() / cell_weights.sum()


def _macro_f1(weights: "FloatArray", stacked: "Tensor", labels: "Tensor") -> float:
    predicted = mix(stacked, torch.as_tensor(weights)).argmax(dim=-1)
    return float(f1_score(labels.numpy(), predicted.numpy(), average="macro", zero_division=0))
