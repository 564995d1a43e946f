"""Turn matrices as AnnData holds them (in memory, on disk, lazy) into blocks of rows that scipy can use."""

from typing import Any

import numpy as np
from scipy import sparse

from scmpt_scverse._checks import list_some

#: Kinds of numpy dtypes for real numbers.
_NUMBERS = "buif"
#: Libraries with arrays and sparse matrices on a GPU, as in rapids-singlecell; these are never copied implicitly.
_GPU_LIBRARIES = frozenset({"cupy", "cupyx"})


def row_sliceable(matrix: Any, where: str, hint: str = "") -> Any:
    """`matrix`, or its CSR form if slicing rows would be slow (CSC, in memory or on disk) or impossible.

    Parameters
    ----------
    matrix
        `.X` or a layer of an AnnData.
    where
        Its slot, for messages.
    hint
        Added to the error if there is no matrix.

    Raises
    ------
    TypeError
        It is not a matrix.
    ValueError
        There is no matrix, or it does not hold real numbers.
    """
    if matrix is None:
        raise ValueError(
            f"Expected expression in `{where}`; found nothing. Pass `layer=` with expression values.{hint}"
        )
    if not hasattr(matrix, "dtype") or len(getattr(matrix, "shape", ())) != 2:
        raise TypeError(
            f"Expected a numpy array, a sparse matrix or a dask array of cells by genes in `{where}`; found "
            f"{type(matrix).__name__}. Convert it first."
        )
    _check_numbers(matrix, where)
    if is_backed_sparse(matrix):
        return matrix.to_memory().tocsr() if matrix.format == "csc" else matrix
    if not sparse.issparse(matrix):
        # Sparse matrices on a GPU stay there: blocks are copied one at a time.
        return matrix.tocsr() if hasattr(matrix, "format") else matrix
    if matrix.format in {"csr", "csc"} and matrix.dtype != _native_dtype(matrix.dtype):
        parts = (matrix.data.astype(_native_dtype(matrix.dtype)), matrix.indices, matrix.indptr)
        matrix = (sparse.csr_matrix if matrix.format == "csr" else sparse.csc_matrix)(parts, shape=matrix.shape)
    return matrix.tocsr()  # the same matrix where it is CSR


def csr_block(block: Any, where: str) -> sparse.csr_matrix:
    """Some rows as CSR in a dtype that scipy supports; `ValueError` for masked values or a dask array of no numbers."""
    if hasattr(block, "compute"):  # dask
        block = block.compute()
        _check_numbers(block, where)  # the dtype that a dask array declares can be wrong
    if type(block).__module__.split(".")[0] in _GPU_LIBRARIES:
        block = block.get()
    if isinstance(block, np.ma.MaskedArray):
        if np.any(block.mask):
            raise ValueError(
                f"Expected expression of every gene in `{where}`; found {np.sum(block.mask)} masked values. Fill them, "
                f"as in `{where} = {where}.filled(0)`."
            )
        block = block.data
    if not sparse.issparse(block):
        block = np.asarray(block)
        block = block.astype(_native_dtype(block.dtype), copy=False)
    return sparse.csr_matrix(block)


def is_backed_sparse(matrix: Any) -> bool:
    """Whether `matrix` is a sparse matrix on disk, as anndata opens it."""
    return hasattr(matrix, "format") and hasattr(matrix, "to_memory")


def _native_dtype(dtype: "np.dtype[Any]") -> "np.dtype[Any]":
    """The dtype to compute in: scipy lacks float16, booleans do not add up, and the byte order may differ."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize not in {4, 8}:
        return np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return dtype.newbyteorder("=")


def _check_numbers(matrix: Any, where: str) -> None:
    dtype = np.dtype(matrix.dtype)
    if dtype.kind in _NUMBERS:
        return
    examples = ""
    if isinstance(matrix, np.ndarray) and matrix.size:
        examples = f" such as {list_some(matrix.ravel()[:3])}"
    raise ValueError(
        f"Expected real numbers in `{where}`; found values of dtype {dtype}{examples}. Convert them, as in "
        f"`{where} = {where}.astype('float32')`."
    )
