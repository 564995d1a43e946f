"""Cell sentences: the definition, every matrix format, and what must not change them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from scmpt_scverse import pp
from scmpt_scverse._types import FloatArray
from scmpt_scverse.pp._cell_sentence import CellSentences, rank_genes

GENES = ["CD3D", "MS4A1", "NKG7", "LYZ", "ENSA"]


def cells(values: npt.ArrayLike) -> AnnData:
    matrix = np.asarray(values, dtype=np.float32)
    names = [f"cell{i}" for i in range(len(matrix))]
    return AnnData(matrix, pd.DataFrame(index=names), pd.DataFrame(index=GENES[: matrix.shape[1]]))


def written_out(values: FloatArray) -> list[str]:
    """The definition, gene by gene: expressed genes by falling expression, ties by column."""
    return [
        " ".join(GENES[j] for j in sorted(range(len(row)), key=lambda j: (-row[j], j)) if row[j] > 0) for row in values
    ]


def test_some_sentences_in_any_order() -> None:
    values = np.array([[1, 0, 5, 1, 0], [0, 0, 0, 0, 0], [2, 2, 2, 2, 2], [0, 3, 0, 0, 4]], dtype=np.float32)
    sentences = CellSentences(*rank_genes(sparse.csr_matrix(values)), np.array(GENES, dtype=object))
    every = sentences.texts()
    for rows in ([3, 0], [2, 1, 2], [1], []):
        taken = sentences.take(np.array(rows, dtype=np.int64))
        assert taken.texts() == [every[row] for row in rows]


def test_order_ties_and_zeros() -> None:
    adata = cells([[1, 0, 5, 1, 0], [0, 0, 0, 0, 0], [2, 2, 2, 2, 2]])
    sentences = pp.cell_sentences(adata)
    assert sentences.tolist() == ["NKG7 CD3D LYZ", "", "CD3D MS4A1 NKG7 LYZ ENSA"]
    assert sentences.index.equals(adata.obs_names)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (6, 5), elements=st.sampled_from([0, 0, 1, 1, 2, 3.5, 1e6])), st.integers(1, 6))
def test_agrees_with_the_definition(values: FloatArray, max_genes: int) -> None:
    expected = written_out(values)
    assert pp.cell_sentences(cells(values)).tolist() == expected
    cut = [" ".join(sentence.split()[:max_genes]) for sentence in expected]
    assert pp.cell_sentences(cells(values), max_genes=max_genes).tolist() == cut


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(5)), st.permutations(range(4)))
def test_permutations(gene_order: list[int], cell_order: list[int]) -> None:
    values = np.array([[1, 2, 3, 4, 0], [9, 0, 7, 6, 5], [0, 1, 0, 3, 2], [5, 4, 3, 2, 1]])  # no ties
    adata = cells(values)
    sentences = pp.cell_sentences(adata)
    assert pp.cell_sentences(adata[:, gene_order]).tolist() == sentences.tolist()
    assert pp.cell_sentences(adata[cell_order]).tolist() == sentences.iloc[cell_order].tolist()


@pytest.mark.parametrize(
    "convert",
    [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.csc_array, np.asfortranarray, np.asarray],
    ids=lambda convert: convert.__name__,
)
def test_formats_agree(pbmc: AnnData, convert: Callable[..., Any]) -> None:
    dense = pbmc.X.toarray()
    adata = AnnData(convert(dense), pbmc.obs, pbmc.var)
    assert pp.cell_sentences(adata, max_genes=20).tolist() == written_out_top(dense, pbmc.var_names, 20)


def written_out_top(values: FloatArray, genes: Sequence[str], max_genes: int) -> list[str]:
    return [" ".join(genes[j] for j in np.argsort(-row, kind="stable")[:max_genes] if row[j] > 0) for row in values]


@pytest.mark.parametrize("as_format", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_backed_file_and_views(pbmc: AnnData, tmp_path: Path, as_format: Callable[..., Any]) -> None:
    expected = pp.cell_sentences(pbmc)
    pbmc.X = as_format(pbmc.X.toarray())
    pbmc.write_h5ad(tmp_path / "cells.h5ad")
    backed = read_h5ad(tmp_path / "cells.h5ad", backed="r")
    assert pp.cell_sentences(backed).tolist() == expected.tolist()
    rows = [5, 2, 9, 0]
    assert pp.cell_sentences(pbmc[rows]).tolist() == expected.iloc[rows].tolist()
    assert pp.cell_sentences(backed[[0, 2, 5]]).tolist() == expected.iloc[[0, 2, 5]].tolist()
    backed.file.close()


def test_dask(pbmc: AnnData) -> None:
    da = pytest.importorskip("dask.array")
    expected = pp.cell_sentences(pbmc)
    chunked = da.from_array(pbmc.X.toarray(), chunks=(90, -1))
    for lazy in (chunked, chunked.map_blocks(sparse.csr_matrix)):
        pbmc.X = lazy
        assert pp.cell_sentences(pbmc).tolist() == expected.tolist()


def test_explicit_zeros_and_unsorted_columns() -> None:
    matrix = sparse.csr_matrix((np.array([1.0, 0.0, 3.0]), np.array([2, 1, 0]), np.array([0, 3])), shape=(1, 3))
    assert pp.cell_sentences(AnnData(matrix, var=pd.DataFrame(index=GENES[:3]))).tolist() == ["CD3D NKG7"]


def test_unsigned_counts_do_not_wrap_around() -> None:
    matrix = sparse.csr_matrix(np.array([[1, 0, 200, 7]], dtype=np.uint8))
    assert pp.cell_sentences(AnnData(matrix, var=pd.DataFrame(index=GENES[:4]))).tolist() == ["NKG7 LYZ CD3D"]


def test_dense_float16() -> None:
    adata = cells([[1, 0, 5]])
    adata.X = adata.X.astype(np.float16)
    assert pp.cell_sentences(adata).tolist() == ["NKG7 CD3D"]


def test_normalisation_does_not_change_sentences() -> None:
    counts = np.random.default_rng(0).poisson(2, size=(20, 5))
    normalised = np.log1p(counts / np.maximum(counts.sum(1, keepdims=True), 1) * 1e4)
    assert pp.cell_sentences(cells(counts)).tolist() == pp.cell_sentences(cells(normalised)).tolist()


def test_layer_and_symbol_column(pbmc: AnnData) -> None:
    pbmc.layers["log"] = pbmc.X * 2
    pbmc.var["symbol"] = pbmc.var_names.to_numpy()
    expected = pp.cell_sentences(pbmc).tolist()
    pbmc.var_names = [f"ENSG{i:011d}" for i in range(pbmc.n_vars)]
    pbmc.X = None
    assert pp.cell_sentences(pbmc, layer="log", gene_symbols="symbol").tolist() == expected


def test_input_is_left_alone(pbmc: AnnData) -> None:
    before = pbmc.copy()
    pp.cell_sentences(pbmc)
    assert pbmc.obs.equals(before.obs)
    assert list(pbmc.uns) == list(before.uns)
    assert np.array_equal(pbmc.X.data, before.X.data)


def test_rank_genes_keeps_the_first_of_each_row() -> None:
    indptr, ranked = rank_genes(sparse.csr_matrix(np.array([[0, 3, 1], [0, 0, 0], [1, 1, 2]])), max_genes=2)
    assert indptr.tolist() == [0, 2, 2, 4]
    assert ranked.tolist() == [1, 2, 2, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.X.__setitem__((0, 0), np.nan), "NaN or infinite"),
        (lambda a: a.X.__setitem__((0, 0), -1), "negative values such as -1"),
    ],
)
def test_bad_values(change: Callable[[AnnData], None], message: str) -> None:
    adata = cells([[1, 2, 3]])
    change(adata)
    with pytest.raises(ValueError, match=message):
        pp.cell_sentences(adata)


def test_bad_arguments() -> None:
    adata = cells([[1, 2, 3]])
    with pytest.raises(ValueError, match="`max_genes` must be a whole number of at least 1; found 0"):
        pp.cell_sentences(adata, max_genes=0)
    adata.layers["counts"] = adata.X
    with pytest.raises(KeyError, match="No 'count' in `adata.layers`; found 'counts'.*Did you mean 'counts'"):
        pp.cell_sentences(adata, layer="count")
    with pytest.raises(ValueError, match="at least one cell; found an AnnData with 0 observations"):
        pp.cell_sentences(adata[:0])
    adata.layers["counts"] = np.array([[0.5, 1.37, 2]])  # ranks need no whole numbers
    assert pp.cell_sentences(adata, layer="counts").tolist() == [" ".join(adata.var_names[::-1])]
    adata.X = None
    with pytest.raises(ValueError, match="Expected expression in `adata.X`; found nothing"):
        pp.cell_sentences(adata)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
def test_many_rows_of_any_type_are_ranked_with_ties_by_column(dtype: type) -> None:
    values: npt.NDArray[Any] = np.random.default_rng(0).poisson(1, (300, 40)).astype(dtype)
    if dtype is np.float64:
        values = values * np.pi + np.arange(40) % 2 * 1e-12  # which float32 cannot tell apart
        values[values < 1] = 0

    indptr, ranked = rank_genes(sparse.csr_matrix(values))

    for row, start, stop in zip(values, indptr[:-1], indptr[1:], strict=True):
        order = np.argsort(-row.astype(np.float64), kind="stable")
        assert ranked[start:stop].tolist() == order[row[order] > 0].tolist()
