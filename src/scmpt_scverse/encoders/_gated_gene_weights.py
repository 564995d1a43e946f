"""A mean of gene vectors as a function of how much of each gene is there."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

from scmpt_scverse.encoders._gene_gates import ExpressedGenes, GeneGates

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import FloatArray


class GatedGeneWeights(GeneGates):
    """Weighted means of vectors, in which the vector of a gene gives way to the plain mean of those of its cell.

    Parameters
    ----------
    weights
        Of all cells, rows sum to 1, shape `(n_cells, n_genes)`.
    vectors
        Shape `(n_genes, dim)`; those of genes that no cell expresses do not count.
    device
        Where to compute.
    """

    def __init__(self, weights: "sparse.csr_matrix", vectors: "FloatArray", device: "torch.device") -> None:
        expressed = ExpressedGenes(weights)
        self.genes = expressed.columns
        padded = np.zeros(expressed.columns.shape, dtype=np.float32)
        padded[expressed.is_gene] = weights.data
        self._weights = torch.from_numpy(padded).to(device)
        # Where a cell has fewer genes than others, a weight of 0 is added to the first gene.
        self._columns = torch.from_numpy(expressed.columns.clip(min=0)).to(device)
        self._vectors = torch.from_numpy(vectors).to(device)
        n_expressed = np.diff(weights.indptr)
        shares = np.repeat(np.float32(1) / n_expressed.astype(np.float32), n_expressed)
        equal = sparse.csr_matrix((shares, weights.indices, weights.indptr), weights.shape)
        self._neutral = torch.from_numpy(equal @ vectors).to(device)

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneGates.__call__`."""
        weights = self._weights[cells] * gates
        of_genes = weights.new_zeros(len(cells), len(self._vectors)).scatter_add(1, self._columns[cells], weights)
        return of_genes @ self._vectors + (1 - weights.sum(dim=1, keepdim=True)) * self._neutral[cells]
