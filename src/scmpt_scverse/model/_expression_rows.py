"""Expression itself as a modality: log-normalised values of the genes that vary most among the training cells."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scmpt_scverse.pp._expression import ExpressionReader
from scmpt_scverse.pp._normalisation import Normalisation

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray

#: A gene that fewer training cells express is noise.
_MIN_CELLS = 3


class ExpressionRows:
    """Rows of expression over some genes, dense only where they are asked for.

    Parameters
    ----------
    values
        Log-normalised, shape `(n_obs, n_genes)`.
    is_measured
        Which genes the data have, shape `(n_genes,)`.
    fill
        Value of the others: the mean of the training cells, so that they say nothing; shape `(n_genes,)`.
    """

    def __init__(self, values: sparse.csr_matrix, is_measured: "BoolArray", fill: "FloatArray") -> None:
        self.values = values
        self._absent = np.flatnonzero(~is_measured)
        self._fill = fill[self._absent].astype(np.float32)
        self.shape: tuple[int, int] = values.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: "IntArray") -> "FloatArray":
        """Dense float32 rows, shape `(n_rows, n_genes)`."""
        dense: FloatArray = self.values[np.asarray(rows)].toarray()
        dense[:, self._absent] = self._fill
        return dense

    def unexpressed(self) -> "FloatArray":
        """The row of a cell that expresses no gene, shape `(n_genes,)`."""
        row = np.zeros(self.shape[1], dtype=np.float32)
        row[self._absent] = self._fill
        return row


def variable_genes(adata: "AnnData", rows: "IntArray", n_genes: int, **reading: Any) -> "StrArray":
    """The genes whose log-normalised expression varies most among some cells, most variable first.

    Parameters
    ----------
    adata
        Cells.
    rows
        Row numbers of those that count.
    n_genes
        How many at most; genes that fewer than three of the cells express do not count.
    **reading
        `layer` and `gene_symbols`.
    """
    reader = ExpressionReader(adata, **reading)
    is_counted = np.zeros(reader.n_obs, dtype=bool)
    is_counted[rows] = True
    sums, squares, n_expressing = (np.zeros(len(reader.genes)) for _ in range(3))
    done = 0
    for every in _chunks(reader):
        values = every[is_counted[done : done + every.shape[0]]]
        done += every.shape[0]
        sums += np.asarray(values.sum(axis=0, dtype=np.float64)).ravel()
        squares += np.asarray(values.power(2).sum(axis=0, dtype=np.float64)).ravel()
        n_expressing += values.getnnz(axis=0)
    variances = squares / len(rows) - (sums / len(rows)) ** 2
    variances[n_expressing < min(_MIN_CELLS, len(rows))] = 0
    order = np.argsort(-variances, kind="stable")[:n_genes]
    return reader.genes[order[variances[order] > 0]]


def _chunks(reader: ExpressionReader) -> Iterator[sparse.csr_matrix]:
    """Log-normalised expression; what the values are is decided once, by the first cells."""
    normalise: Normalisation | None = None
    for chunk in reader.chunks():
        normalise = normalise or Normalisation.of(chunk.matrix)
        yield normalise(chunk.matrix)
