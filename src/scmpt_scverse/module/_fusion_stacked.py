"""Fusion by stacking: a linear head a modality, mixed by weights that were learned out of fold."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from scmpt_scverse.module._fusion_base import FusionHead
from scmpt_scverse.module._stacking import fit_head, mix, mixture_weights, stratified_folds

if TYPE_CHECKING:
    from torch import Tensor

#: Bias of a label without a training cell: its probability is 0 in float32.
_NEVER = -100.0


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
    def solve(self, inputs: "Mapping[str, Tensor]", labels: "Tensor", cell_weights: "Tensor", *, seed: int) -> "Tensor":
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
        Logits of the training cells by heads that did not see them, shape `(n_obs, n_labels)`.
        """
        known, codes = torch.unique(labels, return_inverse=True)  # labels of the registry may have no training cell
        folds = stratified_folds(codes.cpu().numpy(), seed)
        fits = {name: fit_head(inputs[name], codes, cell_weights, folds) for name in self.modality_dims}
        with torch.enable_grad():
            mixture = mixture_weights(fits, codes, cell_weights)
        self.weights.copy_(torch.as_tensor(mixture))
        for head, fit in zip(cast("Iterable[nn.Linear]", self.heads), fits.values(), strict=True):
            head.weight.zero_()
            head.bias.fill_(_NEVER)
            head.weight[known], head.bias[known] = fit.weights, fit.biases
        stacked = torch.stack([fit.out_of_fold for fit in fits.values()])
        logits = stacked.new_full((len(labels), self.n_labels), _NEVER)
        logits[:, known] = mix(stacked, self.weights.to(stacked.dtype))
        return logits
