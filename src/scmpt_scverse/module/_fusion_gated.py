"""Fusion by gates: modality weights that depend on the cell."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from scmpt_scverse.module._fusion_base import FusionHead, HeadOptions, concatenated, dense_layers

if TYPE_CHECKING:
    from torch import Tensor


class GatedFusion(FusionHead):
    """A weighted mean of one hidden layer per modality; the weights depend on the cell.

    Arguments as in :class:`FusionHead`. The first of the `n_layers` is the one per modality; the others follow the
    weighted mean.

    Notes
    -----
    The gated multimodal unit :cite:p:`arevalo2017gated` with a softmax over any number of modalities. A missing
    modality has no weight; the others share it.
    """

    def __init__(self, modality_dims: Mapping[str, int], n_labels: int, options: HeadOptions | None = None) -> None:
        super().__init__(modality_dims, n_labels, options)
        n_hidden, n_layers, dropout_rate = self.options.n_hidden, self.options.n_layers, self.options.dropout_rate
        self.first = nn.ModuleList(dense_layers(dim, n_hidden, 1, dropout_rate) for dim in self.modality_dims.values())
        self.gates = nn.Linear(sum(self.modality_dims.values()), len(self.modality_dims))
        self.hidden = dense_layers(n_hidden, n_hidden, n_layers - 1, dropout_rate)
        self.output = nn.Linear(n_hidden, n_labels)

    def fuse(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """The last hidden layer, shape `(batch, n_hidden)`."""
        is_there = [name in inputs for name in self.modality_dims]
        gates = self.gates(concatenated(inputs, self.modality_dims))[:, is_there].softmax(dim=-1)  # (batch, n_there)
        there = zip(self.first, self.modality_dims, strict=True)
        hidden = torch.stack([first(inputs[name]) for first, name in there if name in inputs], dim=1)
        fused: Tensor = self.hidden((gates[:, :, None] * hidden).sum(dim=1))  # (batch, n_there, n_hidden) summed
        return fused

    def classify(self, fused: "Tensor") -> "Tensor":
        """A linear layer, shape `(batch, n_labels)`."""
        logits: Tensor = self.output(fused)
        return logits
