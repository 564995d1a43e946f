"""Stacked generalisation: a linear head per modality, and how much each is trusted, learned out of fold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.metrics import f1_score

from scmpt_scverse.module._linear_heads import LinearFits, fit_linear
from scmpt_scverse.module._principal_axes import BLOCK_SIZE, FeatureBlocks, PrincipalAxes

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
#: From so many cells on, the solution of a sample is the start of that of all; so many cells are in the sample, of a
#: rare label so many at least.
_MANY_CELLS, _N_SAMPLED, _N_SAMPLED_OF_LABEL = 30_000, 10_000, 200
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


def fit_head(features: FeatureBlocks, labels: "Tensor", cell_weights: "Tensor", folds: "IntArray") -> LinearHead:
    """Logistic regression whose number of axes and penalty have the least cross-entropy out of fold.

    Parameters
    ----------
    features
        Standardised, of the training cells.
    labels
        Codes 0 to `n_labels - 1`, each on a cell, shape `(n_obs,)`.
    cell_weights
        Shape `(n_obs,)`.
    folds
        From :func:`stratified_folds`.
    """
    return min(_candidates(features, labels, cell_weights, folds), key=itemgetter(0))[1]


def _candidates(
    features: FeatureBlocks, labels: "Tensor", cell_weights: "Tensor", folds: "IntArray"
) -> Iterator[tuple[float, LinearHead]]:
    """Heads of several numbers of axes and penalties, each with its cross-entropy out of fold."""
    every = PrincipalAxes.of(features, max(_N_AXES))
    n_obs, n_features = features.shape
    penalties = [share * every.total / n_obs for share in _PENALTIES]
    fold_of = torch.as_tensor(folds, device=labels.device)
    # The last fit leaves no cell out: it is the head that predicts, and as far from its optimum as the others are.
    left_out = torch.stack([fold_of == fold for fold in range(int(folds.max()) + 2)])
    in_folds = cell_weights * ~left_out
    judging = cell_weights * _is_judged(labels, cell_weights)
    if not judging.any():  # then nothing tells settings apart but how sure they are, and the least sure one is taken
        judging = cell_weights
    numbers = sorted({min(n_axes, len(every.squares)) for n_axes in _N_AXES})
    fewer = [n_axes for n_axes in numbers if n_axes < len(every.squares)]
    are_axes_noisy = n_features > _LARGEST_SHARE_OF_FEATURES * n_obs
    bent = every.without(left_out, max(fewer)) if fewer and are_axes_noisy else every
    sample, stands_for = _sample(labels)
    cells, before = every, list[LinearFits]()
    for n_axes in numbers:
        last_cells, cells = cells, bent.first(n_axes) if n_axes in fewer else every
        before = [fits.moved(last_cells, cells) for fits in before]
        sketch = cells.of_cells(sample) if len(sample) < n_obs else None
        found: list[LinearFits] = []
        last = float("inf")
        for number, penalty in enumerate(penalties):
            # Fewer axes come nearer to what the same penalty gives than a stronger penalty does.
            start = before[number] if number < len(before) else found[-1] if found else None
            if sketch is not None:
                start = fit_linear(sketch, labels[sample], in_folds[:, sample] * stands_for, penalty, start)
            found.append(fit_linear(cells, labels, in_folds, penalty, start))
            out_of_fold = _out_of_fold(cells, found[-1], fold_of)
            loss = _mean_loss(out_of_fold, labels, judging)
            yield loss, LinearHead(found[-1].weights @ cells.axes.mT, found[-1].biases, out_of_fold)
            if loss > last:
                break
            last = loss
        before = found


def _sample(labels: "Tensor") -> "tuple[Tensor, Tensor]":
    """A few of many cells, whose solution is where that of all is looked for, and how many each stands for.

    Every label is there, by all of its cells where they are few. Without many cells, all are taken.
    """
    n_obs = len(labels)
    if n_obs <= _MANY_CELLS:
        return torch.arange(n_obs, device=labels.device), torch.ones(n_obs, device=labels.device)
    counts = labels.bincount()
    wanted = torch.maximum(counts * _N_SAMPLED // n_obs, counts.clamp(max=_N_SAMPLED_OF_LABEL))
    order = torch.randperm(n_obs, generator=torch.Generator().manual_seed(0)).to(labels.device)
    order = order[labels[order].argsort(stable=True)]
    rank = torch.arange(n_obs, device=labels.device) - (counts.cumsum(0) - counts)[labels[order]]
    rows = order[rank < wanted[labels[order]]].sort().values
    return rows, (counts / wanted.clamp(min=1))[labels[rows]]


def _out_of_fold(cells: PrincipalAxes, fits: LinearFits, fold_of: "Tensor") -> "Tensor":
    """Log-probabilities of each cell by the fit that left it out, shape `(n_obs, n_labels)`."""
    found = fits.biases.new_empty(cells.n_obs, fits.biases.shape[1])
    are_shared = cells.coordinates.ndim == 2
    for rows, coordinates in cells.blocks():
        of_block = found[rows]
        for fold in fold_of[rows].unique().tolist():
            some = fold_of[rows] == fold
            of_block[some] = fits.log_probabilities((coordinates if are_shared else coordinates[fold])[some], fold)
    return found


def mixture_weights(heads: Mapping[str, LinearHead], labels: "Tensor", cell_weights: "Tensor") -> "FloatArray":
    """How much each modality's log-probabilities count, not negative, shape `(n_modalities,)`.

    The weights have the least cross-entropy out of fold, plus a small penalty on their distance from equal weights,
    which decides where cells are few. They also set how sure the mixture is, so its probabilities are calibrated as far
    as the training cells tell. A label of one cell says nothing: the head that leaves this cell out has never seen its
    label. Without any other label, weights are equal. Where the best single modality has a higher macro F1 out of fold,
    the mixture gives way to it. Which modality is best is a matter of cross-entropy as well: macro F1 of few cells
    hangs on one or two of a rare label.
    """
    labels, cell_weights = labels.cpu(), cell_weights.double().cpu()
    is_judged = _is_judged(labels, cell_weights)
    if not is_judged.any():
        return np.full(len(heads), 1 / len(heads))
    every = _Judged([head.out_of_fold for head in heads.values()], labels, cell_weights, is_judged.nonzero()[:, 0])
    mixed = _least_cross_entropy(every)
    alone = []
    for modality, head in enumerate(heads.values()):
        weights = np.zeros(len(heads))
        one = replace(every, log_probabilities=[head.out_of_fold])
        weights[modality] = _least_cross_entropy(one)[0]
        alone.append(weights)
    best = alone[int(np.argmin([every.loss(weights)[0] for weights in alone]))]
    candidates = [(1 - share) * mixed + share * best for share in _MIXTURES]
    return candidates[int(np.argmax([every.macro_f1(weights) for weights in candidates]))]


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


@dataclass(frozen=True)
class _Judged:
    """Cells that mixtures are judged by, computed in double precision, block by block.

    Attributes
    ----------
    log_probabilities
        Of each modality, shape `(n_obs, n_labels)`.
    labels, cell_weights
        Shape `(n_obs,)`.
    rows
        Which of the cells.
    """

    log_probabilities: "list[Tensor]"
    labels: "Tensor"
    cell_weights: "Tensor"
    rows: "Tensor"

    def _blocks(self) -> "Iterator[tuple[Tensor, Tensor]]":
        """Rows, and the log-probabilities of these by all modalities, shape `(n_modalities, n_rows, n_labels)`."""
        for rows in self.rows.split(BLOCK_SIZE):
            yield rows, torch.stack([each[rows.to(each.device)].cpu() for each in self.log_probabilities]).double()

    def loss(self, weights: "FloatArray") -> "tuple[float, FloatArray]":
        """Mean cross-entropy of a mixture, and its gradient by the weights, shape `(n_modalities,)`."""
        of_modalities = torch.as_tensor(weights, dtype=torch.float64)
        total, loss = self.cell_weights[self.rows].sum(), torch.zeros((), dtype=torch.float64)
        gradient = torch.zeros_like(of_modalities)
        for rows, logs in self._blocks():
            logits = mix(logs, of_modalities)
            each = self.cell_weights[rows] / total
            truth = self.labels[rows][:, None]
            loss += each @ (logits.logsumexp(dim=1) - logits.gather(1, truth)[:, 0])
            expected = torch.einsum("mnl,nl->mn", logs, logits.softmax(dim=1))
            gradient += (expected - logs.gather(2, truth.expand(len(logs), -1, 1))[..., 0]) @ each
        return float(loss), gradient.numpy()

    def macro_f1(self, weights: "FloatArray") -> float:
        """Of the labels that a mixture predicts."""
        predicted = [mix(logs, torch.as_tensor(weights)).argmax(dim=1) for _, logs in self._blocks()]
        truth = self.labels[self.rows].numpy()
        return float(f1_score(truth, torch.cat(predicted).numpy(), average="macro", zero_division=0))


def _is_judged(labels: "Tensor", cell_weights: "Tensor") -> "Tensor":
    """Cells whose label other cells have, too, so that heads that leave them out know it; shape `(n_obs,)`."""
    counts = labels.bincount((cell_weights > 0).to(cell_weights.dtype))
    return (cell_weights > 0) & (counts[labels] > 1)


def _least_cross_entropy(cells: _Judged) -> "FloatArray":
    """Weights of the modalities, not negative, shape `(n_modalities,)`."""
    equal = np.full(len(cells.log_probabilities), 1 / len(cells.log_probabilities))
    prior = _PRIOR_CELLS / len(cells.rows)

    def loss(weights: "FloatArray") -> "tuple[float, FloatArray]":
        entropy, gradient = cells.loss(weights)
        away = weights - equal
        return entropy + prior * float(away @ away), gradient + 2 * prior * away

    found = minimize(loss, equal, jac=True, bounds=[(0, None)] * len(equal), method="L-BFGS-B")
    return np.asarray(found.x)


def _mean_loss(log_probabilities: "Tensor", labels: "Tensor", cell_weights: "Tensor") -> float:
    """Mean cross-entropy of predicted labels, by weight of the cells."""
    of_truth = log_probabilities.gather(1, labels[:, None])[:, 0]
    return -float((of_truth * cell_weights).sum() / cell_weights.sum())
