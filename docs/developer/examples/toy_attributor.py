"""Gradient times input: the slope of the logit at the whole cell."""

import torch
from torch import Tensor

from scmpt_scverse.attribution import Attribution, Attributor


class GradientTimesInput(Attributor):
    """A linear approximation of what each gene adds; one forward and one backward pass per call."""

    needs_gradients = True
    cells_per_call = 8

    def attribute(self, forward, gates: Tensor, target: Tensor) -> Attribution:  # type: ignore[no-untyped-def]
        """See `Attributor.attribute`."""
        gates = gates.clone().requires_grad_()
        cells = torch.arange(len(gates), device=gates.device)
        logits = forward(gates, cells).gather(1, target.unsqueeze(1))  # (n_cells, 1)
        (slope,) = torch.autograd.grad(logits.sum(), gates)
        scores = (slope * gates).detach()  # (n_cells, n_modalities, n_genes)
        return Attribution(scores, scores.sum(1))
