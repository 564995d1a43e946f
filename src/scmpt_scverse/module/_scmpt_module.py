"""The trained part of SCMPT as scvi-tools sees it: standardise each modality, then a fusion head."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, cast

import torch
from scvi.module.base import BaseModuleClass, auto_move_data
from torch import nn

from scmpt_scverse._registry import Registry
from scmpt_scverse.module._standardiser import Standardiser, balanced_scales

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse.module._fusion_base import FusionHead

FUSIONS = Registry(
    "fusion",
    {
        "concat": "scmpt_scverse.module._fusion_concat:ConcatFusion",
        "gated": "scmpt_scverse.module._fusion_gated:GatedFusion",
        "attention": "scmpt_scverse.module._fusion_attention:AttentionFusion",
        "stacked": "scmpt_scverse.module._fusion_stacked:StackedFusion",
    },
)
#: Standard deviations at which expression of a gene is clipped, as scanpy and CellTypist do.
_LARGEST_EXPRESSION = 10.0


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
    of_genes
        Modalities whose features are genes; they are clipped.
    """

    temperature: "Tensor"

    def __init__(
        self,
        modality_dims: Mapping[str, int],
        n_labels: int,
        *,
        fusion: str = "concat",
        n_hidden: int = 4096,
        n_layers: int = 1,
        dropout_rate: float = 0.0,
        of_genes: Collection[str] = (),
    ) -> None:
        super().__init__()
        # What logits are divided by, so that probabilities are right as often as they say.
        self.register_buffer("temperature", torch.ones(()))
        # Modality names are the users'; a prefix keeps them from shadowing attributes of ModuleDict such as "keys".
        scales = balanced_scales(modality_dims)
        self.standardise = nn.ModuleDict(
            {
                _slot(name): Standardiser(dim, scales[name], _LARGEST_EXPRESSION if name in of_genes else float("inf"))
                for name, dim in modality_dims.items()
            }
        )
        self.head: FusionHead = FUSIONS.load(fusion)(
            modality_dims, n_labels, n_hidden=n_hidden, n_layers=n_layers, dropout_rate=dropout_rate
        )

    def fit_standardisers(self, inputs: "Mapping[str, Tensor]") -> None:
        """Take the statistics of every modality from the training cells, `{modality: (n_obs, dim)}`."""
        for modality, values in inputs.items():
            self.standardiser(modality).fit(values)

    def standardiser(self, modality: str) -> Standardiser:
        """What brings a modality to scale."""
        return cast("Standardiser", self.standardise[_slot(modality)])

    def standardised(self, inputs: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
        """`{modality: (batch, dim)}` as the head sees it."""
        return {modality: self.standardiser(modality)(values) for modality, values in inputs.items()}

    def neutral(self, modality: str) -> "Tensor":
        """The input of a modality that says nothing about a cell: the mean of the training cells, shape `(dim,)`."""
        return cast("Standardiser", self.standardise[_slot(modality)]).mean

    @auto_move_data
    def forward(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """Calibrated logits of shape `(batch, n_labels)` from `{modality: (batch, dim)}`; some modalities may lack."""
        logits: Tensor = self.head(self.standardised(inputs)) / self.temperature
        return logits

    @torch.inference_mode()
    @auto_move_data
    def represent(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """The fused representation, shape `(batch, fused_dim)`."""
        return self.head.fuse(self.standardised(inputs))


def _slot(modality: str) -> str:
    return f"modality_{modality}"
