"""Occlusion: take one gene out and ask again."""

from typing import TYPE_CHECKING

import torch

from scmpt_scverse.attribution._base import Attribution, Attributor, GatedLogits, target_logits

if TYPE_CHECKING:
    from torch import Tensor

#: Rows of one call: enough for the encoders to batch by length, little enough to keep memory low.
_ROWS = 512


class Occlusion(Attributor):
    """By how much the logit falls without a gene, whose cell is then read and embedded anew.

    The total of a gene is what its removal from all modalities does; the score in a modality is that of its removal
    there alone. The two need not add up: the head may need a gene in one place only.
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
