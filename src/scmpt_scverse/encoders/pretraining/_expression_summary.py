"""A summary of a cell's expression within its study: principal components, computed in a stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scmpt_scverse.pp import Normalisation

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.pp import ExpressionReader

#: Number of components, and of the most variable genes that they are computed from: the customary numbers.
_N_COMPONENTS, _N_GENES = 50, 2000
#: Components are computed from this many cells at most, in chunks spread evenly over the study.
_MAX_CELLS, _CHUNK_ROWS = 20_000, 1000
#: Lower limit of standard deviations and upper limit of standardised values, so that rare genes do not dominate.
_MIN_STD, _MAX_SCORE = 0.1, 5.0


@dataclass(frozen=True)
class GeneStatistics:
    """Statistics of a study's genes from a first pass over it; arrays of shape `(n_genes,)`.

    Attributes
    ----------
    normalisation
        Normalisation that the study's values need.
    n_cells
        Number of cells that express each gene.
    mean, std
        Mean and standard deviation of log-normalised expression.
    """

    normalisation: Normalisation
    n_cells: "IntArray"
    mean: "FloatArray"
    std: "FloatArray"

    def standardised(self, matrix: sparse.csr_matrix, columns: "IntArray") -> "FloatArray":
        """Log-normalised expression of some genes in standard deviations from their mean, clipped, dense float32."""
        values = self.normalisation(matrix)[:, columns].toarray()
        values = (values - self.mean[columns]) / np.maximum(self.std[columns], _MIN_STD)
        return np.clip(values, -_MAX_SCORE, _MAX_SCORE).astype(np.float32)


def scan_genes(reader: "ExpressionReader") -> GeneStatistics:
    """Statistics of a study's genes, from one pass over all its cells."""
    normalisation = Normalisation.of(reader.rows(0, min(_CHUNK_ROWS, reader.n_obs)).matrix)
    n_genes = len(reader.genes)
    n_cells, total, squares = np.zeros((3, n_genes))
    for chunk in reader.chunks():
        normalised = normalisation(chunk.matrix)
        n_cells += np.bincount(normalised.indices, minlength=n_genes)
        total += np.bincount(normalised.indices, normalised.data, n_genes)
        squares += np.bincount(normalised.indices, normalised.data.astype(np.float64) ** 2, n_genes)
    mean = total / reader.n_obs
    std = np.sqrt(np.maximum(squares / reader.n_obs - mean**2, 0))
    return GeneStatistics(normalisation, n_cells.astype(np.int64), mean, std)


@dataclass(frozen=True)
class ExpressionSummary:
    """Principal components of a study's most variable genes.

    Attributes
    ----------
    genes
        Statistics of the study's genes.
    columns
        The genes used, shape `(n_used,)`.
    components
        Map from standardised expression to scores, scaled so that the first score has variance 1 and the others
        proportionally less; shape `(n_used, n_components)`.
    """

    genes: GeneStatistics
    columns: "IntArray"
    components: "FloatArray"

    def __call__(self, matrix: sparse.csr_matrix) -> "FloatArray":
        """Scores of some cells, float32, shape `(n_cells, n_components)`."""
        return self.genes.standardised(matrix, self.columns) @ self.components


def summarise(reader: "ExpressionReader", genes: GeneStatistics) -> ExpressionSummary:
    """Compute the components of a study."""
    columns = np.sort(np.argsort(-genes.std, kind="stable")[:_N_GENES])
    covariance, n_cells = np.zeros((len(columns), len(columns))), 0
    for chunk in _spread_chunks(reader):
        values = genes.standardised(chunk, columns)
        covariance += values.T @ values
        n_cells += len(values)
    variances, vectors = np.linalg.eigh(covariance)  # ascending
    n_components = min(_N_COMPONENTS, len(columns), max(1, n_cells - 1))
    first = np.sqrt(max(variances[-1] / n_cells, np.finfo(np.float32).tiny))
    components = (vectors[:, : -n_components - 1 : -1] / first).astype(np.float32)
    return ExpressionSummary(genes, columns, components)


def gene_loadings(reader: "ExpressionReader", summary: ExpressionSummary) -> "FloatArray":
    """Loading of every gene on every component: covariance of standardised values, `(n_genes, n_components)`."""
    genes = summary.genes
    products = np.zeros((len(genes.mean), summary.components.shape[1]))
    totals, squares = np.zeros((2, summary.components.shape[1]))
    n_cells = 0
    for chunk in _spread_chunks(reader):
        scores = summary(chunk)
        products += genes.normalisation(chunk).T @ scores
        totals += scores.sum(axis=0)
        squares += (scores**2).sum(axis=0)
        n_cells += len(scores)
    # Centred after the sum: centring the genes themselves would densify them.
    covariance = products / n_cells - np.outer(genes.mean, totals / n_cells)
    score_std = np.sqrt(np.maximum(squares / n_cells - (totals / n_cells) ** 2, np.finfo(np.float32).tiny))
    return covariance / np.maximum(genes.std, _MIN_STD)[:, None] / score_std


def _spread_chunks(reader: "ExpressionReader") -> Iterator[sparse.csr_matrix]:
    """Chunks of rows, evenly spread over the study."""
    starts = np.arange(0, reader.n_obs, _CHUNK_ROWS)
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(len(starts), _MAX_CELLS // _CHUNK_ROWS)).astype(np.int64))
    for start in starts[chosen]:
        yield reader.rows(int(start), min(int(start) + _CHUNK_ROWS, reader.n_obs)).matrix
