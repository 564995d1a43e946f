"""Multinomial logistic regression on tensors: many penalties and folds at once, on any device, the same every time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from torch import Tensor

#: Directions of less variance than this share of the largest are rounding.
_SMALLEST_SHARE = 1e-7
_MAX_STEPS = 300
#: The first steps are small, wherever they start from: momentum has yet to build up.
_MIN_STEPS = 10
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

    def without(self, left_out: "Tensor", n_axes: int) -> "PrincipalAxes":
        """All cells on the first axes of some of them, once for each set of cells that are left out.

        Axes bend towards the cells that they are found on. A head that is tried on such cells looks better than it is,
        and the more so the fewer axes it has: on 50 axes of 144 cells in 4,000 genes, its cross-entropy was 0.6 to 0.8
        of that on new cells.

        Parameters
        ----------
        left_out
            Which cells have no say, shape `(n_sets, n_obs)`.
        n_axes
            How many; with all there are, nothing depends on which way they point, and they stay as they are.

        Returns
        -------
        Attributes with a leading axis, `n_sets`, or without it where all sets have the same axes.
        """
        if n_axes >= len(self.squares):
            return self
        squares, turns = [], []
        for rows in left_out:
            away = self.coordinates[rows]
            values, vectors = torch.linalg.eigh((self.squares.diag() - away.T @ away).double())
            squares.append(values[-n_axes:].flip(0).clamp(min=0))
            turns.append(vectors[:, -n_axes:].flip(1))
        turn = torch.stack(turns).to(self.axes.dtype)
        return PrincipalAxes(self.coordinates @ turn, self.axes @ turn, torch.stack(squares).to(self.axes.dtype))


@dataclass(frozen=True)
class LinearFits:
    """Several logistic regressions on the same cells.

    Attributes
    ----------
    weights
        Shape `(n_fits, n_labels, n_axes)`: cells come last in the products, since a softmax over the few numbers at the
        end of a row would cost more than these.
    biases
        Shape `(n_fits, n_labels, 1)`.
    """

    weights: "Tensor"
    biases: "Tensor"

    def log_probabilities(self, coordinates: "Tensor", fit: int) -> "Tensor":
        """Of some cells by one of the fits, shape `(n_obs, n_labels)`."""
        return (coordinates @ self.weights[fit].T + self.biases[fit].T).log_softmax(dim=-1)


def fit_linear(
    cells: PrincipalAxes, targets: "Tensor", cell_weights: "Tensor", penalty: float, start: LinearFits | None = None
) -> LinearFits:
    r"""Minimise weighted cross-entropy plus `penalty / 2` times the squared weights; biases are free.

    Parameters
    ----------
    cells
        Training cells in their principal axes; each fit may have its own.
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
    n_axes, n_fits = cells.coordinates.shape[-1], len(cell_weights)
    step = 1 / (0.5 * cell_weights.max() * cells.squares.unsqueeze(-2) + penalty)
    bias_step = 1 / (0.5 * cell_weights.sum(dim=1)[:, None, None])
    if start is None:
        zeros = cells.coordinates.new_zeros
        start = LinearFits(zeros(n_fits, targets.shape[1], n_axes), zeros(n_fits, targets.shape[1], 1))
    weights, biases = start.weights, start.biases
    ahead, ahead_biases, momentum = weights, biases, 1.0
    truth = targets.T.contiguous()  # (n_labels, n_obs)
    for n_steps in range(_MAX_STEPS):
        logits = ahead @ cells.coordinates.mT + ahead_biases
        residuals = (logits.softmax(dim=1) - truth) * cell_weights[:, None]  # (n_fits, n_labels, n_obs)
        gradient = residuals @ cells.coordinates + penalty * ahead
        new = ahead - gradient * step
        new_biases = ahead_biases - residuals.sum(dim=-1, keepdim=True) * bias_step
        change, bias_change = new - weights, new_biases - biases
        uphill = ((ahead - new) * change).sum() + ((ahead_biases - new_biases) * bias_change).sum()
        next_momentum = 1.0 if uphill > 0 else (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        share = 0.0 if uphill > 0 else (momentum - 1) / next_momentum
        weights, biases, momentum = new, new_biases, next_momentum
        if n_steps >= _MIN_STEPS and change.norm() <= _TOLERANCE * weights.norm():
            break
        ahead, ahead_biases = weights + share * change, biases + share * bias_change
    return LinearFits(weights, biases)


def _eigen(gram: "Tensor") -> "tuple[Tensor, Tensor]":
    """Eigenvalues above rounding, largest first, and their vectors; in double precision, as squares lose digits."""
    values, vectors = torch.linalg.eigh(gram.double())
    kept = values > _SMALLEST_SHARE * values[-1]
    kept[-1] = True  # where nothing varies, there is still an axis
    return values[kept].clamp(min=torch.finfo(torch.float32).tiny).flip(0), vectors[:, kept].flip(1)
