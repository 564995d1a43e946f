"""Read and write the files that commands are given: refuse early, never leave half a file."""

from pathlib import Path
from typing import TYPE_CHECKING

from scmpt_scverse._h5ad import check_suffix, written_whole
from scmpt_scverse.cli._group import quiet_libraries

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse import SCMPT


def read_model(path: Path) -> "SCMPT":
    """The model saved in a folder, without data; raises as :meth:`scmpt_scverse.SCMPT.load` does."""
    from scmpt_scverse import SCMPT

    quiet_libraries()
    return SCMPT.load(str(path), adata=False)


def check_output(path: Path, *, source: Path, force: bool, suffix: str = ".h5ad") -> None:
    """Refuse an output file that cannot be written, before any work is done.

    Raises
    ------
    FileNotFoundError
        Its folder does not exist.
    FileExistsError
        It exists, or is the input `source`, without `force`.
    """
    check_suffix(path, suffix)
    _check_parent(path)
    if path.is_dir():
        raise FileExistsError(f"The output {path} is a folder. Choose another name.")
    if path.exists() and not force:
        what = "is the input itself" if source.exists() and path.samefile(source) else "exists"
        raise FileExistsError(f"The output {path} {what}. Choose another name, or pass --force to replace it.")


def check_model_dir(path: Path, *, force: bool) -> None:
    """Refuse a folder that a model cannot be saved to, before it is trained; raises as :func:`check_output` does."""
    _check_parent(path)
    if path.is_file():
        raise FileExistsError(f"Expected a folder for the model at {path}; found a file. Choose another name.")
    if path.exists() and not force:
        raise FileExistsError(f"The model folder {path} exists. Choose another name, or pass --force to write into it.")


def write_cells(adata: "AnnData", path: Path) -> None:
    """Write an .h5ad file whole or not at all: a file beside it takes its place when it is complete."""
    with written_whole(path) as partial:
        adata.write_h5ad(partial)


def _check_parent(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"The folder {path.absolute().parent} does not exist. Make it, or choose another one.")
