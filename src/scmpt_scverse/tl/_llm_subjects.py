"""What a language model is asked about, cells or clusters, and which cell its answers are for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_key
from scmpt_scverse.pp._cell_sentence import sentences_of
from scmpt_scverse.pp._cluster_sentence import cluster_sentences

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.pp._expression import ExpressionReader

#: Genes that are shown by default: about 400 tokens.
DEFAULT_N_GENES = 100


@dataclass(frozen=True)
class Subjects:
    """Cells or clusters to ask about.

    Attributes
    ----------
    kind
        What one is called in the prompt.
    genes
        The most expressed genes of each.
    of_cell
        Which of them answers for a cell, shape `(n_obs,)`; -1 for a cell that is not asked about.
    """

    kind: str
    genes: list[list[str]]
    of_cell: "IntArray"


def cells_as_subjects(reader: "ExpressionReader", rows: "IntArray", n_genes: int) -> Subjects:
    """Each of some cells, in the order of `rows`; without those that have no expression."""
    ascending = np.sort(rows)
    texts = sentences_of(reader.take(ascending), n_genes).texts() if len(rows) else []
    sentences = [texts[place].split() for place in np.searchsorted(ascending, rows)]
    kept = [number for number, genes in enumerate(sentences) if genes]
    of_cell = np.full(reader.n_obs, -1)
    of_cell[rows[kept]] = np.arange(len(kept))
    return Subjects("a cell", [sentences[number] for number in kept], of_cell)


def clusters_as_subjects(
    reader: "ExpressionReader", codes: "IntArray", chosen: Sequence[int], n_genes: int
) -> Subjects:
    """Some of the clusters, in the order of `chosen`; a cell in none of them has another code."""
    n_clusters = int(codes.max(initial=-1)) + 1
    texts = cluster_sentences(reader, codes, n_clusters, n_genes).texts()
    kept = [cluster for cluster in chosen if texts[cluster]]
    place = np.full(n_clusters + 1, -1)  # the last one is for -1
    place[kept] = np.arange(len(kept))
    return Subjects("a cluster of cells", [texts[cluster].split() for cluster in kept], place[codes])


def cluster_codes(adata: "AnnData", cluster_key: str) -> "IntArray":
    """The number of each cell's cluster, shape `(n_obs,)`; -1 where it has none."""
    check_key(cluster_key, adata.obs.columns, "adata.obs")
    codes, _ = pd.factorize(adata.obs[cluster_key].astype(object))
    return np.asarray(codes, dtype=np.int64)
