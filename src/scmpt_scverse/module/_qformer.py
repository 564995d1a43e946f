"""From the tokens of a cell to a space shared with texts: a Q-Former, and a linear map as its baseline."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from scmpt_scverse._checks import check_number, check_positive, check_seed, check_share

if TYPE_CHECKING:
    from torch import Tensor

#: Width of the feed-forward layers, relative to the width of the network.
_EXPANSION = 2
#: Initial standard deviation of the learned queries, as in BLIP-2.
_INITIAL_SPREAD = 0.02


@dataclass(frozen=True)
class QFormerOptions:
    """How a network from cells to texts is built and trained.

    Attributes
    ----------
    n_queries
        Number of learned queries that attend to the tokens of a cell.
    width, n_layers, n_heads
        Size of the transformer; every second layer attends to the tokens.
    dim
        Width of the space that cells and texts share.
    dropout
        Dropout rate in training, in [0, 1).
    n_steps
        Training steps.
    cells_per_step
        Cells of each study per step, drawn evenly from its labels.
    n_genes
        Most genes per cell in a training step, drawn again in each step; prediction uses all.
    noise
        Standard deviation of the noise on text embeddings, relative to their own.
    temperature
        Divides cosine similarities.
    matching
        Weight of the matching loss; 0 trains no matching head.
    lr
        Highest learning rate.
    seed
        Seed of initial weights, noise, and choice of cells and genes.

    Raises
    ------
    ValueError
        A number is out of range, or `width` is not a multiple of `n_heads`.
    """

    n_queries: int = 8
    width: int = 128
    n_layers: int = 4
    n_heads: int = 4
    dim: int = 128
    dropout: float = 0.1
    n_steps: int = 120
    cells_per_step: int = 24
    n_genes: int = 32
    noise: float = 0.3
    temperature: float = 0.07
    matching: float = 1.0
    lr: float = 3e-4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_queries", "width", "n_layers", "n_heads", "dim", "n_steps", "cells_per_step", "n_genes"):
            check_positive(getattr(self, name), name)
        if self.width % self.n_heads:
            raise ValueError(f"`width` must be a multiple of `n_heads`; found {self.width} and {self.n_heads}.")
        for name in ("lr", "temperature"):
            check_number(getattr(self, name), name, above=0)
        for name in ("noise", "matching"):
            check_number(getattr(self, name), name)
        check_share(self.dropout, "dropout")
        check_seed(self.seed)


class QFormer(nn.Module):
    """Learned queries attend to the tokens of a cell and are compared with texts :cite:p:`li2023blip2`.

    Parameters
    ----------
    token_dim, text_dim
        Width of a token and of a text embedding.
    options
        Only sizes and `dropout` are used.
    """

    def __init__(self, token_dim: int, text_dim: int, options: QFormerOptions) -> None:
        # Takes seconds to import, and other networks of this package do not need it.
        from transformers import Blip2QFormerConfig, Blip2QFormerModel

        super().__init__()
        width = options.width
        config = Blip2QFormerConfig(
            hidden_size=width,
            num_hidden_layers=options.n_layers,
            num_attention_heads=options.n_heads,
            intermediate_size=_EXPANSION * width,
            encoder_hidden_size=token_dim,
            cross_attention_frequency=2,
            hidden_dropout_prob=options.dropout,
            attention_probs_dropout_prob=options.dropout,
        )
        self.network = Blip2QFormerModel(config)
        self.queries = nn.Parameter(_INITIAL_SPREAD * torch.randn(options.n_queries, width))
        self.token_norm = nn.LayerNorm(token_dim)
        self.project = nn.Linear(width, options.dim)
        self.whole = nn.Linear(token_dim, options.dim)
        self.text = nn.Linear(text_dim, options.dim, bias=False)
        self.text_token = nn.Linear(text_dim, width)
        self.match = nn.Linear(width, 1)

    @torch.no_grad()
    def start_from(self, linear: "LinearProjector") -> None:
        """Start from a trained linear map: the output of the queries is added to it, and is 0 at first."""
        self.whole.load_state_dict(linear.whole.state_dict())
        self.text.load_state_dict(linear.text.state_dict())
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def cells(self, tokens: "Tensor", is_token: "Tensor") -> "Tensor":
        """Unit vectors `(n_cells, n_queries, dim)` from tokens `(n_cells, n_tokens, token_dim)`, one per query.

        As in :class:`ProfileTower`, a linear part is added, here of the whole-cell token.
        """
        found = self.project(self._found(self.queries.expand(len(tokens), -1, -1), tokens, is_token))
        return functional.normalize(found + self.whole(tokens[:, :1]), dim=-1)

    def texts(self, texts: "Tensor") -> "Tensor":
        """Unit vectors `(n_texts, dim)` from text embeddings `(n_texts, text_dim)`."""
        return functional.normalize(self.text(texts), dim=-1)

    def matches(self, tokens: "Tensor", is_token: "Tensor", texts: "Tensor") -> "Tensor":
        """Logits that cell and text `(n_pairs, text_dim)` match, shape `(n_pairs,)`.

        The text is an additional query: all queries attend to each other and to the tokens.
        """
        queries = self.queries.expand(len(tokens), -1, -1)
        queries = torch.cat([self.text_token(texts).unsqueeze(1), queries], dim=1)
        found = self._found(queries, tokens, is_token)
        logits: Tensor = self.match(found[:, 0] * found[:, 1:].mean(dim=1)).squeeze(1)
        return logits

    def _found(self, queries: "Tensor", tokens: "Tensor", is_token: "Tensor") -> "Tensor":
        output: Any = self.network(
            query_embeds=queries, encoder_hidden_states=self.token_norm(tokens), encoder_attention_mask=is_token.long()
        )
        hidden: Tensor = output.last_hidden_state
        return hidden


class LinearProjector(nn.Module):
    """A linear map of the whole-cell token: the baseline of :class:`QFormer`.

    Parameters
    ----------
    token_dim, text_dim, options
        As for :class:`QFormer`.
    """

    def __init__(self, token_dim: int, text_dim: int, options: QFormerOptions) -> None:
        super().__init__()
        self.whole = nn.Linear(token_dim, options.dim)
        self.text = nn.Linear(text_dim, options.dim, bias=False)

    def cells(self, tokens: "Tensor", is_token: "Tensor") -> "Tensor":
        """As in :class:`QFormer`, with one vector per cell."""
        return functional.normalize(self.whole(tokens[:, :1]), dim=-1)

    def texts(self, texts: "Tensor") -> "Tensor":
        """As in :class:`QFormer`."""
        return functional.normalize(self.text(texts), dim=-1)
