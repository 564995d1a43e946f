"""The contract of an attributor: a function of gates in, a score per gate out."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

if TYPE_CHECKING:
    from torch import Tensor

#: Logits `(batch, n_labels)` of gates `(batch, n_modalities, n_genes)` and cells `(batch,)`: which gene of which cell
#: is there, in each modality. Gates are 0 or 1, or anything between for a function that has gradients.
GatedLogits: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"


@dataclass(frozen=True)
class Attribution:
    """What the genes of some cells contribute to one logit of each.

    Attributes
    ----------
    scores
        Of each gene in each modality, shape `(n_cells, n_modalities, n_genes)`.
    total
        Of each gene in all modalities together, shape `(n_cells, n_genes)`.
    """

    scores: "Tensor"
    total: "Tensor"


class Attributor(ABC):
    """Attributes a logit to the genes of a cell.

    Attributors see tensors and a function, never AnnData or a model, so that one is a file and a line in the registry.

    Parameters
    ----------
    seed
        Of whatever is drawn at random.

    Attributes
    ----------
    needs_gradients
        Whether `forward` must take gates between 0 and 1 and have gradients. If not, it gets gates of 0 and 1, and
        answers for the cell as it is without the genes at 0.
    is_complete
        Whether the scores of a cell sum to what all of its genes together contribute.
    cells_per_call
        How many cells to pass at a time.
    """

    needs_gradients: bool = False
    is_complete: bool = False
    cells_per_call: int = 16

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    @abstractmethod
    def attribute(self, forward: GatedLogits, gates: "Tensor", target: "Tensor") -> Attribution:
        """Scores of genes for the logit `target`, by how much the gene being there raises it.

        Parameters
        ----------
        forward
            Logits of gates and cells.
        gates
            1 for the genes that a cell expresses, 0 elsewhere; float32, shape `(n_cells, n_modalities, n_genes)`.
            Genes at 0 get a score of 0.
        target
            Which logit to explain, shape `(n_cells,)`.
        """


def target_logits(forward: GatedLogits, gates: "Tensor", cells: "Tensor", target: "Tensor") -> "Tensor":
    """The logit `target[cells]` of each row, shape `(batch,)`."""
    return forward(gates, cells).gather(1, target[cells].unsqueeze(1)).squeeze(1)


def total_difference(forward: GatedLogits, gates: "Tensor", target: "Tensor") -> "Tensor":
    """What all genes together contribute: the logit of the cell less that with every gate at 0, shape `(n_cells,)`."""
    cells = torch.arange(len(gates), device=gates.device)
    with torch.no_grad():
        whole = target_logits(forward, gates, cells, target)
        return whole - target_logits(forward, torch.zeros_like(gates), cells, target)
