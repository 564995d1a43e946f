"""Open `.h5ad` files, and say plainly what is wrong with those that cannot be opened; write them whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anndata import AnnData

_PARTIAL_SUFFIX = ".partial.h5ad"


def read_cells(path: Path, *, backed: bool = False) -> "AnnData":
    """The cells of an .h5ad file.

    Parameters
    ----------
    path
        The file; its name ends in `.h5ad`.
    backed
        Leave expression on disk.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is no AnnData file, or a damaged one.
    """
    import anndata

    check_suffix(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected an .h5ad file at {path}; found none. Check the path.")
    try:
        return anndata.read_h5ad(path, backed="r" if backed else None)
    # What h5py and anndata raise for other files, truncated files, and HDF5 files that are no AnnData.
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected an AnnData file at {path}; found one that cannot be read ({error}). "
            "Copy or write it again; it may be incomplete or of another format."
        ) from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file to write that becomes `path` if all goes well, and else is removed; `path` is never half-written."""
    _remove_left_behind(path)
    partial = path.with_name(f"{_partial_prefix(path)}{os.getpid()}{_PARTIAL_SUFFIX}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_suffix(path: Path, suffix: str = ".h5ad") -> None:
    """Raise `ValueError` for a file name that does not end in `suffix`."""
    if path.suffix != suffix:
        raise ValueError(f"Expected a file name that ends in {suffix}; found {path.name!r}. Choose another name.")


def _partial_prefix(path: Path) -> str:
    return f".{path.stem}."


def _remove_left_behind(path: Path) -> None:
    """Remove what is left of processes that were killed while they wrote `path`."""
    for partial in path.parent.glob(f".*{_PARTIAL_SUFFIX}"):
        process = partial.name.removeprefix(_partial_prefix(path)).removesuffix(_PARTIAL_SUFFIX)
        if process.isdigit() and not _is_running(int(process)):
            partial.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 sends nothing; it only asks
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True
