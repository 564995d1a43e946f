"""Occlusion: remove one gene and compute the logit again."""

from typing import TYPE_CHECKING

import torch

from scmpt_scverse.attribution._base import Attribution, Attributor, GatedLogits, target_logits

if TYPE_CHECKING:
    from torch import Tensor

#: Rows per call of `forward`: enough for encoders to batch by length, few enough to keep memory low.
_ROWS = 512


class Occlusion(Attributor):
    """The drop of the logit when a gene is removed and the cell is read and embedded again.

    The total of a gene is the drop after its removal from all modalities, its score in a modality the drop after its
    removal there alone. The scores need not sum to the total: one modality may make up for the other.
    """

    cells_per_call = 1

    def attribute(self, forward: GatedLogits, gates: "Tensor", target: "Tensor") -> Attribution:
        """See :meth:`Attributor.attribute`."""
        n_modalities = gates.shape[1]
        scores = torch.zeros((len(gates), n_modalities + 1, gates.shape[2]), device=gates.device)
        for cell in range(len(gates)):
            genes = torch.nonzero(gates[cell].any(0)).squeeze(1)
            whole = target_logits(forward, gates[cell : cell + 1], torch.tensor([cell], device=gates.device), target)
            for where in range(n_modalities + 1):
                removed_from = slice(None) if where == n_modalities else slice(where, where + 1)
                for some in genes.split(_ROWS):
                    rows = gates[cell].repeat(len(some), 1, 1)
                    without = torch.ones((len(some), gates.shape[2]), device=gates.device).scatter(1, some[:, None], 0)
                    rows[:, removed_from] *= without.unsqueeze(1)
                    cells = torch.full((len(some),), cell, device=gates.device)
                    scores[cell, where, some] = whole - target_logits(forward, rows, cells, target)
        return Attribution(scores[:, :-1], scores[:, -1])
