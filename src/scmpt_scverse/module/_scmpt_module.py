"""The trained part of SCMPT as scvi-tools sees it: standardise each modality, then a fusion head."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from scvi.module.base import BaseModuleClass, auto_move_data
from torch import nn

from scmpt_scverse._registry import Registry
from scmpt_scverse.module._standardiser import Standardiser, balanced_scales

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse.module._fusion_base import FusionHead

FUSIONS = Registry("fusion", {"concat": "scmpt_scverse.module._fusion_concat:ConcatFusion"})


class SCMPTModule(BaseModuleClass):
    """Standardised and balanced modalities through a fusion head.

    Parameters
    ----------
    modality_dims
        Width of each modality, in the order in which they are fused.
    n_labels
        Number of labels.
    fusion
        Registered name of the head.
    n_hidden, n_layers, dropout_rate
        See :class:`~scmpt_scverse.module._fusion_base.FusionHead`.
    """

    def __init__(
        self,
        modality_dims: Mapping[str, int],
        n_labels: int,
        *,
        fusion: str = "concat",
        n_hidden: int = 4096,
        n_layers: int = 1,
        dropout_rate: float = 0.0,
    ) -> None:
        super().__init__()
        # Modality names are the users'; a prefix keeps them from shadowing attributes of ModuleDict such as "keys".
        scales = balanced_scales(modality_dims)
        self.standardise = nn.ModuleDict(
            {_slot(name): Standardiser(dim, scales[name]) for name, dim in modality_dims.items()}
        )
        self.head: FusionHead = FUSIONS.load(fusion)(
            modality_dims, n_labels, n_hidden=n_hidden, n_layers=n_layers, dropout_rate=dropout_rate
        )

    def fit_standardisers(self, inputs: "Mapping[str, Tensor]") -> None:
        """Take the statistics of every modality from the training cells, `{modality: (n_obs, dim)}`."""
        for modality, values in inputs.items():
            cast("Standardiser", self.standardise[_slot(modality)]).fit(values)

    def _standardised(self, inputs: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
        return {modality: self.standardise[_slot(modality)](values) for modality, values in inputs.items()}

    def neutral(self, modality: str) -> "Tensor":
        """The input of a modality that says nothing about a cell: the mean of the training cells, shape `(dim,)`."""
        return cast("Standardiser", self.standardise[_slot(modality)]).mean

    @auto_move_data
    def forward(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """Logits of shape `(batch, n_labels)` from `{modality: (batch, dim)}`."""
        logits: Tensor = self.head(self._standardised(inputs))
        return logits

    @torch.inference_mode()
    @auto_move_data
    def represent(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """The fused representation, shape `(batch, n_hidden)`."""
        return self.head.fuse(self._standardised(inputs))


def _slot(modality: str) -> str:
    return f"modality_{modality}"
