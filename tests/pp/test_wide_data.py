"""Column numbers beyond 16 and 24 bits, and unsigned counts: nothing wraps around."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scmpt_scverse import pp
from scmpt_scverse.pp._cell_sentence import cluster_sentences, rank_genes
from scmpt_scverse.pp._expression import ExpressionReader
from scmpt_scverse.pp._gene_tokens import tokenize_genes
from scmpt_scverse.pp._normalisation import gene_weights_of

#: More than 16 bits can number, with pairs of expressed columns that are equal in their lowest 16 bits.
N_GENES = 66_000
COLUMNS = [2, 3, 65_535, 65_536, 65_538, 65_539]
VALUES = [[3, 5, 1, 4, 2, 6], [2, 2, 2, 2, 2, 2]]
SENTENCES = ["g65539 g3 g65536 g2 g65538 g65535", "g2 g3 g65535 g65536 g65538 g65539"]


def wide(values: npt.ArrayLike = VALUES, n_columns: int = N_GENES, columns: list[int] = COLUMNS) -> sparse.csr_matrix:
    values = np.asarray(values)
    rows = np.repeat(np.arange(len(values)), len(columns))
    return sparse.csr_matrix((values.ravel(), (rows, np.tile(columns, len(values)))), shape=(len(values), n_columns))


def wide_cells(matrix: sparse.csr_matrix) -> AnnData:
    return AnnData(matrix.astype(np.float32), var=pd.DataFrame(index=[f"g{i}" for i in range(matrix.shape[1])]))


@pytest.fixture(scope="module")
def cells() -> AnnData:
    return wide_cells(wide())


def test_sentences(cells: AnnData) -> None:
    assert pp.cell_sentences(cells).tolist() == SENTENCES


def test_sentences_over_merged_columns(cells: AnnData) -> None:
    symbols = cells.var_names.to_numpy(dtype=object).copy()
    symbols[0] = "g65539"  # takes the place of the first of its columns
    symbols[1] = ""
    cells = AnnData(cells.X, var=pd.DataFrame({"symbol": symbols}, index=cells.var_names))

    assert pp.cell_sentences(cells, gene_symbols="symbol").tolist() == [
        SENTENCES[0],
        "g65539 g2 g3 g65535 g65536 g65538",
    ]


def test_sentences_of_clusters(cells: AnnData) -> None:
    assert cluster_sentences(ExpressionReader(cells), np.array([0, 1]), 2).texts() == SENTENCES


def test_sentences_with_levels(cells: AnnData) -> None:
    chunk = ExpressionReader(cells).rows(0, 2)

    first = pp.sentences_in_form("binned", chunk, 3).texts()[0]

    assert first == "g65539 very high g3 high g65536 high"


def test_tokens() -> None:
    ids = np.arange(N_GENES) + 7

    tokens = tokenize_genes(wide(), ids, max_genes=4)

    assert tokens.gene_ids[:4].tolist() == [9, 10, 65_543, 65_546]  # the four highest of the first cell
    assert tokens.gene_ids.dtype == np.int64
    whole = tokenize_genes(wide(), ids)
    assert whole.gene_ids.tolist() == [column + 7 for column in COLUMNS] * 2
    narrow = tokenize_genes(wide()[:, COLUMNS], np.array(COLUMNS) + 7)
    assert whole.bins.tolist() == narrow.bins.tolist()


def test_weights(cells: AnnData) -> None:
    weights = gene_weights_of(ExpressionReader(cells).rows(0, 2), power=2.0)

    assert weights.matrix.indices.tolist() == COLUMNS * 2
    log = np.log1p(np.array(VALUES) * 1e4 / np.sum(VALUES, axis=1, keepdims=True)) ** 2
    np.testing.assert_allclose(weights.matrix.data.reshape(2, -1), log / log.sum(axis=1, keepdims=True), rtol=1e-5)
    assert weights.matrix.shape == (2, N_GENES)


def test_columns_beyond_24_bits() -> None:
    columns = [1, 2, 2**24 - 1, 2**24, 2**24 + 1, 2**24 + 2]  # the last three end in the same 24 bits as 0, 1, 2

    ranked = rank_genes(wide(n_columns=2**24 + 3, columns=columns))[1]

    assert ranked.reshape(2, -1).tolist() == [[columns[i] for i in (5, 1, 3, 0, 4, 2)], columns]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("n_columns", [N_GENES, 2**24 + 3], ids=["by number", "by sort"])
def test_unsigned_counts(dtype: Any, n_columns: int) -> None:
    top = np.iinfo(dtype).max if dtype != np.uint64 else 2**53
    values = np.array([[1, top, 7, top - 1, 200, 7]], dtype=dtype)

    indptr, ranked = rank_genes(wide(values, n_columns))

    assert indptr.tolist() == [0, 6]
    assert ranked.tolist() == [COLUMNS[i] for i in (1, 3, 4, 2, 5, 0)]


def test_zero_stays_last_where_unsigned_negation_would_put_it_first() -> None:
    # Positive unsigned values keep their order when negation wraps; a zero, as in data not yet canonical, does not.
    stored_zero = sparse.csr_matrix(
        (np.array([2**25 + 1, 0, 2**25], dtype=np.uint32), np.array([0, 1, 2]), np.array([0, 3])), shape=(1, 3)
    )

    assert rank_genes(stored_zero)[1].tolist() == [0, 2, 1]
