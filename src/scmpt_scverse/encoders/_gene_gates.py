"""The embedding of cells as a differentiable function of how much of each gene is present."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from scipy import sparse

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.pp import GeneExpression


class ExpressedGenes:
    """The genes that each cell expresses, padded to one width.

    Attributes
    ----------
    columns
        Columns of the expression, -1 where a cell has fewer genes than others; shape `(n_cells, n_genes)`.
    is_gene
        False for padding, shape `(n_cells, n_genes)`.
    """

    def __init__(self, matrix: sparse.csr_matrix) -> None:
        lengths = np.diff(matrix.indptr)
        self.is_gene = np.arange(lengths.max(initial=0)) < lengths[:, None]
        self.columns = np.full(self.is_gene.shape, -1)
        self.columns[self.is_gene] = matrix.indices

    def gates(self, n_modalities: int, device: "torch.device") -> "Tensor":
        """Open gates: 1 for genes, 0 for padding, float32 of shape `(n_cells, n_modalities, n_genes)`."""
        there = torch.from_numpy(self.is_gene).to(device).float()
        return there.unsqueeze(1).repeat(1, n_modalities, 1)


class GeneGates(ABC):
    """Some cells, ready to be embedded with their genes turned down.

    Every position that an encoder reads (a token, as a rule) has a gate in [0, 1]: at 1 it is what the encoder reads,
    at 0 a neutral stand-in, and in between a linear interpolation. So the integral of the gradient along a gate equals
    that along the position's embedding, summed over its dimensions, at the cost of a single number.

    Attributes
    ----------
    genes
        Which gene each position belongs to, as a column of the expression; -1 for positions of no gene (special tokens,
        padding). Shape `(n_cells, n_positions)`.
    """

    genes: "IntArray"

    @abstractmethod
    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """Embed cells with gates, in float32.

        Parameters
        ----------
        gates
            Shape `(batch, n_positions)`; those of positions without a gene must be 1.
        cells
            Index of the cell of each row, shape `(batch,)`.

        Returns
        -------
        Embeddings of shape `(batch, embedding_dim)`; where all gates are 1, those of :meth:`Encoder.encode` in float32.
        """


class JoinedGates(GeneGates):
    """Several embeddings of the same cells side by side; a gene has a gate in each.

    Parameters
    ----------
    parts
        The embeddings, in the order of their columns.
    """

    def __init__(self, parts: Sequence[GeneGates]) -> None:
        self._parts = list(parts)
        self.genes = np.hstack([part.genes for part in parts])

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneGates.__call__`."""
        widths = [part.genes.shape[1] for part in self._parts]
        pairs = zip(self._parts, gates.split(widths, dim=1), strict=True)
        return torch.cat([part(some, cells) for part, some in pairs], dim=1)


@runtime_checkable
class GeneDifferentiable(Protocol):
    """An encoder through which gradients reach the genes."""

    def gene_gates(self, expression: "GeneExpression", device: "torch.device") -> GeneGates:
        """The cells of `expression`, each with at least one gene that the encoder reads, on `device`."""
        ...


def turned_down(embedded: "Tensor", neutral: "Tensor", gates: "Tensor") -> "Tensor":
    """Between `neutral` (gate 0) and `embedded` (1), `(batch, n_positions, dim)`, by `(batch, n_positions)` gates."""
    return neutral + gates.unsqueeze(-1) * (embedded - neutral)
