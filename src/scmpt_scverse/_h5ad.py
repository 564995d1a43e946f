"""Open `.h5ad` files, and say plainly what is wrong with those that cannot be opened."""

from pathlib import Path
from typing import TYPE_CHECKING

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


def check_suffix(path: Path, suffix: str = ".h5ad") -> None:
    """Raise `ValueError` for a file name that does not end in `suffix`."""
    if path.suffix != suffix:
        raise ValueError(f"Expected a file name that ends in {suffix}; found {path.name!r}. Choose another name.")
