"""Read the cells of a file, or say in one sentence why that cannot be. What is heavy to import is imported inside."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scmpt_scverse._checks import is_of_machine
from scmpt_scverse._h5ad._heaps import check_heaps
from scmpt_scverse._h5ad._recognise import foreign_file, foreign_layout

if TYPE_CHECKING:
    from anndata import AnnData


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
        It is not an AnnData file, or a damaged one.
    """
    import anndata
    import h5py

    from scmpt_scverse._h5ad._structure import check_structure, n_raw_columns

    if not path.exists():
        check_suffix(path)
        raise FileNotFoundError(f"Expected an .h5ad file at {path}; found none. Check the path.")
    _refuse(path, foreign_file(path))
    with _explained(path):
        check_heaps(path)
        with h5py.File(path, "r") as file:
            layout = foreign_layout(file)
    _refuse(path, layout)
    check_suffix(path)
    with _explained(path), h5py.File(path, "r") as file:
        check_structure(file)
        n_raw = n_raw_columns(file)
        is_backed = backed and "X" in file  # without it there is nothing to leave on disk
    with _explained(path, are_sizes_checked=True):
        adata = anndata.read_h5ad(path, backed="r" if is_backed else None)
        if is_backed:  # its column numbers are checked where rows are read
            if tuple(adata.X.shape) != adata.shape:  # which anndata checks in memory only
                raise ValueError(f"'X' has shape {adata.X.shape}, its tables {adata.shape}")
            if adata.raw is not None and n_raw is not None and len(adata.raw.var) != n_raw:
                raise ValueError(f"'raw/X' has {n_raw} columns, its table {len(adata.raw.var)} rows")
        else:
            _check_matrices(adata)
    return adata


def check_suffix(path: Path, suffix: str = ".h5ad") -> None:
    """Raise `ValueError` for a file name that does not end in `suffix`."""
    if path.suffix != suffix:
        raise ValueError(f"Expected a file name that ends in {suffix}; found {path.name!r}. Choose another name.")


@contextmanager
def _explained(path: Path, *, are_sizes_checked: bool = False) -> Iterator[None]:
    """Say of which file an error is, and what of it is stored in a form that this anndata does not know.

    Too little memory is no fault of a file that declares possible sizes, and may be none of another.
    """
    import anndata

    try:
        yield
    # h5py and anndata raise whatever their code stumbles over in a damaged file: OSError, KeyError, AssertionError,
    # IndexError, errors of their own.
    except Exception as error:
        if isinstance(error, MemoryError) and not are_sizes_checked:
            raise MemoryError(
                f"to read {path} of {path.stat().st_size:,} bytes, unless it is damaged and declares sizes that it "
                "does not have"
            ) from error
        if is_of_machine(error):
            raise
        unknown = _unknown_encoding(path)
        if unknown is not None:
            raise ValueError(
                f"Expected an AnnData file at {path}; {unknown}, which anndata {anndata.__version__} does not know. "
                "Update anndata, or write the file again with this version of it."
            ) from error
        raise ValueError(
            f"Expected an AnnData file at {path}; found one that cannot be read ({reason(error)}). "
            "Copy or write it again; it may be incomplete or of another format."
        ) from error


def _unknown_encoding(path: Path) -> str | None:
    import h5py

    from scmpt_scverse._h5ad._structure import unknown_encoding

    # Whatever else is wrong with the file is known already.
    with suppress(Exception):
        check_heaps(path)
        with h5py.File(path, "r") as file:
            return unknown_encoding(file)
    return None


def _check_matrices(adata: "AnnData") -> None:
    from scmpt_scverse._h5ad._structure import check_indices

    check_indices(adata.X, "'X'")
    for slot in ("layers", "obsm", "obsp", "varm", "varp"):
        for key, values in getattr(adata, slot).items():
            check_indices(values, f"'{slot}/{key}'")
    if adata.raw is not None:
        check_indices(adata.raw.X, "'raw/X'")


def _refuse(path: Path, found: tuple[str, str] | None) -> None:
    if found is not None:
        what, advice = found
        raise ValueError(f"Expected an AnnData file at {path}; found {what}. {advice}.")


def reason(error: Exception) -> str:
    """What was raised, in one line, and where in the file, which anndata adds as a note."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if isinstance(error, OSError) and error.strerror:  # without its number
        text = error.strerror
    notes = [note for note in getattr(error, "__notes__", []) if "key" in note]
    return "; ".join(" ".join(part.split()) for part in [text or type(error).__name__, *notes[:1]])
