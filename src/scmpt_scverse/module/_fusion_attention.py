"""Fusion by attention between modalities as tokens."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from scmpt_scverse.module._fusion_base import FusionHead, HeadOptions, dense_layers

if TYPE_CHECKING:
    from torch import Tensor

#: Width of a token and number of attention heads; enough for a handful of tokens.
_TOKEN_DIM, _N_HEADS = 256, 4


class AttentionFusion(FusionHead):
    """One token per modality and a learned token, through a transformer layer; the learned token is classified.

    Arguments as in :class:`FusionHead`; the dense layers follow the attention. A missing modality has no token.
    """

    def __init__(self, modality_dims: Mapping[str, int], n_labels: int, options: HeadOptions | None = None) -> None:
        super().__init__(modality_dims, n_labels, options)
        n_hidden, n_layers, dropout_rate = self.options.n_hidden, self.options.n_layers, self.options.dropout_rate
        # The bias identifies the modality: without it, every modality at its mean would be the same token of zeros.
        self.tokens = nn.ModuleList(nn.Linear(dim, _TOKEN_DIM) for dim in self.modality_dims.values())
        self.query = nn.Parameter(torch.randn(_TOKEN_DIM) * _TOKEN_DIM**-0.5)
        self.attend = nn.TransformerEncoderLayer(
            _TOKEN_DIM, _N_HEADS, 2 * _TOKEN_DIM, dropout_rate, batch_first=True, norm_first=True
        )
        self.hidden = dense_layers(_TOKEN_DIM, n_hidden, n_layers, dropout_rate)
        self.output = nn.Linear(n_hidden, n_labels)

    def fuse(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """The last hidden layer, shape `(batch, n_hidden)`."""
        there = zip(self.tokens, self.modality_dims, strict=True)
        tokens = [token(inputs[name]) for token, name in there if name in inputs]
        query = self.query.to(tokens[0].dtype).expand_as(tokens[0])
        attended = self.attend(torch.stack([query, *tokens], dim=1))[:, 0]  # (batch, _TOKEN_DIM)
        fused: Tensor = self.hidden(attended)
        return fused

    def classify(self, fused: "Tensor") -> "Tensor":
        """A linear layer, shape `(batch, n_labels)`."""
        logits: Tensor = self.output(fused)
        return logits
