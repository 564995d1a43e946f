"""Which cells pass through a transformer together, and layers that take their tokens without padding."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_varlen_attn: Any = None
with suppress(ImportError):  # torch has it from 2.10 on
    from torch.nn.attention.varlen import varlen_attn as _varlen_attn

if TYPE_CHECKING:
    from scmpt_scverse._types import IntArray

#: Tokens of a forward pass: on a CPU few enough for its caches (weights are laid out for as many), elsewhere enough to
#: keep the device busy.
_CPU_BATCH_TOKENS, _DEVICE_BATCH_TOKENS, _PADDED_BATCH_TOKENS = 2048, 131_072, 65_536
#: Where tokens are padded, the shortest cell of a batch has at least this share of the longest one's tokens.
_SHORTEST_SHARE = 0.92
#: Attention scores of a head that are computed at a time: few enough for the processor's cache.
_CACHED_SCORES = 1 << 16


def packs_tokens(device: "torch.device", dtype: "torch.dtype") -> bool:
    """Whether packed layers run on a device: on CPUs, and on GPUs with variable-length attention for this dtype."""
    if device.type != "cuda":
        return device.type == "cpu"
    is_supported = _varlen_attn is not None and torch.cuda.get_device_capability(device) >= (8, 0)
    return is_supported and dtype in {torch.bfloat16, torch.float16}


def length_batches(
    lengths: "IntArray", batch_size: "int | Literal['auto']", device: "torch.device", *, packs: bool
) -> "list[IntArray]":
    """Batches of cells with tokens, longest first; of similar length where they are padded (`packs` is false)."""
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    n_tokens = lengths[order] + 1
    packed_budget = _CPU_BATCH_TOKENS if device.type == "cpu" else _DEVICE_BATCH_TOKENS
    budget = packed_budget if packs else _PADDED_BATCH_TOKENS
    batches: list[IntArray] = []
    done = 0
    while done < len(order):
        rest = n_tokens[done:]
        if batch_size != "auto":
            size = batch_size
        elif packs:
            size = int(np.searchsorted(np.cumsum(rest[:budget]), budget, side="right"))
        else:
            size = min(budget // int(rest[0]), int(np.sum(rest >= _SHORTEST_SHARE * rest[0])))
        batches.append(order[done : done + max(size, 1)])
        done += max(size, 1)
    return batches


class Segments:
    """How many rows belong to each of some cells whose rows are stored one after another.

    Parameters
    ----------
    lengths
        Number of rows of each cell.
    device
        Device of the rows.

    Attributes
    ----------
    longest
        The largest of them.
    are_equal
        Whether all cells have the same number.
    bounds
        Where cells start and end, int32, shape `(n_cells + 1,)`.
    """

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        self.lengths = lengths
        self.longest = max(lengths)
        self.are_equal = min(lengths) == self.longest
        self.bounds = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32).to(device)

    @property
    def starts(self) -> Tensor:
        """The first row of each cell, shape `(n_cells,)`."""
        return self.bounds[:-1].long()

    def one_each(self) -> "Segments":
        """The same cells with one row each."""
        return Segments([1] * len(self.lengths), self.bounds.device)


class PackedLinear:
    """A linear map fused with what follows it; on a CPU, its weights are laid out for the processor once.

    torch's own `linear` copies the bias, multiplies, and goes over the result again for the activation; in float32 it
    also calls another library, which is slower on some processors.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight, bias
        self._is_laid_out = weight.device.type == "cpu" and _has_layout(weight.dtype)
        if self._is_laid_out:
            # The operators of torch.compile; versions of torch without them use the plain ones below.
            self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _CPU_BATCH_TOKENS)

    def __call__(self, rows: Tensor, activation: Literal["none", "relu", "gelu"] = "none") -> Tensor:
        """Map `(n_rows, n_in)` to `(n_rows, n_out)`."""
        if self._is_laid_out:
            mapped: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, self._bias, activation, [], "none")
            return mapped
        mapped = F.linear(rows, self._weight, self._bias)
        return mapped if activation == "none" else getattr(F, activation)(mapped)

    def added_to(self, residual: Tensor, rows: Tensor) -> Tensor:
        """The mapped `rows` plus a residual, `(n_rows, n_out)`."""
        if self._is_laid_out:
            operator: Any = torch.ops.mkldnn._linear_pointwise.binary
            added: Tensor = operator(rows, residual, self._weight, self._bias, "add")
            return added
        return residual + F.linear(rows, self._weight, self._bias)


def _has_layout(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


@dataclass(frozen=True)
class LayerWeights:
    """Weights of a transformer layer that is normalised after each residual sum, as in scGPT and BERT.

    Attributes
    ----------
    query_key_value, out, up, down
        Weight and bias of the linear maps of attention and of the feed-forward part.
    attention_norm, output_norm
        Layer norms after the two residual sums.
    """

    query_key_value: tuple[Tensor, Tensor]
    out: tuple[Tensor, Tensor]
    up: tuple[Tensor, Tensor]
    down: tuple[Tensor, Tensor]
    attention_norm: nn.LayerNorm
    output_norm: nn.LayerNorm


class PackedLayer:
    """A transformer layer over packed tokens.

    Parameters
    ----------
    weights
        Weights of the layer.
    n_heads
        Number of attention heads.
    activation
        Activation of the feed-forward part.
    """

    def __init__(self, weights: LayerWeights, n_heads: int, activation: Literal["relu", "gelu"]) -> None:
        weight, bias = weights.query_key_value
        dim = weight.shape[1]
        if weight.device.type == "cpu":
            # Scores are divided by the square root of the head width; doing so in the weights of queries costs nothing.
            scale = torch.ones(3 * dim, dtype=torch.float32)
            scale[:dim] = (dim // n_heads) ** -0.5
            weight, bias = (weight * scale[:, None]).to(weight.dtype), (bias * scale).to(bias.dtype)
        self._query_key_value = PackedLinear(weight, bias)
        self._query = PackedLinear(weight[:dim], bias[:dim])
        self._key_value = PackedLinear(weight[dim:], bias[dim:])
        self._out, self._up, self._down = (PackedLinear(*part) for part in (weights.out, weights.up, weights.down))
        self._attention_norm, self._output_norm = weights.attention_norm, weights.output_norm
        self._activation = activation
        self._n_heads = n_heads

    def __call__(self, tokens: Tensor, cells: Segments) -> Tensor:
        """Update `(n_tokens, dim)` tokens, which attend to the tokens of their own cell."""
        queries, keys, values = self._query_key_value(tokens).chunk(3, dim=-1)
        return self._update(tokens, self._attend(queries, keys, values, cells, cells))

    def first_rows(self, tokens: Tensor, cells: Segments) -> Tensor:
        """The output of :meth:`__call__` for the first token of every cell, `(n_cells, dim)`."""
        return self.rows(tokens, cells, cells.starts, cells.one_each())

    def rows(self, tokens: Tensor, cells: Segments, index: Tensor, rows_of_cells: Segments) -> Tensor:
        """The output of :meth:`__call__` for the tokens at `index`, some of each cell, `(n_rows, dim)`."""
        rows = tokens[index]
        keys, values = self._key_value(tokens).chunk(2, dim=-1)
        return self._update(rows, self._attend(self._query(rows), keys, values, rows_of_cells, cells))

    def _update(self, rows: Tensor, attended: Tensor) -> Tensor:
        rows = self._attention_norm(self._out.added_to(rows, attended))
        updated: Tensor = self._output_norm(self._down.added_to(rows, self._up(rows, self._activation)))
        return updated

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, rows: Segments, tokens: Segments) -> Tensor:
        """Attention within each cell, from its queries to its keys, `(n_rows, dim)`."""
        attend = self._attend_in_cache if queries.device.type == "cpu" else self._attend_at_once
        return attend(queries, keys, values, rows, tokens)

    def _attend_at_once(
        self, queries: Tensor, keys: Tensor, values: Tensor, rows: Segments, tokens: Segments
    ) -> Tensor:
        """Attention by a GPU kernel for sequences of any lengths, or by the faster one for equal lengths."""
        if rows.are_equal and tokens.are_equal:
            n_cells = len(tokens.lengths)
            query, key, value = (self._heads(x, n_cells) for x in (queries, keys, values))
            return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2).flatten(0, 1)
        by_head = [x.unflatten(-1, (self._n_heads, -1)) for x in (queries, keys, values)]  # (n, n_heads, width)
        attended: Tensor = _varlen_attn(*by_head, rows.bounds, tokens.bounds, rows.longest, tokens.longest)
        return attended.flatten(1)

    def _attend_in_cache(
        self, queries: Tensor, keys: Tensor, values: Tensor, rows: Segments, tokens: Segments
    ) -> Tensor:
        """Attention cell by cell, so that scores stay in the processor's cache; equally long neighbours go together."""
        attended = torch.empty_like(queries, memory_format=torch.contiguous_format)
        row = token = 0
        for (rows_of_cell, tokens_of_cell), n_cells in _runs(rows.lengths, tokens.lengths):
            here = slice(row, row := row + n_cells * rows_of_cell)
            there = slice(token, token := token + n_cells * tokens_of_cell)
            scores = self._heads(queries[here], n_cells) @ self._heads(keys[there], n_cells).transpose(-2, -1)
            mixed = scores.softmax(dim=-1) @ self._heads(values[there], n_cells)  # (n_cells, n_heads, n_rows, width)
            self._heads(attended[here], n_cells).copy_(mixed)
        return attended

    def _heads(self, x: Tensor, n_cells: int) -> Tensor:
        """`(n_cells * n, dim)` as `(n_cells, n_heads, n, dim / n_heads)`, without a copy."""
        return x.view(n_cells, -1, self._n_heads, x.shape[-1] // self._n_heads).transpose(1, 2)


def _runs(n_rows: Sequence[int], n_tokens: Sequence[int]) -> Iterator[tuple[tuple[int, int], int]]:
    """Runs of neighbouring cells of equal length that fit in the cache: rows and tokens per cell, number of cells."""
    for shape, cells in groupby(zip(n_rows, n_tokens, strict=True)):
        n_cells = len(list(cells))
        most = max(1, _CACHED_SCORES // (shape[0] * shape[1]))
        for start in range(0, n_cells, most):
            yield shape, min(most, n_cells - start)
