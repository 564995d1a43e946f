"""Multinomial logistic regression on tensors: many penalties and folds at once, on any device, the same every time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from torch import Tensor

#: Directions of less variance than this share of the largest are rounding.
_SMALLEST_SHARE = 1e-7
_MAX_STEPS = 300
#: Relative change of the weights at which they no longer change a prediction worth speaking of.
_TOLERANCE = 3e-4


@dataclass(frozen=True)
class PrincipalAxes:
    """Cells in the coordinates of their principal axes, largest variance first.

    A penalty on squared weights does not care which way the axes point, so weights found here are those of the features
    themselves; but there are no more axes than cells, and no two of them are correlated.

    Attributes
    ----------
    coordinates
        Shape `(n_obs, n_axes)`.
    axes
        Orthonormal, shape `(n_features, n_axes)`.
    squares
        Sum of squares of each coordinate, shape `(n_axes,)`.
    """

    coordinates: "Tensor"
    axes: "Tensor"
    squares: "Tensor"

    @classmethod
    def of(cls, features: "Tensor") -> Self:
        """Of standardised features, shape `(n_obs, n_features)`."""
        n_obs, n_features = features.shape
        if n_obs < n_features:
            squares, left = _eigen(features @ features.T)
            axes = features.T @ (left / squares.sqrt()).to(features.dtype)
        else:
            squares, right = _eigen(features.T @ features)
            axes = right.to(features.dtype)
        return cls(features @ axes, axes, squares.to(features.dtype))

    def first(self, n_axes: int) -> "PrincipalAxes":
        """The axes of largest variance only."""
        return PrincipalAxes(self.coordinates[:, :n_axes], self.axes[:, :n_axes], self.squares[:n_axes])


@dataclass(frozen=True)
class LinearFits:
    """Several logistic regressions on the same cells.

    Attributes
    ----------
    weights
        Shape `(n_labels, n_fits, n_axes)`: labels lead and cells come last, since a softmax over the few numbers at the
        end of a row would cost more than the matrix products.
    biases
        Shape `(n_labels, n_fits, 1)`.
    """

    weights: "Tensor"
    biases: "Tensor"

    def log_probabilities(self, coordinates: "Tensor", fit: int) -> "Tensor":
        """Of some cells by one of the fits, shape `(n_obs, n_labels)`."""
        return (coordinates @ self.weights[:, fit].T + self.biases[:, fit].T).log_softmax(dim=-1)


def fit_linear(
    cells: PrincipalAxes, targets: "Tensor", cell_weights: "Tensor", penalty: float, start: LinearFits | None = None
) -> LinearFits:
    r"""Minimise weighted cross-entropy plus `penalty / 2` times the squared weights; biases are free.

    Parameters
    ----------
    cells
        Training cells in their principal axes.
    targets
        One-hot labels, shape `(n_obs, n_labels)`.
    cell_weights
        Weight of each cell in each fit, not negative, shape `(n_fits, n_obs)`; 0 leaves a cell out.
    penalty
        Of squared weights; the inverse of `C` in scikit-learn.
    start
        Where to start, such as the solution for a stronger penalty.

    Notes
    -----
    Accelerated gradient steps with restarts :cite:p:`odonoghue2015restart`, each divided by an upper bound of the
    curvature: for cross-entropy the Hessian is at most half the sum of squares of a coordinate
    :cite:p:`bohning1992multinomial`, and along principal axes these bounds are independent.
    """
    n_obs, n_labels = targets.shape
    n_axes, n_fits = cells.coordinates.shape[1], len(cell_weights)
    step = 1 / (0.5 * cell_weights.max() * cells.squares + penalty)
    bias_step = 1 / (0.5 * cell_weights.sum(dim=1, keepdim=True))
    if start is None:
        zeros = cells.coordinates.new_zeros
        start = LinearFits(zeros(n_labels, n_fits, n_axes), zeros(n_labels, n_fits, 1))
    weights, biases = start.weights, start.biases
    ahead, ahead_biases, momentum = weights, biases, 1.0
    truth = targets.T[:, None].contiguous()  # (n_labels, 1, n_obs)
    for _ in range(_MAX_STEPS):
        logits = (ahead.flatten(0, 1) @ cells.coordinates.T).view(n_labels, n_fits, n_obs) + ahead_biases
        residuals = (logits.softmax(dim=0) - truth) * cell_weights  # (n_labels, n_fits, n_obs)
        gradient = (residuals.flatten(0, 1) @ cells.coordinates).view_as(ahead) + penalty * ahead
        new = ahead - gradient * step
        new_biases = ahead_biases - residuals.sum(dim=-1, keepdim=True) * bias_step
        change, bias_change = new - weights, new_biases - biases
        uphill = ((ahead - new) * change).sum() + ((ahead_biases - new_biases) * bias_change).sum()
        next_momentum = 1.0 if uphill > 0 else (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        share = 0.0 if uphill > 0 else (momentum - 1) / next_momentum
        weights, biases, momentum = new, new_biases, next_momentum
        if change.norm() <= _TOLERANCE * weights.norm():
            break
        ahead, ahead_biases = weights + share * change, biases + share * bias_change
    return LinearFits(weights, biases)


def _eigen(gram: "Tensor") -> "tuple[Tensor, Tensor]":
    """Eigenvalues above rounding, largest first, and their vectors; in double precision, as squares lose digits."""
    values, vectors = torch.linalg.eigh(gram.double())
    kept = values > _SMALLEST_SHARE * values[-1]
    kept[-1] = True  # where nothing varies, there is still an axis
    return values[kept].clamp(min=torch.finfo(torch.float32).tiny).flip(0), vectors[:, kept].flip(1)
