"""From a text to a gene profile: the trained tower, its options, and kernel ridge regression."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from scmpt_scverse._checks import check_number, check_positive, check_seed, check_share

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import FloatArray

#: Power iterations of the randomised singular value decomposition; more change nothing in the fourth digit.
_POWER_ITERATIONS = 6


@dataclass(frozen=True)
class TowerOptions:
    """How a tower is built and trained.

    Attributes
    ----------
    n_hidden
        Width of its hidden layer.
    n_axes
        Number of axes of gene space for the output; initialised with singular vectors of the marker profiles.
    n_steps
        Training steps.
    types_per_step, cells_per_step
        Types, and cells of each study, per step; cells are drawn evenly from the labels.
    noise
        Standard deviation of the noise on text embeddings, relative to their own.
    gene_dropout
        Up to this share of the genes of a study is hidden in a step, to train for smaller panels.
    lr
        Highest learning rate.
    seed
        Seed of initial weights, noise, and choice of types and cells.

    Raises
    ------
    ValueError
        One is out of range.
    """

    n_hidden: int = 512
    n_axes: int = 192
    n_steps: int = 250
    types_per_step: int = 192
    cells_per_step: int = 64
    noise: float = 0.3
    gene_dropout: float = 0.7
    lr: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_hidden", "n_axes", "n_steps", "types_per_step", "cells_per_step"):
            check_positive(getattr(self, name), name)
        check_share(self.gene_dropout, "gene_dropout")
        check_seed(self.seed)
        check_number(self.lr, "lr", above=0)
        check_number(self.noise, "noise")


class ProfileTower(nn.Module):
    """Predicts a gene profile from a text embedding: a small network plus a linear map, on axes of gene space.

    Parameters
    ----------
    dim
        Width of text embeddings.
    axes
        Initial axes, shape `(n_genes, n_axes)`; they are trained.
    n_hidden
        Width of the hidden layer.
    """

    def __init__(self, dim: int, axes: "Tensor", n_hidden: int) -> None:
        super().__init__()
        n_axes = axes.shape[1]
        self.network = nn.Sequential(nn.Linear(dim, n_hidden), nn.GELU(), nn.Linear(n_hidden, n_axes))
        self.linear = nn.Linear(dim, n_axes)
        self.axes = nn.Parameter(axes.clone())

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.axes.device

    def forward(self, texts: "Tensor") -> "Tensor":
        """Profiles `(n_texts, n_genes)` from embeddings `(n_texts, dim)`."""
        profiles: Tensor = (self.network(texts) + self.linear(texts)) @ self.axes.T
        return profiles


def marker_axes(profiles: "Tensor", n_axes: int) -> "tuple[Tensor, Tensor]":
    """Axes `(n_genes, n_axes)` and coordinates `(n_types, n_axes)` whose product approximates unit profiles best."""
    unit = functional.normalize(profiles, dim=1)
    n_axes = min(n_axes, *unit.shape)
    left, values, right = torch.svd_lowrank(unit, q=n_axes, niter=_POWER_ITERATIONS)
    root = values.sqrt()
    return right * root, left * root


def ridge_weights(texts: "FloatArray", profiles: "FloatArray", penalty: float = 1.0) -> "FloatArray":
    """Kernel ridge regression from texts to profiles, as weights `(dim, n_genes)`: the baseline.

    Parameters
    ----------
    texts
        Centred embeddings, shape `(n_types, dim)`.
    profiles
        Marker profiles of length 1, shape `(n_types, n_genes)`.
    penalty
        Added to the diagonal of the kernel matrix.
    """
    kernel = texts @ texts.T + penalty * np.eye(len(texts))
    weights: FloatArray = texts.T @ np.linalg.solve(kernel, profiles)
    return weights
