"""The contract of a fusion head: embeddings of several modalities in, logits out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class FusionHead(nn.Module, ABC):
    """Fuses standardised embeddings and classifies.

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
    """

    def __init__(
        self, modality_dims: Mapping[str, int], n_labels: int, *, n_hidden: int, n_layers: int, dropout_rate: float
    ) -> None:
        super().__init__()
        self.modality_dims = dict(modality_dims)
        self.n_labels = n_labels

    @abstractmethod
    def fuse(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """One vector a cell from `{modality: (batch, dim)}`: shape `(batch, n_hidden)`."""

    @abstractmethod
    def classify(self, fused: "Tensor") -> "Tensor":
        """Logits of shape `(batch, n_labels)` from what :meth:`fuse` returns."""

    def forward(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """Logits of shape `(batch, n_labels)`."""
        return self.classify(self.fuse(inputs))
