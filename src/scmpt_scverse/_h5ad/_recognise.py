"""What a file is that was given in place of an `.h5ad` file, and how to make one of it."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import h5py

#: Enough for every signature below; that of a tar archive comes last.
_HEAD_BYTES = 512
#: First bytes of files that are no HDF5, what they are, and what to do.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip file", "Unpack it with `gunzip`"),
    (b"PK\x03\x04", "a zip archive", "Unpack it"),
    (b"BZh", "a bzip2 file", "Unpack it with `bunzip2`"),
    (b"\xfd7zXZ", "an xz file", "Unpack it with `unxz`"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "Unpack it with `unzstd`"),
    (
        b"version https://git-lfs",
        "a git-lfs pointer, which stands for the file",
        "Fetch the file itself with `git lfs pull`",
    ),
    (
        b"%%MatrixMarket",
        "a Matrix Market file",
        "Read it with `scanpy.read_10x_mtx`, and write the result with `write_h5ad`",
    ),
)
_WEB_PAGES = (b"<!doctype html", b"<html", b"<?xml")
_ZARR_FILES = (".zgroup", ".zattrs", "zarr.json")


def foreign_file(path: Path) -> tuple[str, str] | None:
    """What a file or folder is and what to do with it, where its first bytes show that it is no HDF5 file."""
    if path.is_dir():
        if is_zarr_store(path):
            return "a zarr store", "Convert it with `anndata.io.read_zarr(path).write_h5ad(...)`"
        return "a folder", "Pass a file in it"
    if not path.is_file():
        return "a pipe or device", "Pass a file"
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return "an empty file", "Copy or write it again"
    for signature, what, advice in _SIGNATURES:
        if head.startswith(signature):
            return what, advice
    if head[257:262] == b"ustar":
        return "a tar archive", "Unpack it"
    if head.lstrip().lower().startswith(_WEB_PAGES):
        return "a web page, as servers send when they do not send the file", "Download it again"
    if _is_text(head):
        return "a text file", "Read a table with `anndata.io.read_csv`, and write the result with `write_h5ad`"
    return None


def foreign_layout(file: "h5py.File") -> tuple[str, str] | None:
    """What an HDF5 file is and what to do with it, where it holds something else than one AnnData."""
    names = set(file)
    if file.attrs.get("encoding-type") == "MuData" or ("mod" in names and "X" not in names):
        return "a MuData", "Write one of its modalities: `mudata.read_h5mu(path)[name].write_h5ad(...)`"
    if "matrix" in names and {"row_attrs", "col_attrs"} & names:
        return "a loom file", "Convert it with `anndata.io.read_loom(path).write_h5ad(...)`"
    if "obs" not in names and ("matrix" in names or any(_is_10x_genome(file, name) for name in names)):
        return "a 10x Genomics file", "Convert it with `scanpy.read_10x_h5(path).write_h5ad(...)`"
    if {"cell.names", "meta.data"} <= names:
        return "an h5Seurat file", "Convert it with `SeuratDisk::Convert`"
    missing = sorted({"obs", "var"} - names)
    if missing:
        return f"an HDF5 file without {' and '.join(missing)}", "Pass one that `adata.write_h5ad` wrote"
    return None


def is_zarr_store(path: Path) -> bool:
    """Whether a folder is a zarr store."""
    return any((path / name).is_file() for name in _ZARR_FILES)


def _is_10x_genome(file: "h5py.File", name: str) -> bool:
    # Before Cell Ranger 3 the matrix was in a group with the name of the genome.
    return {"barcodes", "genes", "indptr"} <= set(getattr(file.get(name), "keys", lambda: ())())


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # a character that the end of `head` cuts
    return True
