"""Bring modalities to the same scale, with statistics of the training cells only."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

#: A feature whose standard deviation is below this share of the largest one is constant except for rounding, and is set
#: to 0: text encoders have features around 1e-33, whose products the CPU computes a hundred times slower.
_SMALLEST_STD = 1e-6
#: Standardised expression of a gene is clipped here, as in CellTypist and, with `max_value=10`, in scanpy.
_LARGEST_EXPRESSION = 10.0


class Standardiser(nn.Module):
    """Subtracts the mean and divides by the standard deviation, feature by feature, then scales by one number.

    Raw text embeddings of cells are almost parallel (mean cosine 0.97 for MiniLM); without scaling, the modality with
    the larger variance would dominate.

    Parameters
    ----------
    dim
        Width of the modality.
    scale
        Standard deviation of a feature afterwards (see :func:`balanced_scales`).
    are_genes
        Whether features are genes. Each is then divided by its standard deviation plus the median over genes
        :cite:p:`tusher2001sam`, so that genes that hardly vary, most of which are noise, weigh less than those that
        separate types, and all are rescaled to a variance of 1 on average. Values are clipped to [-10, 10], so that a
        gene that few training cells express does not outweigh all others in a cell that expresses it.
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
        """Compute mean and standard deviation from blocks of cells, each of shape `(n_obs, dim)`."""
        n_obs, mean = 0, torch.zeros_like(self.mean, dtype=torch.float64)
        squares = torch.zeros_like(mean)
        for block in blocks:  # centred sums of squares, which lose no digits (Chan et al. 1979)
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
            # Features still have a variance of 1 on average.
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
    """Scales that give every modality the same total variance, and features a variance of 1 on average.

    Without them, a modality of 384 features would outweigh one of 50 by its width alone.
    """
    mean_dim = sum(modality_dims.values()) / len(modality_dims)
    return {modality: (mean_dim / dim) ** 0.5 for modality, dim in modality_dims.items()}
