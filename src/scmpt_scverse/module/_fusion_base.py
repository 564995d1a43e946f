"""The contract of a fusion head: embeddings of several modalities in, logits out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class FusionHead(nn.Module, ABC):
    """Fuses standardised embeddings and classifies.

    Inputs may lack some of the modalities, or all but the number of cells: a head does without what is not there, as
    if it were not different from the mean of the training cells. That is how missing modalities are bridged, and how
    the share of each modality in a decision is measured.

    Parameters
    ----------
    modality_dims
        Width of each modality's embedding, in the order in which they are fused.
    n_labels
        Number of labels.
    n_hidden
        Width of a hidden layer.
    n_layers
        Number of hidden layers.
    dropout_rate
        Dropout after each hidden layer, in [0, 1).

    Attributes
    ----------
    fused_dim
        Width of what :meth:`fuse` returns.
    """

    fused_dim: int

    def __init__(
        self, modality_dims: Mapping[str, int], n_labels: int, *, n_hidden: int, n_layers: int, dropout_rate: float
    ) -> None:
        super().__init__()
        self.modality_dims = dict(modality_dims)
        self.n_labels = n_labels
        self.fused_dim = n_hidden

    @abstractmethod
    def fuse(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """One vector a cell from `{modality: (batch, dim)}`: shape `(batch, fused_dim)`."""

    @abstractmethod
    def classify(self, fused: "Tensor") -> "Tensor":
        """Logits of shape `(batch, n_labels)` from what :meth:`fuse` returns."""

    def forward(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """Logits of shape `(batch, n_labels)`."""
        return self.classify(self.fuse(inputs))


def concatenated(inputs: "Mapping[str, Tensor]", modality_dims: Mapping[str, int]) -> "Tensor":
    """All modalities side by side, `(batch, sum of dims)`; a modality that is not there is at its mean, 0."""
    some = next(iter(inputs.values()))
    return torch.cat(
        [inputs[name] if name in inputs else some.new_zeros(len(some), dim) for name, dim in modality_dims.items()],
        dim=-1,
    )


def dense_layers(n_in: int, n_hidden: int, n_layers: int, dropout_rate: float) -> nn.Sequential:
    """Hidden layers with ReLU and dropout; none where `n_layers` is 0."""
    layers: list[nn.Module] = []
    for layer in range(n_layers):
        layers += [nn.Linear(n_in if layer == 0 else n_hidden, n_hidden), nn.ReLU(), nn.Dropout(dropout_rate)]
    return nn.Sequential(*layers)
