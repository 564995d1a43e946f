"""The head of the scMPT paper: concatenation, dense layers with ReLU, softmax."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

from scmpt_scverse.module._fusion_base import FusionHead, HeadOptions, concatenated, dense_layers

if TYPE_CHECKING:
    from torch import Tensor


class ConcatFusion(FusionHead):
    """Concatenates the modalities and classifies with a multilayer perceptron; arguments as in :class:`FusionHead`."""

    def __init__(self, modality_dims: Mapping[str, int], n_labels: int, options: HeadOptions | None = None) -> None:
        super().__init__(modality_dims, n_labels, options)
        n_hidden, n_layers, dropout_rate = self.options.n_hidden, self.options.n_layers, self.options.dropout_rate
        self.hidden = dense_layers(sum(self.modality_dims.values()), n_hidden, n_layers, dropout_rate)
        self.output = nn.Linear(n_hidden, n_labels)

    def fuse(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """The last hidden layer, shape `(batch, n_hidden)`."""
        hidden: Tensor = self.hidden(concatenated(inputs, self.modality_dims))
        return hidden

    def classify(self, fused: "Tensor") -> "Tensor":
        """A linear layer, shape `(batch, n_labels)`."""
        logits: Tensor = self.output(fused)
        return logits
