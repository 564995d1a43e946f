"""One number that makes probabilities right as often as they say."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

#: The logarithm of a temperature is sought between minus this and this.
_LARGEST_LOGARITHM = 4.0


def fit_temperature(logits: "Tensor", labels: "Tensor") -> float:
    """The temperature that minimises cross-entropy on cells that were not trained on :cite:p:`guo2017calibration`.

    Parameters
    ----------
    logits
        Shape `(n_obs, n_labels)`.
    labels
        Codes, shape `(n_obs,)`.
    """

    def loss(logarithm: float) -> float:
        return float(functional.cross_entropy(logits.double() / np.exp(logarithm), labels))

    found = minimize_scalar(loss, bounds=(-_LARGEST_LOGARITHM, _LARGEST_LOGARITHM), method="bounded")
    return float(np.exp(found.x))


def balanced_weights(labels: "Tensor", n_labels: int) -> "Tensor":
    """Weights that give every label on a cell the same sum, 1 a cell on average; shape `(n_labels,)`."""
    counts = torch.bincount(labels, minlength=n_labels).float()
    return len(labels) / ((counts > 0).sum() * counts.clamp(min=1))
