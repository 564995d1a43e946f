"""A linear head per modality, whose number of axes and penalty are chosen out of fold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from scmpt_scverse.module._linear_heads import ROUGH, LinearFits, fit_linear
from scmpt_scverse.module._principal_axes import FeatureBlocks, PrincipalAxes

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import IntArray

#: Heads that leave out a tenth are closest to the final one, so what they say of themselves holds for it; where cells
#: abound, leaving out a quarter is as good, and cheaper.
_N_FOLDS_OF_FEW, _FEW_CELLS, _N_FOLDS = 10, 1000, 4
#: Numbers of principal axes that a head may use. Few of them hold what cells have in common, which is all that there is
#: to learn in some data sets; rare types need more.
_N_AXES = (50, 200, 1000)
#: Axes of few cells in many features bend towards each of these cells, so every fold needs its own. With fewer features
#: than this share of the cells, heads that share them say the same of the cells left out.
_LARGEST_SHARE_OF_FEATURES = 0.5
#: With more cells than these, a sample of so many comes first, of a rare label so many at least; what its heads show is
#: not tried again on all cells.
_MANY_CELLS, _N_SAMPLED, _N_SAMPLED_OF_LABEL = 30_000, 10_000, 200
#: In units of the total variance of the features; strong to weak. The search stops where weaker is worse.
_PENALTIES = (0.3, 0.03, 0.003, 0.0003)
#: Variance that features are taken to have at least; those of a modality in which nothing varies have none.
_LEAST_VARIANCE = 1e-6


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
    search = _Search.of(features, labels, cell_weights, folds)
    best = min(search.candidates(), key=attrgetter("loss"))
    return search.solved(best)


@dataclass(frozen=True)
class _Candidate:
    """Numbers of the axes and of the penalty, of those that there are, and how good heads are with them.

    Attributes
    ----------
    loss
        Cross-entropy out of fold.
    """

    n_axes: int
    penalty: int
    fits: LinearFits
    loss: float


@dataclass(frozen=True)
class _Search:
    """For a number of axes and a penalty.

    Attributes
    ----------
    cells
        On several numbers of axes, ascending.
    labels, fold_of, judging
        Code, fold, and weight in judging a head, of each cell, shape `(n_obs,)`.
    in_folds
        Weight of each cell in each fit, shape `(n_folds + 1, n_obs)`.
    penalties
        Strong to weak.
    """

    cells: list[PrincipalAxes]
    labels: "Tensor"
    fold_of: "Tensor"
    judging: "Tensor"
    in_folds: "Tensor"
    penalties: list[float]

    @classmethod
    def of(cls, features: FeatureBlocks, labels: "Tensor", cell_weights: "Tensor", folds: "IntArray") -> Self:
        """From what :func:`fit_head` gets."""
        every = PrincipalAxes.of(features, max(_N_AXES))
        n_obs, n_features = features.shape
        fold_of = torch.as_tensor(folds, device=labels.device)
        # The last fit leaves no cell out: it is the head that predicts, as far from its optimum as the others are.
        left_out = torch.stack([fold_of == fold for fold in range(int(folds.max()) + 2)])
        judging = cell_weights * is_judged(labels, cell_weights)
        if not judging.any():  # then nothing tells settings apart but how sure they are: the least sure one is taken
            judging = cell_weights
        fewer = [n_axes for n_axes in _N_AXES if n_axes < len(every.squares)]
        are_axes_noisy = n_features > _LARGEST_SHARE_OF_FEATURES * n_obs
        bent = every.without(left_out, max(fewer)) if fewer and are_axes_noisy else every
        cells = [*(bent.first(n_axes) for n_axes in fewer), every]
        penalties = [share * max(every.total / n_obs, _LEAST_VARIANCE) for share in _PENALTIES]
        return cls(cells, labels, fold_of, judging, cell_weights * ~left_out, penalties)

    def candidates(self) -> Iterator[_Candidate]:
        """Numbers of axes and penalties that may be the best ones."""
        rows, stands_for = _sample(self.labels)
        if len(rows) == len(self.labels):
            yield from self._tried({}, dict.fromkeys(range(len(self.cells)), 0))
            return
        sample = replace(
            self,
            cells=[each.of_cells(rows) for each in self.cells],
            labels=self.labels[rows],
            fold_of=self.fold_of[rows],
            judging=self.judging[rows] * stands_for,
            in_folds=self.in_folds[:, rows] * stands_for,
        )
        found = sorted(sample._tried({}, dict.fromkeys(range(len(self.cells)), 0)), key=attrgetter("loss"))
        # A head of more cells has use for no fewer axes than that of a sample, and for no stronger penalty.
        first = {each.n_axes: each.penalty for each in reversed(found) if each.n_axes >= found[0].n_axes}
        yield from self._tried({(each.n_axes, each.penalty): each.fits for each in found}, first)

    def _tried(
        self, starts: "Mapping[tuple[int, int], LinearFits]", first: "Mapping[int, int]"
    ) -> Iterator[_Candidate]:
        """Numbers of axes with penalties from the first one on, until a weaker penalty is worse.

        Solutions are looked for at `starts`, by number of axes and penalty, or else at those that are neighbours.
        """
        found: dict[tuple[int, int], LinearFits] = {}
        for n_axes in sorted(first):
            cells, last = self.cells[n_axes], float("inf")
            for penalty in range(first[n_axes], len(self.penalties)):
                start = starts.get((n_axes, penalty))
                if start is None and (n_axes - 1, penalty) in found:
                    # Fewer axes come nearer to what the same penalty gives than a stronger penalty does.
                    start = found[n_axes - 1, penalty].moved(self.cells[n_axes - 1], cells)
                if start is None:
                    start = found.get((n_axes, penalty - 1))
                fits = fit_linear(cells, self.labels, self.in_folds, self.penalties[penalty], start, tolerance=ROUGH)
                found[n_axes, penalty] = fits
                loss = _mean_loss(_out_of_fold(cells, fits, self.fold_of), self.labels, self.judging)
                yield _Candidate(n_axes, penalty, fits, loss)
                if loss > last:
                    break
                last = loss

    def solved(self, candidate: _Candidate) -> LinearHead:
        """The head of a candidate."""
        cells, penalty = self.cells[candidate.n_axes], self.penalties[candidate.penalty]
        fits = fit_linear(cells, self.labels, self.in_folds, penalty, candidate.fits)
        return LinearHead(fits.weights @ cells.axes.mT, fits.biases, _out_of_fold(cells, fits, self.fold_of))


def _sample(labels: "Tensor") -> "tuple[Tensor, Tensor]":
    """A few of many cells, whose heads say where to look for those of all, and how many each of them stands for.

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
    return rows, (counts / wanted)[labels[rows]]


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


def is_judged(labels: "Tensor", cell_weights: "Tensor") -> "Tensor":
    """Cells whose label other cells have, too, so that heads that leave them out know it; shape `(n_obs,)`."""
    counts = labels.bincount((cell_weights > 0).to(cell_weights.dtype))
    return (cell_weights > 0) & (counts[labels] > 1)


def _mean_loss(log_probabilities: "Tensor", labels: "Tensor", cell_weights: "Tensor") -> float:
    """Mean cross-entropy of predicted labels, by weight of the cells."""
    of_truth = log_probabilities.gather(1, labels[:, None])[:, 0]
    return -float((of_truth * cell_weights).sum() / cell_weights.sum())
