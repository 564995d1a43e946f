"""The mean of the modalities, each projected to one space."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scmpt_scverse.module import FusionHead, HeadOptions


class MeanFusion(FusionHead):
    """Projects each modality to `n_hidden` dimensions and averages those that are present."""

    option_names = frozenset({"bias"})

    def __init__(self, modality_dims: Mapping[str, int], n_labels: int, options: HeadOptions | None = None) -> None:
        super().__init__(modality_dims, n_labels, options)
        n_hidden, bias = self.options.n_hidden, self.options.extra.get("bias", True)
        self.projections = nn.ModuleList(nn.Linear(dim, n_hidden, bias=bias) for dim in modality_dims.values())
        self.output = nn.Sequential(nn.ReLU(), nn.Dropout(self.options.dropout_rate), nn.Linear(n_hidden, n_labels))

    def fuse(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Shape `(batch, n_hidden)`."""
        named = zip(self.modality_dims, self.projections, strict=True)
        return torch.stack([project(inputs[name]) for name, project in named if name in inputs]).mean(0)

    def classify(self, fused: Tensor) -> Tensor:
        """Shape `(batch, n_labels)`."""
        logits: Tensor = self.output(fused)
        return logits
