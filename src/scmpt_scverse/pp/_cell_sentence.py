"""Sentences of cells and of clusters: gene symbols in descending order of expression."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._checks import check_cells, check_positive
from scmpt_scverse.pp._expression import ExpressionReader, GeneExpression
from scmpt_scverse.pp._normalisation import Normalisation
from scmpt_scverse.pp._orthologs import HUMAN, Organism

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import IntArray, StrArray

#: Rows ranked at a time, and the most columns for which row, value and column fit into one 64-bit number.
_BLOCK_ROWS, _MAX_COLUMNS = 1 << 8, 1 << 24


@dataclass(frozen=True)
class CellSentences:
    """The sentences of some cells, as indices of genes.

    Attributes
    ----------
    indptr
        Cell `i` has the genes `ranked[indptr[i]:indptr[i + 1]]`; shape `(n_obs + 1,)`.
    ranked
        Indices into `genes`, most expressed first, one cell after another.
    genes
        Text of each index: the symbols, shape `(n_genes,)`; in the form `"binned"` three texts per gene.
    """

    indptr: "IntArray"
    ranked: "IntArray"
    genes: "StrArray"

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def texts(self) -> list[str]:
        """Symbols joined by single spaces; `""` for a cell without expression."""
        names = self.genes[self.ranked]
        return [" ".join(names[start:stop]) for start, stop in pairwise(self.indptr)]

    def contents(self) -> Iterator[bytes]:
        """Each sentence as bytes."""
        return (text.encode() for text in self.texts())

    def take(self, rows: "IntArray") -> "CellSentences":
        """Some of the sentences, in the order of `rows`."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        source = np.repeat(self.indptr[:-1][rows] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return CellSentences(indptr, self.ranked[source], self.genes)

    def cut(self, max_genes: int) -> "CellSentences":
        """At most the first `max_genes` genes of each sentence."""
        return CellSentences(*_cut_rows(self.indptr, self.ranked, max_genes), self.genes)


def cell_sentences(
    adata: "AnnData",
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: Organism = HUMAN,
    max_genes: int | None = None,
) -> pd.Series:
    """Write every cell as a sentence of gene symbols, most expressed first.

    Genes without expression are left out. Genes with equal expression keep the order of their columns, so the same data
    always give the same sentences. Library-size and log normalisation do not change a sentence.

    Parameters
    ----------
    adata
        Cells, in memory, as a view or backed; sparse or dense. Not changed, never densified.
    layer
        Key of `.layers` to read; `None` reads `.X`. Counts or log-normalised values, non-negative.
    gene_symbols
        Column of `.var` with gene symbols; `None` uses `var_names`. Prefixes and suffixes of a symbol, as in
        `GRCh38_CD3D`, are ignored. Columns named by identifiers such as Ensembl ids have no symbol and are left out;
        columns with the same symbol are summed.
    organism
        Species of the cells: `"human"`, `"mouse"`, :class:`Orthologs` for others, or `"auto"`, which infers it from the
        names and warns. For species other than human, sentences hold human orthologs, so that text models of human
        genes can read them. `"native"` writes the symbols unchanged, for any species.
    max_genes
        Keep this many of the most expressed genes; `None` keeps all.

    Returns
    -------
    Series of strings with index `adata.obs_names`; symbols are joined by single spaces, and a cell without expression
    gives `""`.

    Raises
    ------
    KeyError
        `layer` or `gene_symbols` does not exist.
    TypeError
        `organism` is neither a string nor :class:`Orthologs`, or the expression is not a matrix.
    ValueError
        Negative, non-finite or non-numeric expression, no expression matrix, no cells, hardly any gene symbol, genes of
        two species or of another one than `organism`, an unknown `organism`, or `max_genes` below 1.

    Notes
    -----
    Cell sentences as in scMPT :cite:p:`palayew2025scmpt`, which follows GenePT :cite:p:`chen2025genept`. The papers
    leave ties open; GenePT and cell2sentence break them at random.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from anndata import AnnData
    >>> from scmpt_scverse import pp
    >>> genes = pd.DataFrame(index=["CD3D", "MS4A1", "NKG7"])
    >>> cells = pd.DataFrame(index=["cell1", "cell2"])
    >>> pp.cell_sentences(AnnData(np.array([[1.0, 0.0, 5.0], [0.0, 2.0, 2.0]]), cells, genes)).tolist()
    ['NKG7 CD3D', 'MS4A1 NKG7']
    """
    if max_genes is not None:
        check_positive(max_genes, "max_genes")
    check_cells(adata)
    reader = ExpressionReader(adata, layer=layer, gene_symbols=gene_symbols, organism=organism)
    sentences = [sentence for chunk in reader.chunks() for sentence in sentences_of(chunk, max_genes).texts()]
    return pd.Series(sentences, index=adata.obs_names, name="cell_sentence", dtype=object)


def sentences_of(expression: GeneExpression, max_genes: int | None = None) -> CellSentences:
    """The cell sentences of one chunk, in its row order."""
    return CellSentences(*rank_genes(expression.matrix, max_genes), expression.genes)


def cluster_sentences(
    reader: ExpressionReader, clusters: "IntArray", n_clusters: int, max_genes: int | None = None
) -> CellSentences:
    """One sentence per cluster, from mean log-normalised expression, so that deeply sequenced cells do not dominate.

    Parameters
    ----------
    reader
        The cells.
    clusters
        Cluster of each cell, shape `(n_obs,)`; -1 for none.
    n_clusters
        Number of clusters.
    max_genes
        Keep this many of the most expressed genes; `None` keeps all.

    Returns
    -------
    One sentence per cluster, in order; empty for a cluster without cells.
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


def rank_genes(matrix: sparse.csr_matrix, max_genes: int | None = None) -> "tuple[IntArray, IntArray]":
    """Column indices of every row in descending order of value, ties by column.

    Parameters
    ----------
    matrix
        Canonical CSR (sorted columns, no explicit zeros), shape `(n_obs, n_genes)`.
    max_genes
        Keep at most this many columns of each row.

    Returns
    -------
    `indptr` of shape `(n_obs + 1,)` and the ranked columns of all rows, one row after another.
    """
    blocks = [matrix[start : start + _BLOCK_ROWS] for start in range(0, matrix.shape[0], _BLOCK_ROWS)]
    ranked = np.concatenate([np.empty(0, dtype=matrix.indices.dtype), *map(_ranked_block, blocks)])
    return (matrix.indptr, ranked) if max_genes is None else _cut_rows(matrix.indptr, ranked, max_genes)


def _ranked_block(matrix: sparse.csr_matrix) -> "IntArray":
    """The columns of some rows in descending order of value, ties by column, one row after another."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    values = matrix.data.astype(np.float32)
    if matrix.shape[1] > _MAX_COLUMNS or not np.array_equal(values, matrix.data):
        # float32 would tie values that differ. Widened before negation: unsigned counts would wrap around.
        # lexsort is stable and columns are sorted within a row, so ties keep column order.
        order = np.lexsort((-matrix.data.astype(np.float64), row))
        by_value: IntArray = matrix.indices[order]
        return by_value
    # Row (8 bits), value (the bits of positive floats ascend like the floats) and column (24 bits) as one number: numpy
    # sorts values several times faster than it computes an argsort.
    key = (row.astype(np.uint64) << np.uint64(32)) | (~values.view(np.uint32)).astype(np.uint64)
    key = (key << np.uint64(24)) | matrix.indices.astype(np.uint64)
    key.sort()
    return (key & np.uint64(_MAX_COLUMNS - 1)).astype(matrix.indices.dtype)


def _cut_rows(indptr: "IntArray", values: "IntArray", length: int) -> "tuple[IntArray, IntArray]":
    """The first `length` values of each row."""
    lengths = np.diff(indptr)
    rank_in_row = np.arange(values.size) - np.repeat(indptr[:-1], lengths)
    return np.concatenate([[0], np.cumsum(np.minimum(lengths, length))]), values[rank_in_row < length]
