"""Multinomial logistic regression on tensors: many folds at once, on any device, deterministic."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

import torch
from torch.nn import functional

from scmpt_scverse.module._principal_axes import products_of_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse.module._principal_axes import PrincipalAxes

_MAX_STEPS = 300
#: Earlier steps from which L-BFGS estimates the curvature.
_N_REMEMBERED = 10
#: Relative decrease of the loss promised by the next step below which fits are good enough to compare settings, and
#: below which they are the solution, independent of the start.
ROUGH, FINE = 1e-4, 1e-10
#: Line search: least share of the promised decrease, factor by which a step is shortened, and most shortenings.
_SUFFICIENT, _SHORTER, _MAX_SHORTER = 1e-4, 0.4, 8
#: Share of the loss that counts as rounding.
_ROUNDING = 1e-6
#: Least curvature assumed for a label: that of a label with one cell in a thousand.
_LEAST_CURVATURE = 1e-3
#: With more cells than this, a pass over all of them costs more than estimating second derivatives from a sample with
#: so many cells per axis; the estimate is renewed after so many steps.
_MANY_CELLS, _SAMPLED_PER_AXIS, _STEPS_BETWEEN = 30_000, 5, 50
#: Most numbers that second derivatives may take: a gigabyte.
_MOST_NUMBERS = 2.5e8
#: Share of a sample that is drawn uniformly, however sure the fit is of a cell; and least curvature of a parameter, as
#: a share of the estimate without a sample.
_SURE, _FLOOR = 0.05, 3e-3


@dataclass(frozen=True)
class LinearFits:
    """Several logistic regressions on the same cells.

    Attributes
    ----------
    weights
        Shape `(n_fits, n_labels, n_axes)`.
    biases
        Shape `(n_fits, n_labels)`.
    """

    weights: "Tensor"
    biases: "Tensor"

    def log_probabilities(self, coordinates: "Tensor", fit: int) -> "Tensor":
        """Log-probabilities of some cells by one of the fits, shape `(n_obs, n_labels)`."""
        return (coordinates @ self.weights[fit].T + self.biases[fit]).log_softmax(dim=-1)

    def moved(self, origin: "PrincipalAxes", target: "PrincipalAxes") -> Self:
        """The same regressions on other axes of the same features, as far as these span their weights."""
        return type(self)((self.weights @ origin.axes.mT) @ target.axes, self.biases)


def fit_linear(
    cells: "PrincipalAxes",
    labels: "Tensor",
    cell_weights: "Tensor",
    penalty: float,
    start: LinearFits | None = None,
    *,
    tolerance: float = FINE,
) -> LinearFits:
    r"""Minimise weighted cross-entropy plus `penalty / 2` times the squared weights; biases are not penalised.

    Parameters
    ----------
    cells
        Training cells on their principal axes; each fit may have its own axes.
    labels
        Codes 0 to `n_labels - 1`, shape `(n_obs,)`.
    cell_weights
        Weight of each cell in each fit, at least 0, shape `(n_fits, n_obs)`; 0 leaves a cell out.
    penalty
        Penalty on squared weights; the inverse of `C` in scikit-learn.
    start
        Where to start, such as the solution for a stronger penalty.
    tolerance
        Relative decrease of the loss that another step must promise.

    Notes
    -----
    L-BFGS :cite:p:`liu1989limited`, separately for every fit but with all fits in the same matrix products. The initial
    curvature along a principal axis is about `p * (1 - p)`, for a label with the share `p` of cells, times the sum of
    squares of the coordinate. With many cells and a start, it is replaced by second derivatives with respect to the
    parameters of each label, from a sample of the cells; this takes a half to a fifth of the passes over all cells.
    Cells are read in blocks, so memory beyond the coordinates does not grow with their number.
    """
    n_labels = int(labels.max()) + 1
    loss_at = _penalised_loss(cells, labels, cell_weights, penalty, n_labels)
    inverse = _inverse_curvature(cells, labels, cell_weights, penalty, n_labels)
    at = torch.zeros_like(inverse) if start is None else torch.cat([start.weights, start.biases[..., None]], dim=-1)
    loss, gradient = loss_at(at)
    steps = _Steps(lambda values: inverse * values)
    is_worth_it = cells.n_obs > _MANY_CELLS and n_labels * at.shape[-1] ** 2 <= _MOST_NUMBERS
    learns_curvature = is_worth_it and start is not None and cells.coordinates.ndim == 2
    for number in range(_MAX_STEPS):
        if learns_curvature and number % _STEPS_BETWEEN == 0:
            hessians = _inverse_hessians(cells, cell_weights.mean(dim=0), penalty, at.mean(dim=0), inverse.mean(dim=0))
            steps = _Steps(partial(_times, hessians))
        direction = steps.direction(gradient)
        promised = _dot(direction, gradient)
        if (promised <= tolerance * loss).all():
            break
        length = torch.ones_like(promised)
        for _ in range(_MAX_SHORTER):
            new = at - length[:, None, None] * direction
            new_loss, new_gradient = loss_at(new)
            is_worse = new_loss > loss - _SUFFICIENT * length * promised + _ROUNDING * loss.abs()
            if not is_worse.any():
                break
            length = torch.where(is_worse, _SHORTER * length, length)
        stays = is_worse[:, None, None]  # no better point found: converged up to rounding
        new, new_gradient = torch.where(stays, at, new), torch.where(stays, gradient, new_gradient)
        new_loss = torch.where(is_worse, loss, new_loss)
        steps.remember(new - at, new_gradient - gradient)
        at, loss, gradient = new, new_loss, new_gradient
    return LinearFits(at[..., :-1], at[..., -1])


class _Steps:
    """L-BFGS memory: the last steps, and the next direction given the curvature along them; for several fits at once.

    Parameters
    ----------
    uncurved
        Multiplies gradients, shape `(n_fits, n_labels, n_axes + 1)`, by the inverse of the initial curvature.
    """

    def __init__(self, uncurved: "Callable[[Tensor], Tensor]") -> None:
        self._uncurved = uncurved
        self._scale: Tensor | None = None  # of the curvature; 1 before the first step
        self._steps: list[tuple[Tensor, Tensor, Tensor]] = []

    def remember(self, step: "Tensor", change: "Tensor") -> None:
        """Add a step, and the change of the gradient along it."""
        bend, expected = _dot(step, change), _dot(change, self._uncurved(change))
        is_convex = bend > torch.finfo(bend.dtype).eps * expected
        # A step that a fit did not take, or along which rounding hides the curvature, gets weight 0.
        weight = torch.where(is_convex, 1 / torch.where(is_convex, bend, 1.0), 0.0)
        scale = bend / expected.clamp(min=torch.finfo(bend.dtype).tiny)
        self._scale = torch.where(is_convex, scale, 1.0 if self._scale is None else self._scale)
        self._steps = [*self._steps, (step, change, weight)][-_N_REMEMBERED:]

    def direction(self, gradient: "Tensor") -> "Tensor":
        """The step to subtract from the parameters."""
        shares = []
        for step, change, weight in reversed(self._steps):
            shares.append(weight * _dot(step, gradient))
            gradient = gradient - shares[-1][:, None, None] * change
        uphill = self._uncurved(gradient)
        if self._scale is not None:
            uphill = self._scale[:, None, None] * uphill
        for (step, change, weight), share in zip(self._steps, reversed(shares), strict=True):
            uphill = uphill + (share - weight * _dot(change, uphill))[:, None, None] * step
        return uphill


def _penalised_loss(
    cells: "PrincipalAxes", labels: "Tensor", cell_weights: "Tensor", penalty: float, n_labels: int
) -> "Callable[[Tensor], tuple[Tensor, Tensor]]":
    """Loss of each fit, shape `(n_fits,)`, and its gradient, from parameters `(n_fits, n_labels, n_axes + 1)`."""
    n_fits = len(cell_weights)
    is_shared = cells.coordinates.ndim == 2  # then one product serves all fits, and reads the coordinates once

    def loss_at(parameters: "Tensor") -> "tuple[Tensor, Tensor]":
        weights, biases = parameters[..., :-1], parameters[..., -1:]
        loss = (0.5 * penalty * weights.square().sum(dim=(1, 2))).double()
        of_weights, of_biases = penalty * weights, torch.zeros_like(biases)
        flat = weights.flatten(0, 1)
        for rows, coordinates in cells.blocks():
            # Cells are the last axis: a softmax over a short last axis would cost more than the products.
            products = (
                (flat @ coordinates.T).unflatten(0, (n_fits, n_labels)) if is_shared else weights @ coordinates.mT
            )
            logs = (products + biases).log_softmax(dim=1)  # (n_fits, n_labels, n_rows)
            some, truth = cell_weights[:, rows], labels[rows].expand(n_fits, 1, -1)
            loss -= (logs.gather(1, truth)[:, 0] * some).sum(dim=1, dtype=torch.float64)
            residuals = logs.exp_().scatter_add_(1, truth, logs.new_full((), -1).expand_as(truth)).mul_(some[:, None])
            of_biases += residuals.sum(dim=-1, keepdim=True)
            if is_shared:
                of_weights += (residuals.flatten(0, 1) @ coordinates).unflatten(0, (n_fits, n_labels))
            else:
                of_weights += residuals @ coordinates
        return loss, torch.cat([of_weights, of_biases], dim=-1)

    return loss_at


def _inverse_curvature(
    cells: "PrincipalAxes", labels: "Tensor", cell_weights: "Tensor", penalty: float, n_labels: int
) -> "Tensor":
    """Approximate inverse of the curvature along each parameter, shape `(n_fits, n_labels, n_axes + 1)`."""
    tiny = torch.finfo(torch.float32).tiny
    n_cells = cell_weights.sum(dim=1, keepdim=True).clamp(min=tiny)
    shares = torch.stack([labels.bincount(each, minlength=n_labels) for each in cell_weights]) / n_cells
    curvature = (shares * (1 - shares)).clamp(min=_LEAST_CURVATURE)[..., None]  # (n_fits, n_labels, 1)
    mean_weight = (n_cells / cells.n_obs)[..., None]
    of_weights = curvature * mean_weight * cells.squares.unsqueeze(-2) + penalty
    return 1 / torch.cat([of_weights, curvature * n_cells[..., None]], dim=-1)


def _inverse_hessians(
    cells: "PrincipalAxes", cell_weights: "Tensor", penalty: float, at: "Tensor", inverse: "Tensor"
) -> "Tensor":
    """Inverse second derivatives of the loss with respect to the parameters of each label, from a sample of cells.

    Parameters
    ----------
    cells, penalty
        As for :func:`fit_linear`; all fits have the same axes.
    cell_weights
        Weight of each cell, shape `(n_obs,)`.
    at
        Parameters at which to differentiate, shape `(n_labels, n_axes + 1)`.
    inverse
        Inverse of the curvature estimated without a sample, same shape.

    Returns
    -------
    Shape `(n_labels, n_axes + 1, n_axes + 1)`.
    """
    bends = at.new_empty(cells.n_obs, len(at))
    for rows, coordinates in cells.blocks():
        shares = (coordinates @ at[:, :-1].T + at[:, -1]).softmax(dim=1)
        bends[rows] = shares * (1 - shares) * cell_weights[rows, None]
    # Cells that the fit is sure of add little curvature, so others are drawn more often, with smaller weights.
    chances = bends.sum(dim=1, dtype=torch.float64)
    chances = chances / chances.sum().clamp(min=torch.finfo(torch.float32).tiny) + _SURE / cells.n_obs
    edges = (chances / chances.sum()).cumsum(dim=0)
    n_drawn = _SAMPLED_PER_AXIS * at.shape[1]
    at_edges = (torch.arange(n_drawn, dtype=torch.float64, device=at.device) + 0.5) / n_drawn
    drawn = torch.searchsorted(edges, at_edges).clamp(max=cells.n_obs - 1)
    bends = bends[drawn] * (chances.sum() / (n_drawn * chances[drawn, None])).to(bends.dtype)
    values = functional.pad(cells.rows(drawn), (0, 1), value=1.0)
    found = torch.empty(len(at), at.shape[1], at.shape[1], dtype=at.dtype, device=at.device)
    for label, least in enumerate(1 / inverse):
        hessian = products_of_pairs(values * bends[:, [label]].sqrt()).double()
        hessian.diagonal().add_(_FLOOR * least)
        hessian.diagonal()[:-1].add_(penalty)
        found[label] = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    return found


def _times(matrices: "Tensor", values: "Tensor") -> "Tensor":
    """Products of the matrix of each label with the parameters of each fit, `(n_fits, n_labels, n_axes + 1)`."""
    return (matrices @ values.permute(1, 2, 0)).permute(2, 0, 1)


def _dot(one: "Tensor", other: "Tensor") -> "Tensor":
    """Scalar product of each fit, shape `(n_fits,)`."""
    return (one * other).sum(dim=(1, 2))
