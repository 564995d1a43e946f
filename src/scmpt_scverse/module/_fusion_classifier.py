"""A classifier that fuses modalities: each is standardised, then all go through a fusion head."""

import copy
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from scvi.module.base import BaseModuleClass, auto_move_data
from torch import nn
from torch.func import functional_call

from scmpt_scverse._registry import Registry
from scmpt_scverse.module._classifier import in_batches, in_blocks
from scmpt_scverse.module._fusion_base import FusionHead, HeadOptions
from scmpt_scverse.module._standardiser import Standardiser, balanced_scales

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.module._classifier import Fit, FitOptions, Rows
    from scmpt_scverse.module._data_module import CellSplit

FUSIONS = Registry(
    "fusion",
    {
        "stacked": "scmpt_scverse.module._fusion_stacked:StackedFusion",
        "concat": "scmpt_scverse.module._fusion_concat:ConcatFusion",
        "gated": "scmpt_scverse.module._fusion_gated:GatedFusion",
        "attention": "scmpt_scverse.module._fusion_attention:AttentionFusion",
    },
    group="scmpt_scverse.fusion",
)


class FusionClassifier(BaseModuleClass):
    """Standardised and balanced modalities through a fusion head; see :class:`scmpt_scverse.module.Classifier`.

    Parameters
    ----------
    modality_dims
        Width of each modality, in the order in which they are fused.
    n_labels
        Number of labels.
    fusion
        Registered name of a head, a subclass of :class:`FusionHead`, or a head.
    options
        Options of the head.
    of_genes
        Modalities whose features are genes; see :class:`Standardiser`.

    Raises
    ------
    ValueError
        `fusion` is unknown, or a head for other modalities or labels.
    """

    temperature: "Tensor"

    def __init__(
        self,
        modality_dims: Mapping[str, int],
        n_labels: int,
        *,
        fusion: "str | type[FusionHead] | FusionHead" = "stacked",
        options: HeadOptions | None = None,
        of_genes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.n_labels = n_labels
        # Divides the logits, so that probabilities are calibrated.
        self.register_buffer("temperature", torch.ones(()))
        # Users choose modality names; a prefix keeps them from shadowing attributes of ModuleDict such as "keys".
        scales = balanced_scales(modality_dims)
        self.standardise = nn.ModuleDict(
            {
                _slot(name): Standardiser(dim, scales[name], are_genes=name in of_genes)
                for name, dim in modality_dims.items()
            }
        )
        self.head = _head(fusion, modality_dims, n_labels, options)

    @property
    def default_train_size(self) -> float:
        """Share of the labelled cells to fit on by default."""
        return self.head.default_train_size

    def fit(
        self,
        inputs: "Mapping[str, Rows]",
        codes: "IntArray",
        split: "CellSplit",
        options: "FitOptions",
        *,
        keeps_scale: bool = False,
    ) -> "Fit":
        """See :meth:`Classifier.fit`; `keeps_scale` keeps the standardisation, to train fitted weights further."""
        if not keeps_scale:
            for name, values in inputs.items():
                standardiser = self._standardiser(name)
                standardiser.fit(in_blocks(values, split.train, standardiser.mean.device))
        self.temperature.fill_(1)
        fit = self.head.fit(self, self.standardised, inputs, codes, split, options)
        self.eval()
        return fit

    def logits(self, inputs: "Mapping[str, Rows]", *, batch_size: int | None = None) -> "FloatArray":
        """See :meth:`Classifier.logits`."""
        self.eval()
        return in_batches(lambda tensors: (self(tensors),), inputs, self.temperature.device, batch_size)[0]

    def standardised(self, inputs: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
        """`{modality: (batch, dim)}` as the head sees it."""
        return {modality: self._standardiser(modality)(values) for modality, values in inputs.items()}

    def logits_of_standardised(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """Calibrated logits from the output of :meth:`standardised`, shape `(batch, n_labels)`."""
        logits: Tensor = self.head(inputs) / self.temperature
        return logits

    def logits_by_fold(self, inputs: "Mapping[str, Tensor]", states: "list[dict[str, Tensor]]") -> "Tensor":
        """Calibrated logits by the heads that each left out one fold, shape `(batch, n_folds, n_labels)`."""
        standardised, device = self.standardised(inputs), self.temperature.device
        # Without folds, the calibration cells were held out from the head itself, which counts as the only fold.
        on_device = [{name: values.to(device) for name, values in state.items()} for state in states or [{}]]
        logits = [functional_call(self.head, state, (standardised,)) for state in on_device]
        return torch.stack(logits, dim=1) / self.temperature

    def neutral(self, modality: str) -> "Tensor":
        """The uninformative input of a modality: the mean of the training cells, shape `(dim,)`."""
        return self._standardiser(modality).mean

    @auto_move_data
    def forward(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """Calibrated logits `(batch, n_labels)` from `{modality: (batch, dim)}`; some modalities may be missing."""
        return self.logits_of_standardised(self.standardised(inputs))

    @torch.inference_mode()
    @auto_move_data
    def represent(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """The fused representation, shape `(batch, fused_dim)`."""
        return self.head.fuse(self.standardised(inputs))

    def _standardiser(self, modality: str) -> Standardiser:
        return cast("Standardiser", self.standardise[_slot(modality)])


def fusion_name(fusion: "str | type[FusionHead] | FusionHead") -> str:
    """Name of a head in summaries and in saved models."""
    if isinstance(fusion, str):
        return fusion
    return (fusion if isinstance(fusion, type) else type(fusion)).__name__


def _head(fusion: Any, modality_dims: Mapping[str, int], n_labels: int, options: HeadOptions | None) -> FusionHead:
    head: FusionHead = FUSIONS.build(fusion, FusionHead, modality_dims, n_labels, options)
    if head.modality_dims != dict(modality_dims) or head.n_labels != n_labels:
        raise ValueError(
            f"Expected a head over the modalities {dict(modality_dims)} with {n_labels} labels; found one over "
            f"{head.modality_dims} with {head.n_labels}. Pass its class, which is then built for these."
        )
    return copy.deepcopy(head)  # every model trains its own head, even if another package registers an instance


def _slot(modality: str) -> str:
    return f"modality_{modality}"
