"""Decoders from a latent cell and a text to expression: the contract, and two implementations."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from scmpt_scverse._registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

#: Decoders by name; another package adds its own by an entry point of this group.
DECODERS: Registry = Registry(
    "decoder",
    {
        "dense": f"{__name__}:DenseDecoder",
        "attention": f"{__name__}:CrossAttentionDecoder",
    },
    group="scmpt_scverse.decoders",
)
#: Number of tokens for a latent cell, besides those of the text.
_LATENT_TOKENS = 4
#: Width of a gene token and number of heads in the cross-attention.
_TOKEN_DIM, _HEADS = 32, 4


class Condition(NamedTuple):
    """The text of each of `n` cells.

    Attributes
    ----------
    wordings
        Centred embeddings of its wordings, shape `(n, n_wordings, text_dim)`.
    is_wording
        Which of them are present, shape `(n, n_wordings)`; at least one per cell.
    profiles
        Profiles from the text tower, over the genes of the generator, shape `(n, n_genes)`.
    """

    wordings: "Tensor"
    is_wording: "Tensor"
    profiles: "Tensor"

    @property
    def means(self) -> "Tensor":
        """Mean of the wordings that are present, shape `(n, text_dim)`."""
        weights = self.is_wording.to(self.wordings.dtype).unsqueeze(-1)
        return (self.wordings * weights).sum(dim=1) / weights.sum(dim=1)


@dataclass(frozen=True)
class DecoderSizes:
    """Sizes of the inputs, the output and the hidden layer of a decoder."""

    text_dim: int
    n_summary: int
    n_latent: int
    n_batches: int
    n_genes: int
    n_hidden: int


class Decoder(nn.Module, ABC):
    """From latent cells and conditions to logits of genes.

    A subclass takes :class:`DecoderSizes`, and implements :meth:`forward`.
    """

    @abstractmethod
    def forward(self, latent: "Tensor", batches: "Tensor", summary: "Tensor", condition: Condition) -> "Tensor":
        """Logits `(n, n_genes)`, whose softmax is the share of each gene in the counts of a cell.

        Parameters
        ----------
        latent
            Shape `(n, n_latent)`.
        batches
            Batch of each cell, one-hot, shape `(n, n_batches)`.
        summary
            The whole condition as one vector, shape `(n, n_summary)`.
        condition
            The same, uncompressed.
        """


class DenseDecoder(Decoder):
    """A multilayer perceptron over all inputs, plus a linear part for the means of types and batches.

    Parameters
    ----------
    sizes
        Widths.
    """

    def __init__(self, sizes: DecoderSizes) -> None:
        super().__init__()
        n_in = sizes.n_latent + sizes.n_summary + sizes.n_batches
        self.network = nn.Sequential(
            nn.Linear(n_in, sizes.n_hidden),
            nn.LayerNorm(sizes.n_hidden),
            nn.GELU(),
            nn.Linear(sizes.n_hidden, sizes.n_genes),
        )
        self.linear = nn.Linear(n_in, sizes.n_genes, bias=False)
        self.gain = nn.Parameter(torch.zeros(sizes.n_genes))

    def forward(self, latent: "Tensor", batches: "Tensor", summary: "Tensor", condition: Condition) -> "Tensor":
        """See :meth:`Decoder.forward`."""
        together = torch.cat([latent, summary, batches], dim=1)
        logits: Tensor = self.network(together) + self.linear(together) + self.gain * condition.profiles
        return logits


class CrossAttentionDecoder(Decoder):
    """Gene tokens attend to the wordings of the text, to the latent cell, and to a summary of text and batch.

    Like the decoder of :cite:t:`shi2025scmmgpt`, with two differences. There is more than one key: over a single text
    vector, attention is 1 for any query. And nothing of the true cell is among the keys at generation.

    Parameters
    ----------
    sizes
        Widths.
    """

    def __init__(self, sizes: DecoderSizes) -> None:
        super().__init__()
        dim = _TOKEN_DIM
        self.genes = nn.Parameter(torch.randn(sizes.n_genes, dim))
        self.wording = nn.Linear(sizes.text_dim, dim)
        self.latent = nn.Linear(sizes.n_latent, _LATENT_TOKENS * dim)
        self.summary = nn.Linear(sizes.n_summary + sizes.n_batches, dim)
        self.key, self.value = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.query = nn.Linear(dim, dim)
        self.mix = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU())
        self.out = nn.Parameter(torch.randn(sizes.n_genes, dim) / dim**0.5)
        self.bias = nn.Parameter(torch.zeros(sizes.n_genes))
        self.gain = nn.Parameter(torch.zeros(sizes.n_genes))

    def forward(self, latent: "Tensor", batches: "Tensor", summary: "Tensor", condition: Condition) -> "Tensor":
        """See :meth:`Decoder.forward`."""
        n = len(latent)
        tokens = torch.cat(
            [
                self.wording(condition.wordings),
                self.latent(latent).view(n, _LATENT_TOKENS, -1),
                self.summary(torch.cat([summary, batches], dim=1)).unsqueeze(1),
            ],
            dim=1,
        )  # (n, n_tokens, dim)
        others = condition.is_wording.new_ones(n, _LATENT_TOKENS + 1)
        is_token = torch.cat([condition.is_wording, others], dim=1)
        queries, keys, values = (
            each.unflatten(-1, (_HEADS, -1)).transpose(-3, -2)
            for each in (self.query(self.genes), self.key(tokens), self.value(tokens))
        )  # (n_heads, n_genes, dim), twice (n, n_heads, n_tokens, dim)
        found = functional.scaled_dot_product_attention(
            queries.expand(n, -1, -1, -1), keys, values, attn_mask=is_token[:, None, None, :]
        )
        found = found.transpose(1, 2).flatten(2)  # (n, n_genes, dim)
        logits: Tensor = (self.mix(found + self.genes) * self.out).sum(dim=-1) + self.bias
        return logits + self.gain * condition.profiles
