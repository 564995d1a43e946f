"""Read and write the files that commands are given: refuse early, never leave half a file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scmpt_scverse.cli._group import quiet_libraries

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse import SCMPT


def read_cells(path: Path) -> "AnnData":
    """The cells of an .h5ad file, in memory.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is no AnnData file, or a damaged one.
    """
    import anndata

    _check_name(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected an .h5ad file at {path}; found none. Check the path.")
    try:
        return anndata.read_h5ad(path)
    # What h5py and anndata raise for other files, truncated files, and HDF5 files that are no AnnData.
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected an AnnData file at {path}; found one that cannot be read ({error}). "
            "Copy or write it again; it may be incomplete or of another format."
        ) from error


def read_model(path: Path) -> "SCMPT":
    """The model saved in a folder, without data.

    Raises
    ------
    FileNotFoundError
        There is no saved model.
    """
    if not (path / "model.pt").is_file():
        raise FileNotFoundError(f"Expected a saved model in the folder {path}; found no model.pt. Check the path.")
    from scmpt_scverse import SCMPT

    quiet_libraries()
    return SCMPT.load(str(path), adata=False)


def check_output(path: Path, *, source: Path, force: bool) -> None:
    """Refuse an output file that cannot be written, before any work is done.

    Raises
    ------
    FileNotFoundError
        Its folder does not exist.
    FileExistsError
        It exists, or is the input `source`, without `force`.
    """
    _check_name(path)
    _check_parent(path)
    if path.exists() and not force:
        what = "is the input itself" if source.exists() and path.samefile(source) else "exists"
        raise FileExistsError(f"The output {path} {what}. Choose another name, or pass --force to replace it.")


def check_model_dir(path: Path, *, force: bool) -> None:
    """Refuse a folder that a model cannot be saved to, before it is trained; raises as :func:`check_output` does."""
    _check_parent(path)
    if path.exists() and not force:
        raise FileExistsError(f"The model folder {path} exists. Choose another name, or pass --force to write into it.")


def write_cells(adata: "AnnData", path: Path) -> None:
    """Write an .h5ad file whole or not at all: a file beside it takes its place when it is complete."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial.h5ad")
    try:
        adata.write_h5ad(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _check_name(path: Path) -> None:
    if path.suffix != ".h5ad":
        raise ValueError(
            f"Expected a file name that ends in .h5ad; found {path.name!r}. Commands read and write .h5ad."
        )


def _check_parent(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"The folder {path.absolute().parent} does not exist. Make it, or choose another one.")
