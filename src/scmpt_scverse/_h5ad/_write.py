"""Write cells whole or not at all, and see beforehand whether they can be written."""

import hashlib
import io
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scmpt_scverse._checks import is_of_machine
from scmpt_scverse._h5ad._read import reason

if TYPE_CHECKING:
    import h5py
    import pandas as pd
    from anndata import AnnData
    from scipy import sparse

_PARTIAL_SUFFIX = ".partial.h5ad"
#: Of a block that is written after a failure: what HDF5 notes of its own is smaller.
_MOST_KEPT_BYTES = 1 << 20
#: Values of a matrix that are compressed together, and so read together: those of some hundred cells.
_CHUNK = 1 << 18
_TABLES = frozenset({"obs", "var", "raw.var"})
_SLOTS = ("obsm", "varm", "layers", "obsp", "varp")


def check_storable(adata: "AnnData") -> None:
    """Raise `ValueError` for cells that anndata cannot write, such as a table with a column called `_index`.

    All of it but the rows of numbers is written to memory; a table of 100,000 cells takes a fraction of a second.
    """
    import h5py
    from anndata.io import write_elem

    parts: dict[str, Any] = {"obs": adata.obs, "var": adata.var, "uns": dict(adata.uns), "X": _first_rows(adata.X)}
    for slot in _SLOTS:
        arrays = {key: values for key, values in getattr(adata, slot).items() if key is not None}
        parts |= {f"{slot}/{key}": _first_rows(values) for key, values in arrays.items()}
    if adata.raw is not None:
        parts |= {"raw.var": adata.raw.var, "raw.X": _first_rows(adata.raw.X)}
        parts |= {f"raw.varm/{key}": _first_rows(values) for key, values in adata.raw.varm.items()}
    with h5py.File("trial.h5ad", "w", driver="core", backing_store=False) as trial:
        for number, (name, part) in enumerate(parts.items()):
            if part is None:  # no expression
                continue
            slot, _, key = name.partition("/")
            group = trial.create_group(str(number))
            try:
                write_elem(group, key or slot, _as_written(adata, part) if slot in _TABLES else part)
            # Whatever anndata, h5py, numpy and pandas raise for a value that has no form in the file.
            except Exception as error:
                if is_of_machine(error):
                    raise
                where = f"adata.{slot}[{key!r}]" if key else f"adata.{slot}"
                raise ValueError(
                    f"Expected cells that can be written to a file; `{where}` cannot be "
                    f"({reason(error)}). Rename or remove it in Python, and write the file again."
                ) from error


def _first_rows(values: Any) -> Any:
    """What is tried of an array or table: the first row where all are numbers, else all rows, for any may fail."""
    dtypes = values.dtypes if hasattr(values, "dtypes") else [getattr(values, "dtype", None)]
    are_numbers = all(getattr(dtype, "kind", None) in {*"biufc"} for dtype in dtypes)
    return values[:1] if are_numbers else values


def _as_written(adata: "AnnData", table: "pd.DataFrame") -> "pd.DataFrame":
    """A copy of a table with its texts as categories, as :func:`write_cells` stores them."""
    table = table.copy(deep=False)
    adata.strings_to_categoricals(table)
    return table


def write_cells(adata: "AnnData", path: Path) -> None:
    """Write what `adata.write_h5ad` does, and raise `OSError` where the disk is full: HDF5 itself crashes on that."""
    from anndata.io import write_elem

    adata.strings_to_categoricals()
    if adata.raw is not None:
        adata.strings_to_categoricals(adata.raw.var)
    with _new_file(path) as (file, _):
        write_elem(file, "/", adata)


def write_in_parts(adata: "AnnData", parts: "Iterable[sparse.csr_matrix]", path: Path) -> None:
    """Write cells whose expression comes in parts, of which one at a time is in memory.

    Parameters
    ----------
    adata
        The cells without `.X`, which becomes a compressed CSR matrix.
    parts
        Canonical float32 rows of all cells, in order.
    path
        File to write.

    Raises
    ------
    OSError
        The disk is full; no further part is asked for.
    """
    import numpy as np
    from anndata.io import write_elem

    adata.strings_to_categoricals()
    with _new_file(path) as (file, sink):
        write_elem(file, "/", adata)
        if "X" in file:  # some versions of anndata note that there is none
            del file["X"]
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": adata.shape})
        arrays = {
            name: group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(_CHUNK,), compression="lzf")
            for name, dtype in (("data", "float32"), ("indices", "int32"))
        }
        ends = [np.zeros(1, dtype=np.int64)]  # more values than a 32-bit number counts are nothing special
        for part in parts:
            n_before = int(ends[-1][-1])
            for name, array in arrays.items():
                array.resize((n_before + part.nnz,))
                array[n_before:] = getattr(part, name)
            ends.append(n_before + part.indptr[1:].astype(np.int64))
            if sink.failure is not None:
                return
        group.create_dataset("indptr", data=np.concatenate(ends))


@contextmanager
def _new_file(path: Path) -> "Iterator[tuple[h5py.File, _Sink]]":
    """An HDF5 file to fill, and what it is written through; raises `OSError` at the end where the disk was full."""
    import h5py

    with _Sink(path) as sink:
        with h5py.File(sink, "w") as file:
            try:
                yield file, sink
            except Exception:
                if sink.failure is None:
                    raise
        if sink.failure is not None:
            raise sink.failure


class SavedElsewhere(OSError):
    """A result could not be written where it was asked for, and is somewhere else."""

    def __init__(self, asked: Path, found: Path, error: Exception) -> None:
        super().__init__(
            f"Expected to write {asked}; found that it cannot be written ({reason(error)}). The result is saved as "
            f"{found.absolute()} instead: move it where you need it."
        )


def free_name(path: Path, folder: Path) -> Path:
    """A name like that of `path` that nothing in `folder` has."""
    names = (folder / f"{path.stem}-{number}{path.suffix}" for number in count(1))
    return next(name for name in names if not os.path.lexists(name))


class _Sink(io.FileIO):
    """A file that notes the first failure and hides it, so that HDF5 never sees one.

    What is written after it stays in memory for HDF5 to read again, but for the large blocks, which it does not read.
    """

    failure: OSError | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._end = 0
        self._kept: list[tuple[int, bytes]] = []

    def write(self, data: Any) -> int:
        """Write all of `data`, or keep it."""
        view, start, done = memoryview(data).cast("B"), self.tell(), 0
        try:
            while self.failure is None and done < len(view):
                done += super().write(view[done:])
        except OSError as error:
            self.failure = error
        if self.failure is not None and len(view) <= _MOST_KEPT_BYTES:
            self._kept.append((start, bytes(view)))
        super().seek(start + len(view))
        self._end = max(self._end, start + len(view))
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Read what was written, on the disk or in memory."""
        start, view = self.tell(), memoryview(buffer).cast("B")
        n_read = super().readinto(view) or 0
        view[n_read:] = bytes(len(view) - n_read)
        for place, content in self._kept:
            first, last = max(start, place), min(start + len(view), place + len(content))
            if first < last:
                view[first - start : last - start] = content[first - place : last - place]
        super().seek(start + len(view))
        return len(view)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; the end is where HDF5 believes it to be."""
        return super().seek(self._end + offset if whence == os.SEEK_END else offset, 0 if whence == 2 else whence)

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file."""
        self._end = self.tell() if size is None else size
        try:
            super().truncate(self._end)
        except OSError as error:
            self.failure = self.failure or error
        return self._end


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file to write that becomes `path` if all goes well, and else is removed; `path` is never half-written.

    Where `path` is a link, the file that it leads to is written.

    Raises
    ------
    SavedElsewhere
        The file was written, but cannot take the place of `path`.
    """
    path = Path(os.path.realpath(path))
    _remove_left_behind(path)
    partial = path.with_name(f"{_partial_prefix(path)}{os.getpid()}{_PARTIAL_SUFFIX}")
    try:
        yield partial
        try:
            os.replace(partial, path)
        except OSError as error:  # it has become a folder, or somebody else's
            other = free_name(path, path.parent)
            os.replace(partial, other)
            raise SavedElsewhere(path, other, error) from error
    finally:
        partial.unlink(missing_ok=True)


def _partial_prefix(path: Path) -> str:
    # Not the name itself, which may be as long as the file system allows.
    return f".{_digest(os.fsencode(path.name))}.{_digest(_machine().encode())}."


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _machine() -> str:
    """Where a process number means the same process: others that share the folder have other processes."""
    namespace = ""
    with suppress(OSError):  # Linux only; containers may share the name of their host
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{platform.node()} {namespace}"


def _remove_left_behind(path: Path) -> None:
    """Remove what is left of processes of this machine that were killed while they wrote `path`."""
    for partial in path.parent.glob(f"{_partial_prefix(path)}*{_PARTIAL_SUFFIX}"):
        process = partial.name.removeprefix(_partial_prefix(path)).removesuffix(_PARTIAL_SUFFIX)
        if process.isdecimal() and not _is_running(int(process)):
            partial.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether a process of this machine is running, or may be."""
    if os.name == "nt":
        return True  # Windows has no way to ask: its `os.kill` ends the process
    try:
        os.kill(process, 0)  # signal 0 sends nothing; it only asks
    except (ProcessLookupError, OverflowError):  # the second for a number that no process has
        return False
    except PermissionError:
        return True  # somebody else's
    return True
