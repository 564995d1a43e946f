"""The scGPT graph that official weights load into; parameter names are those of official checkpoints."""

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmpt_scverse.encoders._packed_layers import LayerWeights, PackedLayer, Segments

#: scGPT clips expression values here before embedding them.
_MAX_VALUE = 512.0
#: Gene embeddings are initialised uniformly between minus and plus this value, as in official training.
_INITIAL_RANGE = 0.1


class GeneEncoder(nn.Module):
    """Gene ids to normalised gene embeddings."""

    def __init__(self, n_tokens: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, dim)
        nn.init.uniform_(self.embedding.weight, -_INITIAL_RANGE, _INITIAL_RANGE)
        self.enc_norm = nn.LayerNorm(dim)

    def forward(self, gene_ids: Tensor) -> Tensor:
        """Embed `(batch, n_tokens)` ids."""
        embedded: Tensor = self.enc_norm(self.embedding(gene_ids))  # (batch, n_tokens, dim)
        return embedded


class ValueEncoder(nn.Module):
    """Expression values to normalised embeddings."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(1, dim)
        self.linear2 = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, values: Tensor) -> Tensor:
        """Embed `(n_values,)` values."""
        hidden = F.relu(self.linear1(values.clamp(max=_MAX_VALUE).unsqueeze(-1)))  # (n_values, dim)
        embedded: Tensor = self.norm(self.linear2(hidden))  # (n_values, dim)
        return embedded


class SelfAttention(nn.Module):
    """Multi-head attention of some rows of a cell to all its tokens."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))  # queries, keys, values
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        nn.init.xavier_uniform_(self.in_proj_weight)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, rows: Tensor, tokens: Tensor, is_token: Tensor | None) -> Tensor:
        """Attend from `(batch, n_rows, dim)` to `(batch, n_tokens, dim)`."""
        dim = rows.shape[-1]
        queries = F.linear(rows, self.in_proj_weight[:dim], self.in_proj_bias[:dim])  # (batch, n_rows, dim)
        keys, values = F.linear(tokens, self.in_proj_weight[dim:], self.in_proj_bias[dim:]).chunk(2, dim=-1)
        attended = F.scaled_dot_product_attention(
            self._split_heads(queries),  # (batch, n_heads, n_rows, dim / n_heads)
            self._split_heads(keys),  # (batch, n_heads, n_tokens, dim / n_heads)
            self._split_heads(values),
            attn_mask=None if is_token is None else is_token[:, None, None, :],
        )
        projected: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))  # (batch, n_rows, dim)
        return projected

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """A transformer layer with ReLU, normalised after each residual sum."""

    def __init__(self, dim: int, n_heads: int, hidden_dim: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(dim, n_heads)
        self.linear1 = nn.Linear(dim, hidden_dim)
        self.linear2 = nn.Linear(hidden_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, rows: Tensor, tokens: Tensor, is_token: Tensor | None) -> Tensor:
        """Update `(batch, n_rows, dim)` rows, which attend to `(batch, n_tokens, dim)` tokens."""
        rows = self.norm1(rows + self.self_attn(rows, tokens, is_token))
        rows = self.norm2(rows + self.linear2(F.relu(self.linear1(rows))))
        return rows


class TransformerEncoder(nn.Module):
    """Layers, of which the last computes only the rows that are read: the first, as a rule."""

    def __init__(self, dim: int, n_heads: int, hidden_dim: int, n_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dim, n_heads, hidden_dim) for _ in range(n_layers))

    def forward(self, tokens: Tensor, is_token: Tensor | None) -> Tensor:
        """The first row of `(batch, n_tokens, dim)` tokens after all layers, shape `(batch, dim)`."""
        first = torch.zeros((len(tokens), 1), dtype=torch.long, device=tokens.device)
        return self.rows(tokens, is_token, first).squeeze(1)

    def rows(self, tokens: Tensor, is_token: Tensor | None, index: Tensor) -> Tensor:
        """The rows `index`, `(batch, n_rows)`, of the tokens after all layers, shape `(batch, n_rows, dim)`."""
        *layers, last = self.layers
        for layer in layers:
            tokens = layer(tokens, tokens, is_token)  # (batch, n_tokens, dim)
        rows: Tensor = last(tokens.take_along_dim(index.unsqueeze(-1), dim=1), tokens, is_token)
        return rows

    def with_queries(self, tokens: Tensor, is_token: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The first row, and `(batch, n_queries, dim)` queries, after all layers.

        Queries attend to tokens; nothing attends to queries, so the first row is the same as without them.
        """
        *layers, last = self.layers
        n_tokens = tokens.shape[1]
        for layer in layers:
            rows = layer(torch.cat([tokens, queries], dim=1), tokens, is_token)  # (batch, n_tokens + n_queries, dim)
            tokens, queries = rows[:, :n_tokens], rows[:, n_tokens:]
        rows = last(torch.cat([tokens[:, :1], queries], dim=1), tokens, is_token)  # (batch, 1 + n_queries, dim)
        return rows[:, 0], rows[:, 1:]


class ScGPTNetwork(nn.Module):
    """The encoder of scGPT, from tokens to cell embeddings.

    Parameters
    ----------
    n_tokens
        Size of the vocabulary.
    dim
        Width of an embedding.
    n_heads
        Attention heads per layer.
    hidden_dim
        Width of the feed-forward part of each layer.
    n_layers
        Number of transformer layers.
    n_bins
        Expression bins, counting bin 0.
    pad_value
        Expression value of the `<cls>` and padding tokens.
    """

    value_table: Tensor

    def __init__(
        self, *, n_tokens: int, dim: int, n_heads: int, hidden_dim: int, n_layers: int, n_bins: int, pad_value: float
    ) -> None:
        super().__init__()
        self.encoder = GeneEncoder(n_tokens, dim)
        self.value_encoder = ValueEncoder(dim)
        self.transformer_encoder = TransformerEncoder(dim, n_heads, hidden_dim, n_layers)
        # Genes in bin 0 are not expressed and have no token, so index 0 is free for the value of `<cls>` and padding.
        self._bin_values = [pad_value, *range(1, n_bins)]

    def freeze(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Make it ready to run on `device` in `dtype`: call once, after the weights are loaded."""
        self.eval().requires_grad_(False)
        # One row per bin, computed in float32 and then rounded: the values are few, and their network is shared by all.
        self.register_buffer("value_table", self.value_encoder(torch.tensor(self._bin_values, dtype=torch.float32)))
        return self.to(device=device, dtype=dtype)

    def forward(self, gene_ids: Tensor, bins: Tensor, is_token: Tensor | None = None) -> Tensor:
        """Embed cells.

        Parameters
        ----------
        gene_ids
            Vocabulary ids, `<cls>` first, shape `(batch, n_tokens)`.
        bins
            Expression bins, 0 for `<cls>` and padding, shape `(batch, n_tokens)`.
        is_token
            False for padding, shape `(batch, n_tokens)`; `None` where there is no padding.

        Returns
        -------
        The `<cls>` rows, L2-normalised, float32, shape `(batch, dim)`.
        """
        cls = self.transformer_encoder(self._embedded(gene_ids, bins), is_token)  # (batch, dim)
        return F.normalize(cls.float(), dim=-1)

    def rows(self, gene_ids: Tensor, bins: Tensor, is_token: Tensor | None, index: Tensor) -> Tensor:
        """The rows `index`, `(batch, n_rows)`, as :meth:`forward` gives the first, shape `(batch, n_rows, dim)`."""
        rows = self.transformer_encoder.rows(self._embedded(gene_ids, bins), is_token, index)
        return F.normalize(rows.float(), dim=-1)

    def _embedded(self, gene_ids: Tensor, bins: Tensor) -> Tensor:
        embedded: Tensor = self.encoder(gene_ids) + F.embedding(bins, self.value_table)  # (batch, n_tokens, dim)
        return embedded


class PackedScGPT:
    """A frozen network over the tokens of all cells in one row, without padding (see :class:`PackedLayer`).

    Parameters
    ----------
    network
        Made ready by :meth:`ScGPTNetwork.freeze`.
    """

    def __init__(self, network: ScGPTNetwork) -> None:
        self._encoder, self._value_table = network.encoder, network.value_table
        layers: Any = network.transformer_encoder.layers
        self._layers = [PackedLayer(_packed_weights(layer), layer.self_attn.n_heads, "relu") for layer in layers]

    def __call__(self, gene_ids: Tensor, bins: Tensor, cells: Segments) -> Tensor:
        """The `<cls>` rows as :meth:`ScGPTNetwork.forward` gives them, from `(n_tokens,)` ids and bins."""
        tokens = self._hidden(gene_ids, bins, cells)
        return F.normalize(self._layers[-1].first_rows(tokens, cells).float(), dim=-1)

    def rows(self, gene_ids: Tensor, bins: Tensor, cells: Segments, index: Tensor, rows_of_cells: Segments) -> Tensor:
        """The rows of `index`, some of each cell, as :meth:`__call__` gives the first, `(n_rows, dim)`."""
        tokens = self._hidden(gene_ids, bins, cells)
        return F.normalize(self._layers[-1].rows(tokens, cells, index, rows_of_cells).float(), dim=-1)

    def _hidden(self, gene_ids: Tensor, bins: Tensor, cells: Segments) -> Tensor:
        """All tokens before the last layer, `(n_tokens, dim)`."""
        tokens: Tensor = self._encoder(gene_ids) + F.embedding(bins, self._value_table)
        for layer in self._layers[:-1]:
            tokens = layer(tokens, cells)
        return tokens


def _packed_weights(layer: EncoderLayer) -> LayerWeights:
    attention = layer.self_attn
    return LayerWeights(
        query_key_value=(attention.in_proj_weight, attention.in_proj_bias),
        out=(attention.out_proj.weight, attention.out_proj.bias),
        up=(layer.linear1.weight, layer.linear1.bias),
        down=(layer.linear2.weight, layer.linear2.bias),
        attention_norm=layer.norm1,
        output_norm=layer.norm2,
    )
