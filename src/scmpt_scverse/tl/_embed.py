"""Write the embeddings of a frozen encoder, with their provenance, into AnnData."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scmpt_scverse import encoders
from scmpt_scverse._checks import check_cells, type_name
from scmpt_scverse._slots import check_embedding_slot, embedding_key, write_embedding
from scmpt_scverse.modalities import compute_embedding
from scmpt_scverse.pp import HUMAN, Organism
from scmpt_scverse.tl._embed_file import embed_file

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import Precision, StrPath
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.streaming import Executor


def embed(
    adata: "AnnData | StrPath",
    encoder: "StrPath | Encoder | type[Encoder]",
    *,
    output: "StrPath | None" = None,
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
) -> None:
    """Embed every cell with a frozen encoder.

    Parameters
    ----------
    adata
        Cells, in memory or backed, or the path of an `.h5ad` file. Expression is read in chunks and never densified.
    encoder
        Registered name, hub id, folder, or an encoder (see :func:`scmpt_scverse.encoders.get`).
    output
        File to write if `adata` is a path: a copy of that file with the embedding. It may be the same path, replaces an
        existing file, and appears when it is complete. Neither the expression nor the embedding of all cells is held in
        memory. With the cache, an interrupted run resumes where it stopped.
    layer
        Key of `.layers` to read; `None` reads `.X`. Counts or log-normalised values, non-negative.
    gene_symbols
        Column of `.var` with gene symbols; `None` uses `var_names`.
    organism
        Species of the cells: `"human"`, `"mouse"`, :class:`scmpt_scverse.pp.Orthologs` for others, or `"auto"`, which
        infers it from the names and warns. Genes of species other than human are read as their human orthologs.
        `"native"` reads symbols of any species unchanged.
    key_added
        Key of `.obsm` to write; `None` uses `X_<encoder>`.
    batch_size
        Cells per forward pass.
    device
        A torch device, or `"auto"`: the first CUDA device if there is one, else the CPU.
    precision
        `"float32"`, `"bfloat16"`, `"float16"`, or `"auto"`: bfloat16 if the device supports it natively, else float32.
    cache
        Keep embeddings on disk and reuse stored ones, so that no cell is embedded twice; the user guide says where they
        are and how many are kept. `scmpt cache` shows and clears the cache.
    executor
        Where cells are encoded: `"serial"`, in this process; `"ray"`, one encoder on each GPU or core of a Ray cluster;
        or an executor (see :class:`scmpt_scverse.streaming.RayExecutor`).
    progress
        Show a progress bar with cells per second and the time left; cells from the cache do not count as speed.

    Returns
    -------
    Nothing; writes to `adata`, or to the file `output`

    `adata.obsm["X_<encoder>"]`
        float32, shape `(n_obs, embedding_dim)`. Cells without expression in any gene that the encoder knows are NaN,
        and a warning counts them.
    `adata.uns["scmpt"]["embeddings"]["X_<encoder>"]`
        Encoder, fingerprint, layer, gene symbols, species, gene overlap, options, precision and version of this
        package.

    Raises
    ------
    TypeError
        `adata` is neither an AnnData nor a path, `output` is not a path, or `encoder` is not an encoder.
    FileNotFoundError
        The input file, the folder of `output` or that of the encoder does not exist.
    KeyError
        `layer` or `gene_symbols` does not exist.
    ImportError
        `executor="ray"` without Ray installed.
    ValueError
        Negative or non-finite expression, fractions for an encoder that needs counts, too few genes that the encoder
        knows, genes of another species than `organism` or of two, an existing slot of that name that this package did
        not write, or data that cannot be written to (a view of a backed file); a path to a file that is not an AnnData
        file, or without `output`; `output` with an AnnData; or an unknown encoder, device, precision or executor.
    OSError
        `output` cannot be written, for instance because the disk is full, or the encoder cannot be downloaded.

    Examples
    --------
    >>> from scmpt_scverse import datasets, tl
    >>> adata = datasets.pbmc68k_reduced()
    >>> tl.embed(adata, "minilm", progress=False)
    >>> adata.obsm["X_minilm"].shape
    (700, 384)
    """
    _check(adata, output)
    encoder = encoders.get(encoder)
    key = key_added if key_added is not None else embedding_key(encoder.name)
    options: dict[str, Any] = {
        "layer": layer,
        "gene_symbols": gene_symbols,
        "organism": organism,
        "batch_size": batch_size,
        "device": device,
        "precision": precision,
        "cache": cache,
        "executor": executor,
        "progress": progress,
    }
    if isinstance(adata, str | os.PathLike):
        assert output is not None  # see `_check`
        embed_file(Path(adata), Path(output), encoder, key, **options)
        return
    check_embedding_slot(adata, key)
    embedding, record = compute_embedding(adata, encoder, **options)
    write_embedding(adata, key, embedding, record)


def _check(adata: object, output: object) -> None:
    if not isinstance(adata, str | os.PathLike):
        check_cells(adata)
        if output is not None:
            raise ValueError(
                "Expected `output=` with the path of a file only; found an AnnData, into which the embedding is "
                "written. Leave `output=` out, and save the cells with `adata.write_h5ad(path)`."
            )
    elif output is None:
        raise ValueError(
            f"Expected `output=`, the file to write, with the path of a file; found {os.fspath(adata)!r} alone. Pass "
            "`output=`, which may be the same file, or read the cells first: `anndata.read_h5ad(path)`."
        )
    elif not isinstance(output, str | os.PathLike):
        raise TypeError(f"Expected the path of a file as `output`; found {type_name(output)}.")
