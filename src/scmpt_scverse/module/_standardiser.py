"""Bring modalities to one scale, with statistics of the training cells only."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

#: A feature whose spread is below this share of the largest one is constant but for rounding. It says nothing, and
#: counts as 0: text encoders have features around 1e-33, whose products the CPU computes a hundred times slower.
_SMALLEST_STD = 1e-6
#: Where expression of a gene is clipped, as scanpy and CellTypist do.
_LARGEST_EXPRESSION = 10.0


class Standardiser(nn.Module):
    """Subtracts the mean and divides by the standard deviation, feature by feature, then scales by one number.

    Raw text embeddings of cells point almost the same way (mean cosine 0.97 for MiniLM); unscaled, the modality of
    larger spread drowns the other.

    Parameters
    ----------
    dim
        Width of the modality.
    scale
        Standard deviation of a feature afterwards (see :func:`balanced_scales`).
    are_genes
        Whether features are genes. Each is then divided by its standard deviation plus the median one
        :cite:p:`tusher2001sam`, so that genes which hardly vary, most of which are noise, weigh less than those that
        tell types apart; and a value beyond 10 of these counts as 10, so that a gene which few training cells express
        does not outweigh all others in a cell that does.
    """

    mean: "Tensor"
    std: "Tensor"

    def __init__(self, dim: int, scale: float = 1.0, *, are_genes: bool = False) -> None:
        super().__init__()
        self.scale = scale
        self.are_genes = are_genes
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    @torch.no_grad()
    def fit(self, blocks: "Iterable[Tensor]") -> None:
        """Take mean and standard deviation from blocks of cells, each of shape `(n_obs, dim)`."""
        n_obs, mean = 0, torch.zeros_like(self.mean, dtype=torch.float64)
        squares = torch.zeros_like(mean)
        for block in blocks:  # squares of distances from means, which lose no digits to them (Chan et al. 1979)
            values = block.double()
            of_block, n_block = values.mean(dim=0), len(values)
            away, share = of_block - mean, n_block / (n_obs + n_block)
            squares += (values - of_block).square_().sum(dim=0) + away.square() * n_obs * share
            mean = mean + away * share
            n_obs += n_block
        std = (squares / n_obs).sqrt()
        rounding = torch.finfo(torch.float32).eps * mean.abs()
        varies = std > torch.maximum(_SMALLEST_STD * std.max(), rounding)
        if self.are_genes and varies.any():
            divisor = std + std[varies].median()
            # A feature still has a variance of 1 on average.
            std = divisor * (std[varies] / divisor[varies]).square().mean().sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(varies, std, torch.inf))

    def forward(self, values: "Tensor") -> "Tensor":
        """Standardised and scaled values, same shape."""
        standardised = (values - self.mean) / self.std
        if self.are_genes:
            standardised = standardised.clamp(-_LARGEST_EXPRESSION, _LARGEST_EXPRESSION)
        return standardised * self.scale


def balanced_scales(modality_dims: Mapping[str, int]) -> dict[str, float]:
    """Scales that give every modality the same total variance, and a feature a variance of 1 on average.

    Without them a modality of 384 features outweighs one of 50 by its width alone, whatever either knows.
    """
    mean_dim = sum(modality_dims.values()) / len(modality_dims)
    return {modality: (mean_dim / dim) ** 0.5 for modality, dim in modality_dims.items()}
