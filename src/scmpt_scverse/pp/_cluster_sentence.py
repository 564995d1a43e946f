"""The sentence of a cluster: its cells as one, most expressed genes first."""

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scmpt_scverse.pp._cell_sentence import CellSentences, sentences_of
from scmpt_scverse.pp._expression import ExpressionReader, GeneExpression
from scmpt_scverse.pp._normalisation import Normalisation

if TYPE_CHECKING:
    from scmpt_scverse._types import IntArray


def cluster_sentences(
    reader: ExpressionReader, clusters: "IntArray", n_clusters: int, max_genes: int | None = None
) -> CellSentences:
    """One sentence a cluster, from the mean log-normalised expression of its cells, so that none counts for its depth.

    Parameters
    ----------
    reader
        The cells.
    clusters
        Cluster of each cell, shape `(n_obs,)`; -1 for none.
    n_clusters
        Their number.
    max_genes
        Keep this many of the most expressed genes; `None` keeps all.

    Returns
    -------
    Sentences in the order of the clusters; an empty one for a cluster without cells.
    """
    sums = np.zeros((n_clusters, len(reader.genes)))
    normalise: Normalisation | None = None
    start = 0
    for chunk in reader.chunks():
        normalise = normalise or Normalisation.of(chunk.matrix)
        of_chunk = clusters[start : start + chunk.matrix.shape[0]]
        start += len(of_chunk)
        cells = np.flatnonzero(of_chunk >= 0)
        members = sparse.csr_matrix(
            (np.ones(len(cells)), (of_chunk[cells], cells)), shape=(n_clusters, len(of_chunk))
        )  # (n_clusters, n_cells)
        sums += (members @ normalise(chunk.matrix)).toarray()
    sizes = np.maximum(np.bincount(clusters[clusters >= 0], minlength=n_clusters), 1)
    means = sparse.csr_matrix(sums / sizes[:, None])
    return sentences_of(GeneExpression(means, reader.genes), max_genes)
