"""From file to file: embed an `.h5ad` of any size in constant memory."""

import errno
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import h5py
from anndata.io import read_elem, write_elem

from scmpt_scverse import encoders
from scmpt_scverse._checks import type_name
from scmpt_scverse._folders import check_file
from scmpt_scverse._h5ad import read_cells, written_whole
from scmpt_scverse._slots import (
    UNS_KEYS,
    Slot,
    check_key_is_ours,
    check_records,
    check_writable,
    embedding_key,
    with_record,
)
from scmpt_scverse.modalities import stream_embedding
from scmpt_scverse.pp import HUMAN, Organism

if TYPE_CHECKING:
    from scmpt_scverse._types import Precision, StrPath
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.streaming import Executor

#: Room for what is written beside the embedding: its provenance, and what HDF5 itself needs.
_RECORDS_BYTES = 1_000_000


def embed_file(
    source: "StrPath",
    output: "StrPath",
    encoder: "StrPath | Encoder | type[Encoder]",
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: Organism = HUMAN,
    key_added: str | None = None,
    batch_size: "int | Literal['auto']" = "auto",
    device: str = "auto",
    precision: "Precision" = "auto",
    cache: bool = True,
    executor: "Literal['serial', 'ray'] | Executor" = "serial",
    progress: bool = True,
) -> int:
    """Copy an `.h5ad` file and add the embedding of every cell, never holding the matrix or the embedding in memory.

    Parameters
    ----------
    source
        File with the cells.
    output
        File to write, over one that exists; may be `source`. It appears when it is complete. With the cache, an
        interrupted run goes on where it was.
    encoder, layer, gene_symbols, organism, key_added, batch_size, device, precision, cache, executor, progress
        As in :func:`embed`.

    Returns
    -------
    Number of cells. The file has what :func:`embed` writes.

    Raises
    ------
    FileNotFoundError
        `source` is not there.
    KeyError, ValueError
        As :func:`embed`, or `source` is not an AnnData file.
    OSError
        `output` cannot be written, for instance because the disk is full.
    """
    for argument, path in (("source", source), ("output", output)):
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                f"Expected the path of a file as `{argument}`; found {type_name(path)}. For cells in memory use "
                "`tl.embed(adata, encoder)`."
            )
    source, output = Path(source), Path(output)
    encoder = encoders.get(encoder)
    key = key_added if key_added is not None else embedding_key(encoder.name)
    adata = read_cells(source, backed=True)
    try:
        check_writable(adata, key, [Slot("obsm", key)])
        check_records(adata)
        check_key_is_ours(adata, key)
        n_bytes = source.stat().st_size + 4 * adata.n_obs * encoder.embedding_dim
        if is_legacy := _has_legacy_obsm(source):
            n_bytes += sum(values.nbytes for values in adata.obsm.values())
        check_file(output)
        _check_room(output.parent, n_bytes)
        chunks, record = stream_embedding(
            adata,
            encoder,
            layer=layer,
            gene_symbols=gene_symbols,
            organism=organism,
            batch_size=batch_size,
            device=device,
            precision=precision,
            cache=cache,
            executor=executor,
            progress=progress,
        )
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
        return int(adata.n_obs)
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
    """Take the room on the disk now: HDF5 does not survive a disk that is full hours later. It cuts off the rest."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)


def _has_legacy_obsm(source: Path) -> bool:
    """Whether `.obsm` is one array with a field for each key, as anndata before 0.7 kept it."""
    with h5py.File(source, "r") as file:
        return isinstance(file.get("obsm"), h5py.Dataset)


def _new_array(group: h5py.Group, key: str, shape: tuple[int, int]) -> h5py.Dataset:
    """An array of AnnData to be filled row by row, in place of one that is there."""
    if key in group:
        del group[key]
    array = group.create_dataset(key, shape, dtype="float32")
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return array
