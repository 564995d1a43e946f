"""Matrices of any dtype and format: read where they hold numbers, refused in one sentence where they do not."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scmpt_scverse.modalities import ExpressionSource, cell_keys
from scmpt_scverse.pp import ExpressionReader, row_sliceable

VALUES = np.array([[0, 3, 1], [2, 0, 7], [0, 0, 0]])
LAYER = "values"


def cells(matrix: Any, *, layer: bool = False) -> AnnData:
    var = pd.DataFrame(index=["A", "B", "C"])
    return AnnData(np.zeros((3, 3)), var=var, layers={LAYER: matrix}) if layer else AnnData(matrix, var=var)


def sparse_of(dtype: Any, kind: str = "csr") -> Any:
    matrix = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "csr_array": sparse.csr_array}[kind](VALUES)
    matrix.data = matrix.data.astype(dtype)
    return matrix


def dask_of(matrix: Any) -> Any:
    return pytest.importorskip("dask.array").from_array(matrix, chunks=(1, 3))


READABLE = {
    **{dtype: VALUES.astype(dtype) for dtype in (">f4", ">f8", ">i2", "<u2", "f2", "f4", "f8", "u1", "i8")},
    "long double": VALUES.astype(np.longdouble),
    "nothing masked": np.ma.masked_equal(VALUES, 9),
    "column order": np.asfortranarray(VALUES),
    "data frame": pd.DataFrame(VALUES, index=["0", "1", "2"], columns=["A", "B", "C"]),
    **{
        f"{kind} {dtype}": sparse_of(dtype, kind)
        for kind in ("csr", "csc", "csr_array")
        for dtype in (">f4", "f2", "i4")
    },
}


@pytest.mark.parametrize("layer", [False, True])
@pytest.mark.parametrize("kind", READABLE)
def test_numbers_of_any_dtype_are_read(kind: str, layer: bool) -> None:
    adata = cells(READABLE[kind], layer=layer)
    reader = ExpressionReader(adata, layer=LAYER if layer else None)
    for read, rows in (
        (reader.rows(0, 3), [0, 1, 2]),
        (reader.rows(1, 3), [1, 2]),
        (reader.take(np.array([0, 2])), [0, 2]),
    ):
        np.testing.assert_array_equal(read.matrix.toarray(), VALUES[rows])
        assert read.matrix.dtype.isnative


@pytest.mark.parametrize("form", [np.array, sparse.csr_matrix, sparse.csc_matrix, dask_of])
def test_truth_values_are_ones_that_add_up(form: Any) -> None:
    adata = cells(form(VALUES > 0))
    assert ExpressionReader(adata).rows(0, 3).matrix.sum(axis=1).ravel().tolist() == [[2, 2, 0]]
    adata.var["symbol"] = ["A", "B", "B"]
    merged = ExpressionReader(adata, gene_symbols="symbol").rows(0, 3).matrix
    assert merged.toarray().tolist() == [[0, 2], [1, 1], [0, 0]]


def test_lazy_arrays_are_read_and_checked() -> None:
    for matrix in (VALUES.astype(">f4"), VALUES.astype("f2")):
        np.testing.assert_array_equal(ExpressionReader(cells(dask_of(matrix))).rows(0, 3).matrix.toarray(), VALUES)
    with pytest.raises(ValueError, match="Expected real numbers in `adata.X`; found values of dtype object"):
        ExpressionReader(cells(dask_of(VALUES.astype(object))))
    # An array that does not know what its blocks hold.
    untrue = dask_of(VALUES.astype("f4")).map_blocks(lambda block: block.astype(object), dtype="f4")
    with pytest.raises(ValueError, match="found values of dtype object such as '0.0', '3.0', '1.0'"):
        ExpressionReader(cells(untrue)).rows(0, 1)


UNREADABLE = {
    "object": VALUES.astype(object),
    "text": VALUES.astype(str),
    "bytes": VALUES.astype("S"),
    "complex": VALUES.astype(complex),
    "times": VALUES.astype("m8[s]"),
    "dates": VALUES.astype("M8[s]"),
    "sparse object": sparse_of(object),
    "sparse complex": sparse_of(complex, "csc"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_anything_else_is_refused_with_its_slot(kind: str) -> None:
    matrix = UNREADABLE[kind]
    with pytest.raises(
        ValueError, match=rf"real numbers in `adata.X`; found values of dtype \{matrix.dtype.str[0]}?\w+"
    ):
        ExpressionReader(cells(matrix))
    with pytest.raises(
        ValueError, match=r"numbers in `adata.layers\['values'\]`.*layers\['values'\].astype\('float32'\)"
    ):
        ExpressionReader(cells(matrix, layer=True), layer=LAYER)


def test_masked_values_are_no_zeros() -> None:
    adata = cells(np.ma.masked_greater(VALUES, 2))
    with pytest.raises(ValueError, match=r"every gene in `adata.X`; found 2 masked values. Fill them, as in"):
        ExpressionReader(adata).rows(0, 3)


@pytest.mark.parametrize("kind", ["coo", "lil", "dok", "bsr"])
def test_formats_without_rows_are_converted(kind: str) -> None:
    adata = cells(VALUES)
    adata._X = sparse.coo_matrix(VALUES).asformat(kind)  # which anndata's own setters refuse
    np.testing.assert_array_equal(ExpressionReader(adata).rows(1, 3).matrix.toarray(), VALUES[1:])


def test_no_matrix_is_said_with_what_raw_holds() -> None:
    adata = cells(VALUES)
    adata.raw = adata
    adata.X = None
    with pytest.raises(ValueError, match="Expected expression in `adata.X`; found nothing.*`adata.raw` holds data"):
        ExpressionReader(adata)


def test_no_matrix_at_all() -> None:
    with pytest.raises(TypeError, match="a sparse matrix or a dask array of cells by genes in `adata.X`; found list"):
        row_sliceable(VALUES.tolist(), "adata.X", "")


@pytest.mark.parametrize("matrix", [VALUES.astype(">f4"), VALUES > 0, sparse_of("f4", "csc"), sparse_of("f4")])
def test_files_on_disk(tmp_path: Path, matrix: Any) -> None:
    cells(matrix).write_h5ad(tmp_path / "cells.h5ad")
    adata = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    reader = ExpressionReader(adata)
    expected = matrix.toarray() if sparse.issparse(matrix) else matrix
    np.testing.assert_array_equal(reader.rows(0, 2).matrix.toarray(), expected[:2])
    np.testing.assert_array_equal(reader.take(np.array([0, 1])).matrix.toarray(), expected[:2])
    adata.file.close()


def test_text_in_a_file_on_disk_is_refused(tmp_path: Path) -> None:
    cells(VALUES.astype("f4")).write_h5ad(tmp_path / "cells.h5ad")
    import h5py

    with h5py.File(tmp_path / "cells.h5ad", "r+") as file:
        del file["X"]
        file["X"] = VALUES.astype("S")
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    adata = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"real numbers in `adata.X`; found values of dtype \|S"):
        ExpressionReader(adata)
    adata.file.close()


class OnGPU:
    """What cupy and cupyx have of a matrix on a GPU, which becomes no numpy array unless `get` is called."""

    def __init__(self, held: Any, copied: list[tuple[int, int]]) -> None:
        self._held, self._copied = held, copied
        self.shape, self.dtype = held.shape, held.dtype
        if sparse.issparse(held):
            self.format = held.format

    def __getitem__(self, rows: Any) -> "OnGPU":
        return type(self)(self._held[rows], self._copied)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def tocsr(self) -> "OnGPU":
        return type(self)(self._held.tocsr(), self._copied)

    def get(self) -> Any:
        self._copied.append(self.shape)
        return self._held


OnGPU.__module__ = "cupyx.scipy.sparse"


@pytest.mark.parametrize("form", [np.array, sparse.csr_matrix, sparse.csc_matrix])
def test_a_matrix_on_a_gpu_is_copied_block_by_block(form: Any) -> None:
    adata, copied = _cells_on_gpu(form)
    reader = ExpressionReader(adata)
    found = [chunk.matrix.toarray() for chunk in reader.chunks(size=2)]
    np.testing.assert_array_equal(np.concatenate(found), VALUES)
    assert copied == [(2, 3), (3, 3), (1, 3)]  # in the middle, a sample, which tells the scale
    np.testing.assert_array_equal(reader.take(np.array([0, 2])).matrix.toarray(), VALUES[[0, 2]])


def test_cells_on_a_gpu_are_known_again() -> None:
    source = ExpressionSource(None, None, np.array(["A", "B", "C"], dtype=object))
    for form in (np.array, sparse.csr_matrix):
        np.testing.assert_array_equal(cell_keys(_cells_on_gpu(form)[0], source), cell_keys(cells(VALUES), source))


def _cells_on_gpu(form: Any) -> tuple[AnnData, list[tuple[int, int]]]:
    copied: list[tuple[int, int]] = []
    adata = cells(VALUES)
    held = OnGPU(form(VALUES.astype("f4")), copied)  # anndata takes it by its type where cupy is installed
    if hasattr(adata, "_X"):
        adata._X = held
    else:  # from anndata 0.13 on
        adata._layers[None] = held
    return adata, copied


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["array", "csr", "csc"])
def test_cupy_is_read(kind: str) -> None:
    cupy = pytest.importorskip("cupy")
    of_cupy = pytest.importorskip("cupyx.scipy.sparse")
    make = {"array": cupy.array, "csr": of_cupy.csr_matrix, "csc": of_cupy.csc_matrix}[kind]
    adata = cells(make(cupy.array(VALUES.astype("f4"))))
    reader = ExpressionReader(adata)
    np.testing.assert_array_equal(reader.rows(0, 3).matrix.toarray(), VALUES)
    np.testing.assert_array_equal(reader.take(np.array([0, 2])).matrix.toarray(), VALUES[[0, 2]])


def test_a_file_by_rows_stays_on_disk_and_one_by_columns_does_not(tmp_path: Path) -> None:
    values = np.array([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]], dtype=np.float32)
    for make, stays in ((sparse.csr_matrix, True), (sparse.csc_matrix, False)):
        file = tmp_path / f"{stays}.h5ad"
        AnnData(make(values)).write_h5ad(file)
        stored = anndata.read_h5ad(file, backed="r").X
        found = row_sliceable(stored, "adata.X")
        assert (found is stored) is stays
        np.testing.assert_array_equal(found[:2].toarray(), values)
