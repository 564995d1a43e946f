"""Random scores: the control that every method has to beat."""

from typing import TYPE_CHECKING

import torch

from scmpt_scverse.attribution._base import Attribution, Attributor, GatedLogits

if TYPE_CHECKING:
    from torch import Tensor


class RandomAttribution(Attributor):
    """Standard normal scores for the genes that a cell expresses, independent of the model."""

    def attribute(self, forward: GatedLogits, gates: "Tensor", target: "Tensor") -> Attribution:
        """See :meth:`Attributor.attribute`."""
        generator = torch.Generator().manual_seed(self.seed)
        # The next call draws other numbers, so that cells of different calls do not share scores.
        self.seed += 1
        scores = torch.randn(gates.shape, generator=generator).to(gates.device) * gates
        return Attribution(scores, scores.sum(1))
