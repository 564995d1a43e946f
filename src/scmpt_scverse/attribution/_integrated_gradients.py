"""Integrated gradients over the gates of genes."""

from typing import TYPE_CHECKING

import torch
from captum.attr import IntegratedGradients as _Captum

from scmpt_scverse._checks import check_positive
from scmpt_scverse.attribution._base import Attribution, Attributor, GatedLogits

if TYPE_CHECKING:
    from torch import Tensor


class IntegratedGradients(Attributor):
    """Integrates gradients of the logit while all gates move from 0 to 1 :cite:p:`sundararajan2017axiomatic`.

    Parameters
    ----------
    n_steps
        Number of points of the Gauss-Legendre quadrature.
    seed
        Unused; the method is deterministic.
    """

    needs_gradients = True
    is_complete = True
    cells_per_call = 4

    def __init__(self, *, n_steps: int = 12, seed: int = 0) -> None:
        super().__init__(seed=seed)
        check_positive(n_steps, "n_steps")
        self.n_steps = n_steps

    def attribute(self, forward: GatedLogits, gates: "Tensor", target: "Tensor") -> Attribution:
        """See :meth:`Attributor.attribute`."""
        cells = torch.arange(len(gates), device=gates.device)
        scores = _Captum(forward).attribute(
            gates, baselines=0.0, target=target, additional_forward_args=(cells,), n_steps=self.n_steps
        )
        scores = scores.detach().float()
        return Attribution(scores, scores.sum(1))
