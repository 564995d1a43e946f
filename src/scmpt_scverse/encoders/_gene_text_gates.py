"""Gradients of gene texts: the embedding is linear in the weights of genes, so a gate is a factor of one weight."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from scmpt_scverse.encoders._gene_gates import GeneGates

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.pp._gene_weights import GeneWeights


class GeneTextGates(GeneGates):
    """Cells as means of gene vectors; a gene that is turned down is read as an empty text.

    Parameters
    ----------
    weights
        Of the genes in each cell.
    vectors
        Of the genes that some cell expresses, shape `(n_genes, embedding_dim)`.
    neutral
        Of an empty text, shape `(embedding_dim,)`.
    device
        A torch device.
    """

    def __init__(
        self, weights: "GeneWeights", vectors: "FloatArray", neutral: "FloatArray", device: "torch.device"
    ) -> None:
        matrix = weights.matrix
        lengths = np.diff(matrix.indptr)
        is_gene = np.arange(lengths.max()) < lengths[:, None]
        self.genes = np.full(is_gene.shape, -1)
        self.genes[is_gene] = matrix.indices
        padded = np.zeros(is_gene.shape, dtype=np.float32)
        padded[is_gene] = matrix.data
        self._columns = torch.from_numpy(np.where(is_gene, self.genes, 0)).to(device)
        self._weights = torch.from_numpy(padded).to(device)
        self._neutral = torch.from_numpy(neutral).to(device)
        self._differences = torch.from_numpy(vectors - neutral).to(device)

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneGates.__call__`."""
        shares = gates * self._weights[cells]
        per_gene = shares.new_zeros((len(cells), len(self._differences))).scatter_add(1, self._columns[cells], shares)
        return self._neutral + per_gene @ self._differences
