"""Whether an HDF5 file can be read without harm: no circles, no sizes that it cannot hold, sparse matrices that fit."""

from contextlib import suppress
from math import prod
from typing import Any

import h5py
import numpy as np
from scipy import sparse

#: What gzip compresses to one byte at most is 1,032; no file of cells comes near.
_MOST_COMPRESSION = 1100
#: Sizes below this are not questioned, however small the file is.
_HARMLESS_BYTES = 256_000_000
#: Nested deeper, or with more entries (one that is linked twice counts twice), no file of cells is.
_MOST_LEVELS, _MOST_ENTRIES = 64, 1_000_000
#: Encodings that anndata 0.12 writes; only for saying which element it is that cannot be read.
_ENCODINGS = frozenset(
    {
        "anndata",
        "array",
        "awkward-array",
        "bytes",
        "categorical",
        "csc_matrix",
        "csr_matrix",
        "dataframe",
        "dict",
        "null",
        "nullable-boolean",
        "nullable-integer",
        "nullable-string-array",
        "numeric-scalar",
        "raw",
        "rec-array",
        "string",
        "string-array",
    }
)


def check_structure(file: h5py.File) -> None:
    """Raise `ValueError` for a file that cannot be what it says.

    Only sizes and the row pointers of sparse matrices are read, so a file of any size takes no time.
    """
    encoding = str(file.attrs.get("encoding-type", "anndata"))  # anndata before 0.8 wrote none
    if encoding != "anndata":
        raise ValueError(f"its root is stored as {encoding!r}")
    n_bytes, n_entries = _Walk().measure(file, "", 0)
    n_stored = file.id.get_filesize()
    if n_bytes > max(_HARMLESS_BYTES, _MOST_COMPRESSION * n_stored):
        raise ValueError(f"it declares {n_bytes:.3g} bytes of data, which a file of {n_stored} bytes cannot hold")
    if n_entries > _MOST_ENTRIES:
        raise ValueError(f"it links to its parts in {n_entries:.3g} ways")


def n_raw_columns(file: h5py.File) -> int | None:
    """How many columns the matrix of `.raw` says to have, where there is one."""
    raw = file.get("raw/X")
    if raw is None:
        return None
    if isinstance(raw, h5py.Dataset):
        return int(raw.shape[1])
    return int(raw.attrs.get("shape", raw.attrs.get("h5sparse_shape"))[1])  # the second before anndata 0.7


def unknown_encoding(file: h5py.File) -> str | None:
    """Which element, if any, is stored in an encoding that this package does not know."""
    walk = _Walk()
    # Whatever else is wrong with the file is known already.
    with suppress(Exception):
        walk.measure(file, "", 0)
    return walk.unknown


def check_indices(matrix: Any, where: str) -> None:
    """Raise `ValueError` for a sparse matrix with column numbers out of range, on which scipy may crash."""
    if sparse.issparse(matrix) and matrix.format in {"csr", "csc"}:
        try:
            matrix.check_format(full_check=True)
        except ValueError as error:
            raise ValueError(f"{where} is no valid sparse matrix: {error}") from error


class _Walk:
    """Sizes of the parts of a file; each is opened once, however often it is linked."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[int, int]] = {}
        self._pending: set[tuple[int, int]] = set()
        self.unknown: str | None = None

    def measure(self, element: h5py.Group | h5py.Dataset, name: str, level: int) -> tuple[int, int]:
        """Bytes that an element takes in memory, and how many entries it has."""
        encoding = str(element.attrs.get("encoding-type", ""))
        if self.unknown is None and encoding and encoding not in _ENCODINGS:
            self.unknown = f"{name or '/'!r} is stored as {encoding!r}"
        if isinstance(element, h5py.Dataset):
            return _n_bytes(element, name), 1
        if not isinstance(element, h5py.Group):  # a named type holds no data
            return 0, 1
        info = h5py.h5o.get_info(element.id)
        address = (int(info.fileno), int(info.addr))
        if address in self._pending or level > _MOST_LEVELS:
            raise ValueError(f"{name!r} holds itself, or is nested more than {_MOST_LEVELS} levels deep")
        if address not in self._known:
            self._pending.add(address)
            _check_sparse(element, name)
            sizes = [self.measure(element[key], f"{name}/{key}".lstrip("/"), level + 1) for key in element]
            self._pending.discard(address)
            self._known[address] = (sum(each for each, _ in sizes), 1 + sum(each for _, each in sizes))
        return self._known[address]


def _n_bytes(dataset: h5py.Dataset, name: str) -> int:
    if dataset.external:
        raise ValueError(f"{name!r} takes its data from another file")
    if dataset.shape is None:  # an empty value
        return 0
    item = dataset.dtype.itemsize
    return item * max(prod(map(int, dataset.shape)), prod(map(int, dataset.chunks or ())))


def _check_sparse(group: h5py.Group, name: str) -> None:
    """Raise `ValueError` unless the parts of a sparse matrix agree with its shape."""
    # The second name is that of anndata before 0.7.
    encoding = str(group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", "")))
    if encoding[:3] not in {"csr", "csc"}:
        return
    shape = np.asarray(group.attrs.get("shape", group.attrs.get("h5sparse_shape")))
    data, indices, indptr = (group.get(part) for part in ("data", "indices", "indptr"))
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or shape.min() < 0:
        raise ValueError(f"{name!r} is a sparse matrix of shape {shape.tolist()}")
    parts = {"data": data, "indices": indices, "indptr": indptr}
    for part, values in parts.items():
        if not isinstance(values, h5py.Dataset) or values.ndim != 1 or values.dtype.kind not in "iufb":
            raise ValueError(f"{name!r} is a sparse matrix without numbers in {part!r}")
        if part != "data" and values.dtype.kind not in "iu":
            raise ValueError(f"{name!r} is a sparse matrix with {values.dtype} in {part!r}")
    if len(data) != len(indices) or len(indptr) != int(shape[int(encoding[:3] == "csc")]) + 1:
        raise ValueError(
            f"{name!r} is a sparse matrix of shape {shape.tolist()} with {len(data)} values, {len(indices)} indices "
            f"and {len(indptr)} pointers"
        )
    pointers = indptr[:]
    if pointers[0] != 0 or pointers[-1] != len(data) or np.any(pointers[1:] < pointers[:-1]):
        raise ValueError(f"{name!r} is a sparse matrix whose pointers do not ascend from 0 to {len(data)}")
