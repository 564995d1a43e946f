"""A linear head per modality, with the number of axes and the penalty chosen out of fold."""

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

#: Folds for few cells, number of cells that is few, and folds for more. Heads that leave out a tenth resemble the final
#: one most, so their scores hold for it; with many cells, leaving out a quarter is as good, and cheaper.
_N_FOLDS_OF_FEW, _FEW_CELLS, _N_FOLDS = 10, 1000, 4
#: Numbers of principal axes to try. A few capture the main variation, which is all there is to learn in some data sets;
#: rare types need more.
_N_AXES = (50, 200, 1000)
#: Axes from few cells in many features overfit these cells, so every fold needs its own. With fewer features than this
#: share of the cells, shared axes give the same results for held-out cells.
_LARGEST_SHARE_OF_FEATURES = 0.5
#: With more cells than this, settings are first compared on a sample of so many cells, with at least so many of a rare
#: label; those that the sample rules out are not tried on all cells.
_MANY_CELLS, _N_SAMPLED, _N_SAMPLED_OF_LABEL = 30_000, 10_000, 200
#: Relative to the total variance of the features; strong to weak. The search stops when a weaker one is worse.
_PENALTIES = (0.3, 0.03, 0.003, 0.0003)
#: Least total variance to assume, for modalities in which nothing varies.
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class LinearHead:
    """Logistic regressions of one modality: one for each fold, which leaves it out, then the final one.

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
    """Logistic regression with the number of axes and the penalty that have the least cross-entropy out of fold.

    Parameters
    ----------
    features
        Standardised features of the training cells.
    labels
        Codes 0 to `n_labels - 1`, all of which occur, shape `(n_obs,)`.
    cell_weights
        Weight of each cell, shape `(n_obs,)`.
    folds
        From :func:`stratified_folds`.
    """
    search = _Search.of(features, labels, cell_weights, folds)
    best = min(search.candidates(), key=attrgetter("loss"))
    return search.solved(best)


@dataclass(frozen=True)
class _Candidate:
    """A setting, as indices into the numbers of axes and the penalties, with its fits and its score.

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
    """Search for the number of axes and the penalty.

    Attributes
    ----------
    cells
        Cells on several numbers of axes, ascending.
    labels, fold_of, judging
        Code, fold, and weight in the out-of-fold loss, of each cell, shape `(n_obs,)`.
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
        """From the arguments of :func:`fit_head`."""
        every = PrincipalAxes.of(features, max(_N_AXES))
        n_obs, n_features = features.shape
        fold_of = torch.as_tensor(folds, device=labels.device)
        # The last fit leaves no cell out: it is the final head, solved to the same tolerance as the others.
        left_out = torch.stack([fold_of == fold for fold in range(int(folds.max()) + 2)])
        judging = cell_weights * is_judged(labels, cell_weights)
        if not judging.any():  # no label has two cells: this then favours the least confident setting
            judging = cell_weights
        fewer = [n_axes for n_axes in _N_AXES if n_axes < len(every.squares)]
        are_axes_noisy = n_features > _LARGEST_SHARE_OF_FEATURES * n_obs
        bent = every.without(left_out, max(fewer)) if fewer and are_axes_noisy else every
        cells = [*(bent.first(n_axes) for n_axes in fewer), every]
        penalties = [share * max(every.total / n_obs, _LEAST_VARIANCE) for share in _PENALTIES]
        return cls(cells, labels, fold_of, judging, cell_weights * ~left_out, penalties)

    def candidates(self) -> Iterator[_Candidate]:
        """Settings that may be the best."""
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
        # With more cells than in the sample, a head needs no fewer axes and no stronger penalty.
        first = {each.n_axes: each.penalty for each in reversed(found) if each.n_axes >= found[0].n_axes}
        yield from self._tried({(each.n_axes, each.penalty): each.fits for each in found}, first)

    def _tried(
        self, starts: "Mapping[tuple[int, int], LinearFits]", first: "Mapping[int, int]"
    ) -> Iterator[_Candidate]:
        """For each number of axes, penalties from the first one on, until a weaker penalty is worse.

        Fits start from `starts`, by number of axes and penalty, or else from a neighbouring setting.
        """
        found: dict[tuple[int, int], LinearFits] = {}
        for n_axes in sorted(first):
            cells, last = self.cells[n_axes], float("inf")
            for penalty in range(first[n_axes], len(self.penalties)):
                start = starts.get((n_axes, penalty))
                if start is None and (n_axes - 1, penalty) in found:
                    # Fewer axes with the same penalty are a better start than a stronger penalty.
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
    """Rows of a sample on which settings are compared first, and the number of cells that each row stands for.

    Every label is included, with all of its cells if they are few. Without many cells, all are used.
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
    """The fold in which each cell is left out; every label is spread over as many folds as possible.

    Shape `(n_obs,)`.
    """
    n_folds = _N_FOLDS_OF_FEW if len(labels) <= _FEW_CELLS else _N_FOLDS
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    folds = np.empty(len(labels), dtype=np.int64)
    folds[order] = np.arange(len(labels)) % n_folds
    return folds


def is_judged(labels: "Tensor", cell_weights: "Tensor") -> "Tensor":
    """Cells whose label other cells have, too, so that heads that leave them out have seen it; shape `(n_obs,)`."""
    counts = labels.bincount((cell_weights > 0).to(cell_weights.dtype))
    return (cell_weights > 0) & (counts[labels] > 1)


def _mean_loss(log_probabilities: "Tensor", labels: "Tensor", cell_weights: "Tensor") -> float:
    """Weighted mean cross-entropy."""
    of_truth = log_probabilities.gather(1, labels[:, None])[:, 0]
    return -float((of_truth * cell_weights).sum() / cell_weights.sum())
