"""Sentences of clusters."""

import numpy as np
from anndata import AnnData

from scmpt_scverse import pp
from scmpt_scverse.pp import _expression
from scmpt_scverse.pp._cell_sentence import cluster_sentences
from scmpt_scverse.pp._expression import ExpressionReader


def test_genes_stand_in_the_order_of_their_means(pbmc: AnnData) -> None:
    codes = np.asarray(pbmc.obs["louvain"].cat.codes).astype(int)
    codes[:50] = -1
    texts = cluster_sentences(ExpressionReader(pbmc), codes, 12).texts()
    matrix = pbmc.X.toarray()
    for cluster in range(11):
        means = matrix[codes == cluster].mean(axis=0, dtype=np.float64)
        genes = texts[cluster].split()
        assert len(genes) == (means > 0).sum()
        by_gene = dict(zip(pbmc.var_names, means, strict=True))
        ranked = [by_gene[gene] for gene in genes]
        assert np.all(np.diff(ranked) <= 1e-7)
    assert texts[11] == ""  # no cell is in it
    short = cluster_sentences(ExpressionReader(pbmc), codes, 12, max_genes=5).texts()
    assert short[0].split() == texts[0].split()[:5]


def test_chunks_do_not_matter(pbmc: AnnData) -> None:
    codes = np.asarray(pbmc.obs["louvain"].cat.codes).astype(int)
    reader = ExpressionReader(pbmc)
    whole = cluster_sentences(reader, codes, 11).texts()
    chunks = reader.chunks
    reader.chunks = lambda size=_expression.CHUNK_SIZE: chunks(64)  # type: ignore[method-assign]
    assert [text.split()[:50] for text in cluster_sentences(reader, codes, 11).texts()] == [
        text.split()[:50] for text in whole
    ]


def test_a_deep_cell_counts_as_much_as_a_shallow_one() -> None:
    counts = np.array([[900.0, 100, 0], [1, 9, 0], [1, 9, 0], [0, 0, 5]])
    cells = AnnData(counts)
    cells.var_names = ["A", "B", "C"]
    assert cluster_sentences(ExpressionReader(cells), np.array([0, 0, 0, 1]), 2).texts() == ["B A", "C"]
    assert pp.cell_sentences(cells).iloc[0] == "A B"
