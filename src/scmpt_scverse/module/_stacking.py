"""Stacked generalisation: a linear head a modality, and how much each is trusted, learned out of fold."""

from collections.abc import Mapping
from dataclasses import dataclass
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
#: Where a cell or two decide, several partitions into folds are worth their time.
_N_PARTITIONS_OF_FEW, _VERY_FEW_CELLS = 3, 200
#: Numbers of principal axes that a head may use. Few of them hold what cells have in common, which is all that there is
#: to learn in some data sets; rare types need more.
_N_AXES = (50, 200, 1000)
#: In units of the total variance of the features; strong to weak. The search stops where weaker is worse.
_PENALTIES = (0.3, 0.03, 0.003, 0.0003)
#: How much of the weights of the mixture is given up for the best single modality, where that is better.
_MIXTURES = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class LinearHead:
    """One modality's logistic regression.

    Attributes
    ----------
    weights
        Shape `(n_labels, dim)`.
    biases
        Shape `(n_labels,)`.
    out_of_fold
        Log-probabilities of the training cells by heads that did not see them, shape
        `(n_partitions, n_obs, n_labels)`.
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
    every = PrincipalAxes.of(features)
    targets = torch.nn.functional.one_hot(labels).to(features.dtype)
    fold_of = torch.as_tensor(folds, device=features.device)
    n_folds = int(folds.max()) + 1
    left_out = torch.stack([fold_of == fold for fold in range(n_folds)])  # (n_folds, n_partitions, n_obs)
    in_folds = cell_weights * ~left_out.any(dim=1)
    total_variance = float(every.squares.sum()) / len(features)
    best_loss, best = float("inf"), (every, 0.0, targets)
    tried = set()
    for n_axes in _N_AXES:
        cells = every.first(n_axes)
        if cells.squares.shape[0] in tried:
            continue
        tried.add(cells.squares.shape[0])
        fits: LinearFits | None = None
        last = float("inf")
        for penalty in [share * total_variance for share in _PENALTIES]:
            fits = fit_linear(cells, targets, in_folds, penalty, fits)
            out_of_fold = targets.new_empty(*folds.shape, targets.shape[1])
            for fold in range(n_folds):
                coordinates = cells.coordinates[left_out[fold].any(dim=0)]
                out_of_fold[left_out[fold]] = fits.log_probabilities(coordinates, fold)
            loss = float(_cross_entropy(out_of_fold, labels, cell_weights))
            if loss < best_loss:
                best_loss, best = loss, (cells, penalty, out_of_fold)
            if loss > last:
                break
            last = loss
    cells, penalty, out_of_fold = best
    final = fit_linear(cells, targets, cell_weights[None], penalty)
    return LinearHead(final.weights[:, 0] @ cells.axes.T, final.biases[:, 0, 0], out_of_fold)


def mixture_weights(heads: Mapping[str, LinearHead], labels: "Tensor", cell_weights: "Tensor") -> "FloatArray":
    """How much each modality's log-probabilities count, not negative, shape `(n_modalities,)`.

    The weights have the least cross-entropy out of fold. They also set how sure the mixture is, so its probabilities
    are calibrated as far as the training cells tell. Where the best single modality has a higher macro F1 out of fold,
    the mixture gives way to it.
    """
    stacked = torch.stack([head.out_of_fold for head in heads.values()]).double().cpu()  # heads first
    labels, cell_weights = labels.cpu(), cell_weights.double().cpu()
    mixed = _least_cross_entropy(stacked, labels, cell_weights)
    alone = []
    for modality in range(len(heads)):
        weights = np.zeros(len(heads))
        weights[modality] = _least_cross_entropy(stacked[[modality]], labels, cell_weights)[0]
        alone.append(weights)
    best = alone[int(np.argmax([_macro_f1(weights, stacked, labels) for weights in alone]))]
    candidates = [(1 - share) * mixed + share * best for share in _MIXTURES]
    return candidates[int(np.argmax([_macro_f1(weights, stacked, labels) for weights in candidates]))]


def stratified_folds(labels: "IntArray", seed: int) -> "IntArray":
    """The fold that each cell is left out in, every label spread over as many folds as it has cells.

    Shape `(n_partitions, n_obs)`: very few cells are parted in several ways, and no two partitions share the number of
    a fold.
    """
    generator = np.random.default_rng(seed)
    n_folds = _N_FOLDS_OF_FEW if len(labels) <= _FEW_CELLS else _N_FOLDS
    folds = np.empty((_N_PARTITIONS_OF_FEW if len(labels) <= _VERY_FEW_CELLS else 1, len(labels)), dtype=np.int64)
    for partition in range(len(folds)):
        order = generator.permutation(len(labels))
        order = order[np.argsort(labels[order], kind="stable")]
        folds[partition, order] = np.arange(len(labels)) % n_folds + partition * n_folds
    return folds


def mix(log_probabilities: "Tensor", weights: "Tensor") -> "Tensor":
    """Log-probabilities of a mixture, up to a constant a cell; sums over the first axis, the modalities."""
    return torch.einsum("m,m...->...", weights, log_probabilities)


def _least_cross_entropy(stacked: "Tensor", labels: "Tensor", cell_weights: "Tensor") -> "FloatArray":
    def loss(values: "FloatArray") -> "tuple[float, FloatArray]":
        weights = torch.tensor(values, requires_grad=True)
        mean = _cross_entropy(mix(stacked, weights), labels, cell_weights)
        mean.backward()
        return mean.item(), weights.grad.numpy()  # type: ignore[union-attr]

    n_modalities = len(stacked)
    start = np.full(n_modalities, 1 / n_modalities)
    found = minimize(loss, start, jac=True, bounds=[(0, None)] * n_modalities, method="L-BFGS-B")
    return np.asarray(found.x)


def _cross_entropy(logits: "Tensor", labels: "Tensor", cell_weights: "Tensor") -> "Tensor":
    """Of logits of shape `(n_partitions, n_obs, n_labels)`."""
    each = torch.nn.functional.cross_entropy(logits.movedim(-1, 1), labels.expand(logits.shape[:-1]), reduction="none")
    return (each * cell_weights).sum() / cell_weights.sum() / len(logits)


def _macro_f1(weights: "FloatArray", stacked: "Tensor", labels: "Tensor") -> float:
    predicted = mix(stacked, torch.as_tensor(weights)).argmax(dim=-1)
    truth = labels.expand(predicted.shape).ravel()
    return float(f1_score(truth.numpy(), predicted.ravel().numpy(), average="macro", zero_division=0))
