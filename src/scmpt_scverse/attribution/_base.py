"""The contract of an attributor: it gets a function of gates and gives a score per gate."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

if TYPE_CHECKING:
    from torch import Tensor

#: Logits `(batch, n_labels)` from gates `(batch, n_modalities, n_genes)` and cells `(batch,)`. `cells` holds, for each
#: row of gates, the position of its cell among those passed to the attributor. A gate of 1 keeps a gene in a modality,
#: 0 removes it; functions with gradients take values in between.
GatedLogits: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"


@dataclass(frozen=True)
class Attribution:
    """Contributions of genes to one logit per cell.

    Attributes
    ----------
    scores
        Contribution of each gene in each modality, shape `(n_cells, n_modalities, n_genes)`.
    total
        Contribution of each gene over all modalities, shape `(n_cells, n_genes)`; usually `scores.sum(1)`.

    Raises
    ------
    ValueError
        The shapes do not fit.
    """

    scores: "Tensor"
    total: "Tensor"

    def __post_init__(self) -> None:
        scores, total = tuple(self.scores.shape), tuple(self.total.shape)
        if len(scores) != 3 or total != (scores[0], scores[2]):
            raise ValueError(
                "Expected `scores` of shape (n_cells, n_modalities, n_genes) and `total` of shape (n_cells, n_genes); "
                f"found {scores} and {total}. Return scores in the shape of `gates`, and `scores.sum(1)` as total."
            )


class Attributor(ABC):
    """Attributes a logit to the genes of a cell.

    Subclasses implement :meth:`attribute` and set the attributes below where the defaults do not fit. They see tensors
    and a function, never AnnData or a model. The score of a cell must not depend on the other cells of the call, and
    the global random state must be left as it was.

    Parameters
    ----------
    seed
        Seed of random draws.

    Attributes
    ----------
    needs_gradients
        Whether `forward` must accept gates between 0 and 1 and be differentiable. If true, a gate of 0 replaces a gene
        by a neutral token inside the encoder. If false (the default), `forward` takes gates of 0 and 1, and the cell is
        read and embedded again without the genes at 0; this works for every encoder.
    is_complete
        Whether the total scores of a cell sum to what all genes contribute: the logit with all gates at 1 minus that
        with all at 0. If true, the relative deviation is reported as completeness error. False by default.
    cells_per_call
        Maximum number of cells passed to one call of :meth:`attribute`; 16 by default. Lower it for methods that call
        `forward` with many rows per cell.
    """

    needs_gradients: bool = False
    is_complete: bool = False
    cells_per_call: int = 16

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    @abstractmethod
    def attribute(self, forward: GatedLogits, gates: "Tensor", target: "Tensor") -> Attribution:
        """Scores of genes: how much each raises the logit `target` of its cell.

        Parameters
        ----------
        forward
            `forward(gates, cells)` gives logits of shape `(batch, n_labels)`; a batch may hold any number of rows per
            cell, and `cells`, of shape `(batch,)`, says which cell each row belongs to.
        gates
            1 for the genes that a cell expresses, 0 elsewhere; float32, shape `(n_cells, n_modalities, n_genes)`.
        target
            Index of the logit to explain, shape `(n_cells,)`.

        Returns
        -------
        Finite scores, on the device of `gates`; 0 for genes whose gate is 0.
        """


def target_logits(forward: GatedLogits, gates: "Tensor", cells: "Tensor", target: "Tensor") -> "Tensor":
    """The logit `target[cells]` of each row, shape `(batch,)`."""
    return forward(gates, cells).gather(1, target[cells].unsqueeze(1)).squeeze(1)


def total_difference(forward: GatedLogits, gates: "Tensor", target: "Tensor") -> "Tensor":
    """What all genes contribute: the logit of the cell minus that with every gate at 0, shape `(n_cells,)`."""
    cells = torch.arange(len(gates), device=gates.device)
    with torch.no_grad():
        whole = target_logits(forward, gates, cells, target)
        return whole - target_logits(forward, torch.zeros_like(gates), cells, target)
