"""Reading expression: canonical whatever is stored, nothing of the data changed, and checks of what it claims to be."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scmpt_scverse.pp import ExpressionReader

VALUES = np.array([[0, 3, 1, 0], [2, 0, 0, 7], [0, 0, 0, 0], [4, 4, 1, 1], [0, 9, 0, 0]], dtype=np.float32)
GENES = ["A", "B", "C", "D"]


def adata_of(matrix: Any, **columns: list[str]) -> AnnData:
    return AnnData(matrix, var=pd.DataFrame(columns, index=GENES))


def untidy() -> sparse.csr_matrix:
    """The values with stored zeros, columns out of order, and one value in two parts."""
    data = np.array([1, 2, 1, 0, 7, 2, 1, 1, 4, 4, 0, 9], dtype=np.float32)
    indices = np.array([2, 1, 1, 0, 3, 0, 3, 2, 1, 0, 0, 1])
    matrix = sparse.csr_matrix((data, indices, np.array([0, 4, 6, 6, 10, 12])), shape=(5, 4))
    np.testing.assert_array_equal(matrix.toarray(), VALUES)
    return matrix


def is_canonical(matrix: sparse.csr_matrix) -> bool:
    clean = sparse.csr_matrix(matrix.toarray())
    return np.array_equal(matrix.indices, clean.indices) and np.array_equal(matrix.data, clean.data)


@pytest.mark.parametrize("gene_symbols", [None, "symbol"])
def test_what_is_read_is_canonical_and_what_is_stored_stays(gene_symbols: str | None) -> None:
    stored = untidy()
    adata = adata_of(stored, symbol=["B", "", "A", "B"])
    before = [values.copy() for values in (adata.X.data, adata.X.indices, adata.X.indptr)]
    read = ExpressionReader(adata, gene_symbols=gene_symbols).rows(0, 5).matrix
    expected = VALUES if gene_symbols is None else np.stack([VALUES[:, 0] + VALUES[:, 3], VALUES[:, 2]], axis=1)
    np.testing.assert_array_equal(read.toarray(), expected)
    assert is_canonical(read)
    for now, then in zip((adata.X.data, adata.X.indices, adata.X.indptr), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("kind", ["csr", "csc", "dense", "float16", "int64", "uint8", "backed csr", "backed csc"])
def test_every_storage_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    matrix: Any = VALUES
    if kind.endswith(("csr", "csc")):
        matrix = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[kind[-3:]](VALUES)
    elif kind != "dense":
        matrix = VALUES.astype(kind)
    adata = adata_of(matrix)
    if kind.startswith("backed"):
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    reader = ExpressionReader(adata)
    np.testing.assert_array_equal(reader.rows(1, 4).matrix.toarray(), VALUES[1:4])
    np.testing.assert_array_equal(reader.take(np.array([0, 1, 3])).matrix.toarray(), VALUES[[0, 1, 3]])
    for size in (1, 2, 5, 9):
        chunks = [chunk.matrix.toarray() for chunk in reader.chunks(size)]
        assert [len(chunk) for chunk in chunks] == [min(size, 5 - start) for start in range(0, 5, size)]
        np.testing.assert_array_equal(np.concatenate(chunks), VALUES)
    if kind.startswith("backed"):
        adata.file.close()


def test_columns_are_counted_and_ordered_by_their_first_place() -> None:
    reader = ExpressionReader(adata_of(VALUES, symbol=["Y", "", "X", "Y"]), gene_symbols="symbol")
    assert reader.genes.tolist() == ["Y", "X"]
    assert (reader.n_without_symbol, reader.n_merged, reader.n_obs) == (1, 1, 5)


def test_negative_and_infinite_values_are_named() -> None:
    negative, missing = VALUES.copy(), VALUES.copy()
    negative[1, 0], missing[1, 0] = -1.5, np.nan
    adata = adata_of(negative)
    with pytest.raises(ValueError, match="negative values such as -1.5, as after scaling.*log-normalised data.$"):
        ExpressionReader(adata).rows(0, 5)
    ExpressionReader(adata).rows(2, 5)
    adata.raw = adata_of(VALUES)
    with pytest.raises(ValueError, match="`adata.raw` holds data: `adata.raw.to_adata\\(\\)` may be what you want"):
        ExpressionReader(adata).rows(0, 5)
    with pytest.raises(ValueError, match="finite expression in `adata.X`; found NaN or infinite values"):
        ExpressionReader(adata_of(missing)).rows(0, 5)


def test_no_matrix_and_no_cell_are_errors() -> None:
    with pytest.raises(ValueError, match="Expected expression in `adata.X`; found nothing"):
        ExpressionReader(AnnData(var=pd.DataFrame(index=GENES), obs=pd.DataFrame(index=["1"])))
    with pytest.raises(ValueError, match="at least one cell; found an AnnData with 0 observations"):
        ExpressionReader(adata_of(VALUES[:0]))


def test_a_reference_may_hold_names_twice_and_unknown_ones() -> None:
    reference = np.array(["C", "GONE", "C", "A"], dtype=object)
    reader = ExpressionReader(adata_of(VALUES), reference_genes=reference)
    assert reader.genes.tolist() == ["C", "A", "B", "D"]
    np.testing.assert_array_equal(reader.rows(0, 5).matrix.toarray(), VALUES[:, [2, 0, 1, 3]])
    assert is_canonical(reader.rows(0, 5).matrix)


def test_some_of_the_wanted_genes_must_be_there() -> None:
    cells = AnnData(np.ones((2, 3), dtype=np.float32))
    cells.var_names = ["CD3D", "MS4A1", "NKG7"]
    one = ExpressionReader(cells, only_genes=np.array(["NKG7", "LYZ"], dtype=object))
    assert list(one.genes) == ["NKG7"]
    with pytest.raises(
        ValueError, match="of the 1 genes that are read, such as 'LYZ'.*found none of them among 'CD3D', "
    ):
        ExpressionReader(cells, only_genes=np.array(["LYZ"], dtype=object))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_entries_of_one_place_are_one_value(dtype: type) -> None:
    """The scale is that of their sum: halves of counts are no fractions, and sums of 8 bits do not wrap around."""
    counts = np.random.default_rng(0).poisson(1, size=(30, 60)).clip(max=2) * (200 if dtype is np.uint8 else 1)
    whole = sparse.csr_matrix(counts.astype(np.float32))
    halves = (whole.data / 2).astype(dtype), (whole.data - (whole.data / 2).astype(dtype)).astype(dtype)
    data = np.stack(halves, axis=1).ravel()
    twice = sparse.csr_matrix((data, np.repeat(whole.indices, 2), whole.indptr * 2), shape=whole.shape)
    names = pd.DataFrame(index=[f"G{number}X" for number in range(60)])
    read = [ExpressionReader(AnnData(values, var=names)) for values in (whole, twice)]
    np.testing.assert_allclose(*(each.rows(0, 30).matrix.toarray() for each in read))
    assert twice.data.shape == data.shape  # the user's matrix stays as it is
