"""Fusion by stacking: one linear head per modality, mixed with weights learned out of fold."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from scmpt_scverse.module._classifier import Fit, HeldOut, in_batches, in_blocks
from scmpt_scverse.module._fusion_base import FusionHead, HeadOptions
from scmpt_scverse.module._kept_tensors import KeptTensors
from scmpt_scverse.module._mixture import mix, mixture_weights
from scmpt_scverse.module._principal_axes import BLOCK_SIZE, FeatureBlocks
from scmpt_scverse.module._stacking import fit_head, stratified_folds

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.module._classifier import FitOptions, Rows
    from scmpt_scverse.module._data_module import CellSplit
    from scmpt_scverse.module._stacking import LinearHead

#: Bias of a label without a training cell, which makes its probability negligible.
_NEVER = -100.0


class StackedFusion(FusionHead):
    """A weighted sum of the log-probabilities of one logistic regression per modality.

    It has no hidden layer and ignores `n_hidden`, `n_layers` and `dropout_rate`. It is solved directly, not trained in
    epochs, and calibrated out of fold, so it needs no validation cells. A missing modality is left out, and the weights
    of the others are scaled up.
    """

    default_train_size: ClassVar[float] = 1.0
    can_resume: ClassVar[bool] = True

    def __init__(self, modality_dims: Mapping[str, int], n_labels: int, options: HeadOptions | None = None) -> None:
        super().__init__(modality_dims, n_labels, options)
        self.heads = nn.ModuleList(nn.Linear(dim, n_labels) for dim in self.modality_dims.values())
        self.weights = nn.Parameter(torch.full((len(self.modality_dims),), 1 / len(self.modality_dims)))
        self.fused_dim = len(self.modality_dims) * n_labels

    def fuse(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """Weighted log-probabilities of every modality, concatenated; shape `(batch, n_modalities * n_labels)`."""
        is_there = torch.tensor([name in inputs for name in self.modality_dims], device=self.weights.device)
        there = self.weights * is_there
        # If only modalities of weight 0 are present, they get equal weights.
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

    def fit(
        self,
        logits: nn.Module,
        standardise: "Callable[[Mapping[str, Tensor]], dict[str, Tensor]]",
        inputs: "Mapping[str, Rows]",
        codes: "IntArray",
        split: "CellSplit",
        options: "FitOptions",
    ) -> Fit:
        """See :meth:`FusionHead.fit`; held out are the training cells, each predicted by the head that left it out."""
        logits.to(options.device).eval()
        labels = torch.from_numpy(codes)
        of_training = labels[torch.as_tensor(split.train)]
        weights = options.label_weights(of_training, self.n_labels)
        cell_weights = torch.ones(len(of_training)) if weights is None else weights[of_training]
        with torch.no_grad():
            features = {
                name: FeatureBlocks(
                    (len(split.train), dim),
                    partial(_standardised, standardise, name, inputs[name], split, options.device),
                    None if options.folder is None else KeptTensors(options.folder / f"modality_{number}.safetensors"),
                )
                for number, (name, dim) in enumerate(self.modality_dims.items())
            }
            held_out = self.solve(
                features, of_training.to(options.device), cell_weights.to(options.device), seed=options.seed
            )
        losses = {"train_loss": functional.cross_entropy(held_out.logits, held_out.codes)}
        if len(split.validation):
            some = {name: rows[split.validation] for name, rows in inputs.items()}
            found = torch.from_numpy(in_batches(lambda each: (logits(each),), some, options.device)[0])
            losses["validation_loss"] = functional.cross_entropy(found, labels[torch.as_tensor(split.validation)])
        epoch = pd.RangeIndex(1, name="epoch")
        return Fit({name: pd.DataFrame({name: [float(loss)]}, index=epoch) for name, loss in losses.items()}, held_out)

    def solve(
        self, features: "Mapping[str, FeatureBlocks]", labels: "Tensor", cell_weights: "Tensor", *, seed: int
    ) -> HeldOut:
        """Fit all weights.

        Parameters
        ----------
        features
            Standardised modalities of the training cells.
        labels
            Label codes, shape `(n_obs,)`.
        cell_weights
            Weight of each cell, shape `(n_obs,)`.
        seed
            Seed of the folds.
        """
        known, codes = torch.unique(labels, return_inverse=True)  # registered labels may have no training cell
        folds = stratified_folds(codes.cpu().numpy(), seed)
        fits = {name: fit_head(features[name], codes, cell_weights, folds) for name in self.modality_dims}
        mixture = mixture_weights(fits, codes, cell_weights)
        with torch.no_grad():
            self.weights.copy_(torch.as_tensor(mixture))
        *states, final = (self._state(fits, known, number) for number in range(folds.max() + 2))
        self.load_state_dict(final)
        out_of_fold = [fit.out_of_fold for fit in fits.values()]
        logits = out_of_fold[0].new_full((len(labels), self.n_labels), _NEVER)
        for rows in torch.arange(len(labels), device=labels.device).split(BLOCK_SIZE):
            stacked = torch.stack([each[rows] for each in out_of_fold])
            logits[rows[:, None], known] = mix(stacked, self.weights.detach().to(stacked.dtype))
        on_cpu = [{name: values.cpu() for name, values in state.items()} for state in states]
        return HeldOut(logits.cpu(), labels.cpu(), folds, on_cpu)

    def _state(self, fits: "Mapping[str, LinearHead]", known: "Tensor", number: int) -> "dict[str, Tensor]":
        """All parameters, with the regressions of one fold, or the final ones."""
        state = {"weights": self.weights.detach().clone()}
        for modality, fit in enumerate(fits.values()):
            weights = fit.weights.new_zeros(self.n_labels, fit.weights.shape[-1])
            biases = fit.biases.new_full((self.n_labels,), _NEVER)
            weights[known], biases[known] = fit.weights[number], fit.biases[number]
            state |= {f"heads.{modality}.weight": weights, f"heads.{modality}.bias": biases}
        return state


def _standardised(
    standardise: "Callable[[Mapping[str, Tensor]], dict[str, Tensor]]",
    name: str,
    values: "Rows",
    split: "CellSplit",
    device: torch.device,
) -> "Iterator[Tensor]":
    """A modality of the training cells as the head sees it, block by block."""
    for block in in_blocks(values, split.train, device):
        yield standardise({name: block})[name]
