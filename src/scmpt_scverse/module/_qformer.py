"""From the tokens of a cell to a space shared with texts: a Q-Former, and the linear map that it has to beat."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

#: Width of the feed-forward layers, in units of the width of the network.
_EXPANSION = 2
#: Standard deviation of the learned queries at the beginning, as in BLIP-2.
_INITIAL_SPREAD = 0.02


@dataclass(frozen=True)
class QFormerOptions:
    """How a network from cells to texts is built and trained.

    Attributes
    ----------
    n_queries
        Learned queries that attend to the tokens of a cell.
    width, n_layers, n_heads
        Of the transformer; every second layer attends to the tokens.
    dim
        Width of the space that cells and texts share.
    dropout
        Share of activations that are dropped in training, in [0, 1).
    n_steps
        Steps of training.
    cells_per_step
        Cells of each study in a step, drawn evenly from its labels.
    n_genes
        Genes of a cell that a step shows, drawn anew each time; prediction shows all.
    noise
        Standard deviation of the noise on text embeddings, in units of their own.
    temperature
        What cosines are divided by.
    matching
        Weight of the matching head in the loss; 0 trains none.
    lr
        Highest learning rate.
    seed
        Of initial weights, noise, and choice of cells and genes.
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


class QFormer(nn.Module):
    """Learned queries attend to the tokens of a cell and are compared with texts :cite:p:`li2023blip2`.

    Parameters
    ----------
    token_dim, text_dim
        Width of a token and of a text embedding.
    options
        Of these, the shape.
    """

    def __init__(self, token_dim: int, text_dim: int, options: QFormerOptions) -> None:
        # Seconds of import, which the other networks of this package do not need.
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
        """Begin where a linear map ended: what the queries find is added to it, and is nothing at first."""
        self.whole.load_state_dict(linear.whole.state_dict())
        self.text.load_state_dict(linear.text.state_dict())
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def cells(self, tokens: "Tensor", is_token: "Tensor") -> "Tensor":
        """What the queries find in `(n_cells, n_tokens, token_dim)` tokens, `(n_cells, n_queries, dim)`, of length 1.

        As in :class:`ProfileTower`, there is a linear part, of the token of the whole cell.
        """
        found = self.project(self._found(self.queries.expand(len(tokens), -1, -1), tokens, is_token))
        return functional.normalize(found + self.whole(tokens[:, :1]), dim=-1)

    def texts(self, texts: "Tensor") -> "Tensor":
        """Embeddings `(n_texts, text_dim)` in the shared space, `(n_texts, dim)`, of length 1."""
        return functional.normalize(self.text(texts), dim=-1)

    def matches(self, tokens: "Tensor", is_token: "Tensor", texts: "Tensor") -> "Tensor":
        """Logits of cell and text `(n_pairs, text_dim)` belonging together, shape `(n_pairs,)`.

        The text is one more query: it and the others attend to each other, and all to the tokens.
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
    """The token of the whole cell, mapped linearly: the baseline of :class:`QFormer`.

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
        """As of :class:`QFormer`, with one query."""
        return functional.normalize(self.whole(tokens[:, :1]), dim=-1)

    def texts(self, texts: "Tensor") -> "Tensor":
        """As of :class:`QFormer`."""
        return functional.normalize(self.text(texts), dim=-1)
