"""From file to file: embed an `.h5ad` of any size in constant memory."""

import errno
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
from anndata.io import read_elem, write_elem

from scmpt_scverse._folders import check_file
from scmpt_scverse._h5ad import read_cells, written_whole
from scmpt_scverse._slots import UNS_KEYS, check_embedding_slot, with_record
from scmpt_scverse.modalities import stream_embedding

if TYPE_CHECKING:
    from scmpt_scverse.encoders import Encoder

#: Space for what is written besides the embedding: its provenance, and what HDF5 itself needs.
_RECORDS_BYTES = 1_000_000


def embed_file(source: Path, output: Path, encoder: "Encoder", key: str, **options: Any) -> None:
    """Copy an `.h5ad` file and add the embedding of every cell, never holding the matrix or the embedding in memory.

    Parameters
    ----------
    source
        File with the cells.
    output
        File to write, replacing an existing one; may be `source`.
    encoder
        The encoder.
    key
        Key of `.obsm` and of the provenance record.
    **options
        As for `stream_embedding`.
    """
    adata = read_cells(source, backed=True)
    try:
        check_embedding_slot(adata, key)
        n_bytes = source.stat().st_size + 4 * adata.n_obs * encoder.embedding_dim
        if is_legacy := _has_legacy_obsm(source):
            n_bytes += sum(values.nbytes for values in adata.obsm.values())
        check_file(output)
        _check_room(output.parent, n_bytes)
        chunks, record = stream_embedding(adata, encoder, **options)
        with closing(chunks), written_whole(output) as partial:
            shutil.copyfile(source, partial)
            _reserve(partial, n_bytes + _RECORDS_BYTES)
            with h5py.File(partial, "r+") as file:
                if is_legacy:
                    del file["obsm"]
                    write_elem(file, "obsm", dict(adata.obsm))
                rows = _new_array(file.require_group("obsm"), key, (adata.n_obs, encoder.embedding_dim))
                done = 0
                for chunk in chunks:
                    rows[done : done + len(chunk)] = chunk
                    done += len(chunk)
                uns = file.require_group("uns")
                ours = read_elem(uns[UNS_KEYS.root]) if UNS_KEYS.root in uns else {}
                write_elem(uns, UNS_KEYS.root, with_record(ours, UNS_KEYS.embeddings, key, record))
    finally:
        adata.file.close()


def _check_room(folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise OSError(
            errno.ENOSPC,
            f"Expected room for {n_bytes / 1e9:.1f} GB in {folder}, the size of the input with its embedding; found "
            f"{free / 1e9:.1f} GB. Make room, or write elsewhere.",
        )


def _reserve(path: Path, n_bytes: int) -> None:
    """Reserve disk space now: HDF5 does not survive a disk that fills up hours later. It truncates the rest."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)


def _has_legacy_obsm(source: Path) -> bool:
    """Whether `.obsm` is one array with a field per key, as in anndata before 0.7."""
    with h5py.File(source, "r") as file:
        return isinstance(file.get("obsm"), h5py.Dataset)


def _new_array(group: h5py.Group, key: str, shape: tuple[int, int]) -> h5py.Dataset:
    """An array of AnnData to be filled row by row, replacing an existing one."""
    if key in group:
        del group[key]
    array = group.create_dataset(key, shape, dtype="float32")
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return array
