"""Which cells pass through a network together."""

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

    from scmpt_scverse._types import IntArray

#: Tokens of a forward pass: on a CPU few enough for its caches, elsewhere enough to keep the device busy.
_CPU_BATCH_TOKENS, _DEVICE_BATCH_TOKENS = 2048, 65536
#: Where many cells go together, the shortest has at least this share of the longest one's tokens; the rest is padding.
_SHORTEST_SHARE = 0.92


def length_batches(
    lengths: "IntArray", batch_size: "int | Literal['auto']", device: "torch.device"
) -> "list[IntArray]":
    """Cells with tokens, longest first, so that cells of similar length share a batch and padding is little."""
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    budget = _CPU_BATCH_TOKENS if device.type == "cpu" else _DEVICE_BATCH_TOKENS
    batches: list[IntArray] = []
    while order.size:
        longest = int(lengths[order[0]])
        size = batch_size if batch_size != "auto" else max(1, budget // (longest + 1))
        if batch_size == "auto" and device.type != "cpu":
            size = min(size, int(np.sum(lengths[order] >= _SHORTEST_SHARE * longest)))
        batches.append(order[:size])
        order = order[size:]
    return batches
