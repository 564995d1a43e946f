"""Ask the head: minibatches of modalities in, arrays out."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

from scmpt_scverse._checks import check_positive
from scmpt_scverse.model._embedding_mixin import EmbeddingMixin

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.model._embedding_mixin import Rows

#: Cells per forward pass of the head; at 4096 hidden units, 64 MB.
_BATCH_SIZE = 4096


class HeadMixin(EmbeddingMixin):
    """What the head computes of cells."""

    _check_if_trained: Callable[..., None]

    def _probabilities(self, adata: "AnnData", rows: "IntArray", batch_size: int | None) -> "FloatArray":
        logits = torch.from_numpy(self._apply(self.module, adata, rows, batch_size))
        return torch.softmax(logits, dim=-1).numpy()

    def _apply(
        self, function: "Callable[..., torch.Tensor]", adata: "AnnData", rows: "IntArray", batch_size: int | None
    ) -> "FloatArray":
        """`function` of the modalities of some cells, minibatch by minibatch, rows in the order asked for."""
        self._check_if_trained(warn=False)
        if batch_size is not None:
            check_positive(batch_size, "batch_size")
        inputs = self._inputs(adata, missing_ok=True)
        return self._batches(lambda tensors: (function(tensors),), inputs, rows, batch_size)[0]

    def _batches(
        self,
        function: "Callable[[dict[str, torch.Tensor]], tuple[torch.Tensor, ...]]",
        inputs: "Mapping[str, Rows]",
        rows: "IntArray",
        batch_size: int | None,
    ) -> "list[FloatArray]":
        # An empty selection still runs once, on no rows, and so gives arrays of the right width.
        starts = range(0, max(len(rows), 1), batch_size or _BATCH_SIZE)
        device = self.module.temperature.device
        self.module.eval()
        outputs = []
        with torch.inference_mode():
            for start in starts:
                batch = rows[start : start + (batch_size or _BATCH_SIZE)]
                tensors = {name: torch.from_numpy(values[batch]).to(device) for name, values in inputs.items()}
                outputs.append([each.float().cpu() for each in function(tensors)])
        return [torch.cat(parts).numpy() for parts in zip(*outputs, strict=True)]

    def _logits(self, inputs: "Mapping[str, Rows]", rows: "IntArray") -> "torch.Tensor":
        return torch.from_numpy(self._batches(lambda tensors: (self.module(tensors),), inputs, rows, None)[0])
