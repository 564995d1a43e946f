"""LIME and KernelSHAP: a linear model of how a cell's logit changes when random sets of genes are removed."""

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import KernelShap as _KernelShap, Lime as _Lime

from scmpt_scverse._checks import check_positive
from scmpt_scverse.attribution._base import Attribution, Attributor, GatedLogits

if TYPE_CHECKING:
    from torch import Tensor

#: Rows per call of `forward`.
_ROWS = 128


class _Surrogate(Attributor):
    """The sampling that LIME and KernelSHAP share.

    Parameters
    ----------
    n_samples
        Sets of genes per cell; each is embedded again. With fewer samples than genes times modalities, scores are
        shrunk.
    seed
        Seed of the sets.
    """

    cells_per_call = 1

    def __init__(self, *, n_samples: int = 500, seed: int = 0) -> None:
        super().__init__(seed=seed)
        check_positive(n_samples, "n_samples")
        self.n_samples = n_samples

    @abstractmethod
    def _method(self, forward: "Callable[[Tensor], Tensor]") -> Any:
        """The captum method for a function of the players, the pairs of gene and modality."""

    def attribute(self, forward: GatedLogits, gates: "Tensor", target: "Tensor") -> Attribution:
        """See :meth:`Attributor.attribute`."""
        scores = torch.zeros_like(gates)
        # captum draws from the global random state.
        with torch.random.fork_rng():
            for cell in range(len(gates)):
                torch.manual_seed(self.seed)
                scores[cell] = self._scores_of_cell(forward, gates, cell, int(target[cell]))
        return Attribution(scores, scores.sum(1))

    def _scores_of_cell(self, forward: GatedLogits, gates: "Tensor", cell: int, target: int) -> "Tensor":
        is_player = gates[cell] > 0  # (n_modalities, n_genes)

        def logit_of_players(players: "Tensor") -> "Tensor":
            rows = torch.zeros((len(players), *is_player.shape), device=gates.device)
            rows[:, is_player] = players
            return forward(rows, torch.full((len(players),), cell, device=gates.device))[:, target]

        ones = torch.ones((1, int(is_player.sum())), device=gates.device)
        found = self._method(logit_of_players).attribute(
            ones, baselines=0.0, n_samples=self.n_samples, perturbations_per_eval=_ROWS
        )
        scores = torch.zeros_like(gates[cell])
        scores[is_player] = found.squeeze(0).float()
        return scores


class Lime(_Surrogate):
    """LIME :cite:p:`ribeiro2016lime`: random halves of the genes are removed, and a ridge regression is fitted.

    Sets that are closer to the cell (by cosine) weigh more.
    """

    def _method(self, forward: "Callable[[Tensor], Tensor]") -> Any:
        return _Lime(forward, interpretable_model=SkLearnRidge(alpha=1.0))


class KernelShap(_Surrogate):
    """KernelSHAP :cite:p:`lundberg2017unified`: sets weighted so that coefficients approach Shapley values."""

    is_complete = True

    def _method(self, forward: "Callable[[Tensor], Tensor]") -> Any:
        return _KernelShap(forward)
