"""Cells as weights of genes: how much each gene says about a cell."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scmpt_scverse.pp._normalisation import log_normalised_cells

if TYPE_CHECKING:
    from scmpt_scverse._types import StrArray
    from scmpt_scverse.pp._expression import GeneExpression


@dataclass(frozen=True)
class GeneWeights:
    """The weights of genes in some cells.

    Attributes
    ----------
    matrix
        Positive float32 CSR, shape `(n_obs, n_genes)`. The rows of cells with any expression sum to 1, others are
        empty.
    genes
        Symbols of the columns, shape `(n_genes,)`.
    """

    matrix: sparse.csr_matrix
    genes: "StrArray"

    def __len__(self) -> int:
        return int(self.matrix.shape[0])


def gene_weights_of(expression: "GeneExpression", power: float) -> GeneWeights:
    """Log-normalised expression of each cell to some power, divided by its sum."""
    matrix = log_normalised_cells(expression.matrix).power(power)
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    shares = matrix.data / np.repeat(totals, np.diff(matrix.indptr))
    return GeneWeights(sparse.csr_matrix((shares, matrix.indices, matrix.indptr), matrix.shape), expression.genes)
