"""Fusion by stacking: a linear head a modality, mixed by weights that were learned out of fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from scmpt_scverse.module._fusion_base import FusionHead
from scmpt_scverse.module._stacking import fit_head, mix, mixture_weights, stratified_folds

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.module._stacking import LinearHead

#: Bias of a label without a training cell: its probability is 0 in float32.
_NEVER = -100.0


@dataclass(frozen=True)
class OutOfFold:
    """Heads that each left some of the training cells out, and what they say of these.

    Attributes
    ----------
    logits
        Shape `(n_obs, n_labels)`.
    folds
        Which head left each cell out, shape `(n_obs,)`.
    states
        The parameters of each head, by name.
    """

    logits: "Tensor"
    folds: "IntArray"
    states: "list[dict[str, Tensor]]"


class StackedFusion(FusionHead):
    """A weighted sum of the log-probabilities of one logistic regression per modality.

    It has no hidden layer, so `n_hidden`, `n_layers` and `dropout_rate` mean nothing to it. :meth:`solve` finds its
    weights at once. A modality that is not there is left out, and the others weigh that much more.
    """

    def __init__(
        self, modality_dims: Mapping[str, int], n_labels: int, *, n_hidden: int, n_layers: int, dropout_rate: float
    ) -> None:
        super().__init__(modality_dims, n_labels, n_hidden=n_hidden, n_layers=n_layers, dropout_rate=dropout_rate)
        self.heads = nn.ModuleList(nn.Linear(dim, n_labels) for dim in self.modality_dims.values())
        self.weights = nn.Parameter(torch.full((len(self.modality_dims),), 1 / len(self.modality_dims)))
        self.fused_dim = len(self.modality_dims) * n_labels

    def fuse(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """Weighted log-probabilities of every modality, side by side; shape `(batch, n_modalities * n_labels)`."""
        is_there = torch.tensor([name in inputs for name in self.modality_dims], device=self.weights.device)
        there = self.weights * is_there
        # A modality of no weight may be the only one that is there; it then has all of it.
        total = there.sum()
        weights = torch.where(total > 0, there * self.weights.sum() / total.clamp(min=1e-12), is_there / is_there.sum())
        parts = [
            weight * head(inputs[name]).log_softmax(dim=-1) if name in inputs else None
            for weight, head, name in zip(weights, self.heads, self.modality_dims, strict=True)
        ]
        absent = torch.zeros_like(next(part for part in parts if part is not None))
        return torch.cat([absent if part is None else part for part in parts], dim=-1)

    def classify(self, fused: "Tensor") -> "Tensor":
        """The sum over modalities, shape `(batch, n_labels)`."""
        return fused.unflatten(-1, (len(self.modality_dims), self.n_labels)).sum(dim=-2)

    @torch.no_grad()
    def solve(
        self, inputs: "Mapping[str, Tensor]", labels: "Tensor", cell_weights: "Tensor", *, seed: int
    ) -> OutOfFold:
        """Find all weights.

        Parameters
        ----------
        inputs
            Standardised modalities of the training cells, `{modality: (n_obs, dim)}`.
        labels
            Codes, shape `(n_obs,)`.
        cell_weights
            Shape `(n_obs,)`.
        seed
            Of the folds.

        Returns
        -------
        What the weights are calibrated on.
        """
        known, codes = torch.unique(labels, return_inverse=True)  # labels of the registry may have no training cell
        folds = stratified_folds(codes.cpu().numpy(), seed)
        fits = {name: fit_head(inputs[name], codes, cell_weights, folds) for name in self.modality_dims}
        with torch.enable_grad():
            mixture = mixture_weights(fits, codes, cell_weights)
        self.weights.copy_(torch.as_tensor(mixture))
        *states, final = (self._state(fits, known, number) for number in range(folds.max() + 2))
        self.load_state_dict(final)
        stacked = torch.stack([fit.out_of_fold for fit in fits.values()])
        logits = stacked.new_full((len(labels), self.n_labels), _NEVER)
        logits[:, known] = mix(stacked, self.weights.to(stacked.dtype))
        return OutOfFold(logits, folds, states)

    def _state(self, fits: "Mapping[str, LinearHead]", known: "Tensor", number: int) -> "dict[str, Tensor]":
        """All parameters, with the regressions of one number."""
        state = {"weights": self.weights.detach().clone()}
        for modality, fit in enumerate(fits.values()):
            weights = fit.weights.new_zeros(self.n_labels, fit.weights.shape[-1])
            biases = fit.biases.new_full((self.n_labels,), _NEVER)
            weights[known], biases[known] = fit.weights[number], fit.biases[number]
            state |= {f"heads.{modality}.weight": weights, f"heads.{modality}.bias": biases}
        return state
