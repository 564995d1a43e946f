"""Bring modalities to one scale, with statistics of the training cells only."""

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

#: A feature whose spread over the training cells is below this is constant, and left unscaled.
_SMALLEST_STD = 1e-6


class Standardiser(nn.Module):
    """Subtracts the mean and divides by the standard deviation, feature by feature.

    Raw text embeddings of cells point almost the same way (mean cosine 0.97 for MiniLM); unscaled, the modality of
    larger spread drowns the other.

    Parameters
    ----------
    dim
        Width of the modality.
    """

    mean: "Tensor"
    std: "Tensor"

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    @torch.no_grad()
    def fit(self, values: "Tensor") -> None:
        """Take mean and standard deviation from `values`, shape `(n_obs, dim)`."""
        values = values.double()
        std = values.std(dim=0, correction=0)
        self.mean.copy_(values.mean(dim=0))
        self.std.copy_(torch.where(std > _SMALLEST_STD, std, torch.ones_like(std)))

    def forward(self, values: "Tensor") -> "Tensor":
        """Standardised values, same shape."""
        return (values - self.mean) / self.std


