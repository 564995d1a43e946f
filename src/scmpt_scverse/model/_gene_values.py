"""Expression itself as if an encoder made it, so that its genes are taken out and followed like those of encoders."""

import hashlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from scmpt_scverse._checks import list_some
from scmpt_scverse.encoders._base import Encoder
from scmpt_scverse.encoders._gene_gates import ExpressedGenes, GeneGates
from scmpt_scverse.model._expression_rows import ExpressionRows
from scmpt_scverse.model._modalities import COUNTS
from scmpt_scverse.pp._expression import CHUNK_SIZE
from scmpt_scverse.pp._normalisation import Normalisation

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray
    from scmpt_scverse.pp._expression import ExpressionReader, GeneExpression


class GeneValues(Encoder):
    """Log-normalised values of the genes that a model was trained on.

    Parameters
    ----------
    reader
        Of the data; what their values are, counts or logarithms, is decided by the first cells.
    genes
        Of the model, shape `(n_genes,)`.
    fill
        Value of genes that the data do not have: the mean of the training cells, so that they say nothing; shape
        `(n_genes,)`.
    width
        Number of features; those beyond `genes` are 0.

    Raises
    ------
    ValueError
        The data have none of the genes.
    """

    name = COUNTS
    modality: Literal["expression"] = "expression"
    min_genes = 1
    min_expression = 0.0

    def __init__(self, reader: "ExpressionReader", genes: "StrArray", fill: "FloatArray", width: int) -> None:
        columns = pd.Index(reader.genes).get_indexer(genes)
        is_measured: BoolArray = columns >= 0
        if not is_measured.any():
            raise ValueError(
                f"Expected expression of some of the {len(genes)} genes that the model was trained on; found none of "
                f"them among {list_some(reader.genes)}. Pass `gene_symbols=` to `setup_anndata`, or data with gene "
                "symbols."
            )
        self.embedding_dim = width
        self._genes, self._fill, self._is_measured, self._columns = genes, fill, is_measured, columns
        # A feature for each gene of the model; those that the data lack are empty.
        features = np.flatnonzero(is_measured)
        self._pick = sparse.csr_matrix(
            (np.ones(len(features), dtype=np.float32), (columns[features], features)), shape=(len(reader.genes), width)
        )
        self._normalise = Normalisation.of(reader.rows(0, min(reader.n_obs, CHUNK_SIZE)).matrix)

    def known_genes(self, genes: "StrArray") -> "BoolArray":
        """See :meth:`Encoder.known_genes`."""
        return np.isin(genes, self._genes)

    def prepare(self, expression: "GeneExpression") -> ExpressionRows:
        """Values of the cells; the genes are those of the reader."""
        return ExpressionRows(self._normalise(expression.matrix) @ self._pick, self._is_measured, self._fill)

    def encode(self, inputs: ExpressionRows, **_: Any) -> "FloatArray":
        """Dense float32, shape `(n_obs, width)`."""
        return inputs[np.arange(len(inputs))]

    def read(self, reader: "ExpressionReader") -> ExpressionRows:
        """Values of all cells."""
        chunks = [self.prepare(chunk).values for chunk in reader.chunks()]
        return ExpressionRows(sparse.vstack(chunks, "csr"), self._is_measured, self._fill)

    def gene_gates(self, expression: "GeneExpression", device: "torch.device") -> GeneGates:
        """See :class:`GeneDifferentiable`; a gene at 0 is not expressed, and the others keep their values."""
        return _GatedValues(self.prepare(expression), self._columns, device)

    def _compute_fingerprint(self) -> str:
        return hashlib.sha256("\n".join(self._genes).encode() + self._fill.tobytes()).hexdigest()


class _GatedValues(GeneGates):
    """Values that are multiplied by their gates.

    Parameters
    ----------
    rows
        Of all cells.
    columns
        Where the expression has the gene of each feature.
    device
        Where to compute.
    """

    def __init__(self, rows: ExpressionRows, columns: "IntArray", device: "torch.device") -> None:
        expressed = ExpressedGenes(rows.values)
        self.genes = np.where(expressed.is_gene, columns[expressed.columns], -1)
        values = np.zeros(expressed.columns.shape, dtype=np.float32)
        values[expressed.is_gene] = rows.values.data
        self._values = torch.from_numpy(values).to(device)
        # Where a cell has fewer genes than others, 0 is added to the first feature.
        self._features = torch.from_numpy(expressed.columns.clip(min=0)).to(device)
        self._unexpressed = torch.from_numpy(rows.unexpressed()).to(device)

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneGates.__call__`."""
        start = self._unexpressed.expand(len(cells), -1)
        return start.scatter_add(1, self._features[cells], self._values[cells] * gates)
