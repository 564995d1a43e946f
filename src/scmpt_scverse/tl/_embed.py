"""Write the embeddings of a frozen encoder, and where they come from, into AnnData."""

import warnings
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scmpt_scverse import __version__, encoders
from scmpt_scverse._hardware import resolve_device, resolve_precision
from scmpt_scverse._keys import UNS_KEYS, embedding_key
from scmpt_scverse.pp._expression import ExpressionReader
from scmpt_scverse.pp._gene_names import GeneOverlap, nearest_cause
from scmpt_scverse.streaming._embed_chunks import embed_chunks
from scmpt_scverse.streaming._executors import executor_for
from scmpt_scverse.streaming._progress import rows_with_bar

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, Precision, StrArray, StrPath
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.streaming import Executor


def embed(
    adata: "AnnData",
    encoder: "StrPath | Encoder",
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
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
        Cells, in memory or backed. Expression is read in chunks and never densified.
    encoder
        Registered name, hub id, folder, or an encoder (see :func:`scmpt_scverse.encoders.get`).
    layer
        Key of `.layers` to read; `None` reads `.X`. Counts or log-normalised values, non-negative.
    gene_symbols
        Column of `.var` with gene symbols; `None` takes `var_names`.
    key_added
        Key of `.obsm` to write; `None` takes `X_<encoder>`.
    batch_size
        Cells per forward pass.
    device
        A torch device, or `"auto"`: the first GPU, else the CPU.
    precision
        `"float32"`, `"bfloat16"`, `"float16"`, or `"auto"`: bfloat16 where the device multiplies it natively.
    cache
        Keep rows on disk and take those that are there, so that cells which were embedded before cost nothing again;
        where, and how many, is in the user guide. `scmpt cache` shows and clears it.
    executor
        Where cells are encoded: `"serial"`, in this process; `"ray"`, one encoder on each GPU or core of a Ray cluster;
        or an executor (see :class:`scmpt_scverse.streaming.RayExecutor`).
    progress
        Show a progress bar with cells per second and the time left; cells from the cache do not count as speed.

    Returns
    -------
    Nothing; writes

    `adata.obsm["X_<encoder>"]`
        float32, shape `(n_obs, embedding_dim)`. Cells without expression in any gene that the encoder knows are NaN,
        and a warning counts them.
    `adata.uns["scmpt"]["embeddings"]["X_<encoder>"]`
        Encoder, fingerprint, layer, gene overlap, options, precision and version of this package.

    Raises
    ------
    KeyError
        `layer` or `gene_symbols` is not there.
    ImportError
        Ray is asked for and not installed.
    ValueError
        Negative or non-finite expression, fractions in a layer named `counts`, gene names that the encoder does not
        know, a slot of that name that this function did not write, or data that cannot be written to (a view of a
        backed file).

    Examples
    --------
    >>> from scmpt_scverse import datasets, tl
    >>> adata = datasets.pbmc68k_reduced()
    >>> tl.embed(adata, "minilm", progress=False)
    >>> adata.obsm["X_minilm"].shape
    (700, 384)
    """
    encoder = encoders.get(encoder)
    key = key_added if key_added is not None else embedding_key(encoder.name)
    check_writable(adata, key)
    check_key_is_ours(adata, key)
    embedding, record = compute_embedding(
        adata,
        encoder,
        layer=layer,
        gene_symbols=gene_symbols,
        batch_size=batch_size,
        device=device,
        precision=precision,
        cache=cache,
        executor=executor,
        progress=progress,
    )
    write_embedding(adata, key, embedding, record)


def compute_embedding(
    adata: "AnnData",
    encoder: "Encoder",
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    reference_var_names: "StrArray | None" = None,
    batch_size: "int | Literal['auto']" = "auto",
    device: str = "auto",
    precision: "Precision" = "auto",
    cache: bool = True,
    executor: "Literal['serial', 'ray'] | Executor" = "serial",
    progress: bool = True,
) -> "tuple[FloatArray, dict[str, Any]]":
    """The embedding of every cell and its provenance, without writing; arguments as in :func:`embed`.

    `reference_var_names` gives columns the order that they have in a reference, so that ties between genes are broken
    as they were there.
    """
    chunks, record = stream_embedding(
        adata,
        encoder,
        layer=layer,
        gene_symbols=gene_symbols,
        reference_var_names=reference_var_names,
        batch_size=batch_size,
        device=device,
        precision=precision,
        cache=cache,
        executor=executor,
        progress=progress,
    )
    embedding = np.empty((adata.n_obs, encoder.embedding_dim), dtype=np.float32)
    done = 0
    for rows in chunks:
        embedding[done : done + len(rows)] = rows
        done += len(rows)
    return embedding, record


def stream_embedding(
    adata: "AnnData",
    encoder: "Encoder",
    *,
    layer: str | None,
    gene_symbols: str | None,
    reference_var_names: "StrArray | None" = None,
    batch_size: "int | Literal['auto']",
    device: str,
    precision: "Precision",
    cache: bool,
    executor: "Literal['serial', 'ray'] | Executor",
    progress: bool,
) -> "tuple[Generator[FloatArray], dict[str, Any]]":
    """Check the data; then the embedding in chunks of rows, and its provenance."""
    runs_on = executor_for(executor)
    reader = ExpressionReader(adata, layer=layer, gene_symbols=gene_symbols, reference_var_names=reference_var_names)
    overlap = _checked_overlap(reader, encoder)
    record = {
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint,
        "layer": layer or "X",
        "gene_symbols": gene_symbols or "var_names",
        "precision": str(resolve_precision(precision, resolve_device(device))).removeprefix("torch."),
        "version": __version__,
        "options": dict(encoder.options),
        "gene_overlap": dict(overlap.__dict__),
    }
    chunks = embed_chunks(
        reader,
        encoder,
        executor=runs_on,
        cache=cache,
        batch_size=batch_size,
        device=device,
        precision=precision,
    )
    return rows_with_bar(chunks, reader.n_obs, encoder.name, progress=progress), record


def check_writable(adata: "AnnData", key: str) -> None:
    """Refuse, before any work, data or a key that an embedding cannot be written to."""
    if not key or "/" in key:
        raise ValueError(f"A key of `.obsm` must be a text without slash, which HDF5 does not have; found {key!r}.")
    if adata.is_view and adata.isbacked:
        raise ValueError(
            "Expected data that can be written to; found a view of a backed file. Pass `adata.to_memory()`."
        )
    if not isinstance(adata.uns.get(UNS_KEYS.root, {}), Mapping):
        raise ValueError(
            f"`adata.uns[{UNS_KEYS.root!r}]` is where this package records what it wrote; found something else there. "
            "Rename it."
        )


def check_key_is_ours(adata: "AnnData", key: str) -> None:
    """Refuse to overwrite an array that this package did not write."""
    if key in adata.obsm and provenance(adata, key) is None:
        raise ValueError(
            f"`adata.obsm[{key!r}]` exists and was not written by `tl.embed`. Pass `key_added=` to write elsewhere, or "
            "rename it; to use it as it is, register it with `SCMPT.setup_anndata(..., obsm_keys=...)`."
        )


def write_embedding(adata: "AnnData", key: str, embedding: "FloatArray", record: dict[str, Any]) -> None:
    """Write an embedding and its provenance."""
    adata.obsm[key] = embedding
    adata.uns[UNS_KEYS.root] = with_record(adata.uns.get(UNS_KEYS.root, {}), key, record)


def with_record(ours: Mapping[str, Any], key: str, record: dict[str, Any]) -> dict[str, Any]:
    """Our part of `.uns` with the provenance of one embedding more."""
    return {**ours, UNS_KEYS.embeddings: {**ours.get(UNS_KEYS.embeddings, {}), key: record}}


def provenance(adata: "AnnData", key: str) -> dict[str, Any] | None:
    """What was recorded when `adata.obsm[key]` was written, or `None` if we did not write it."""
    ours = adata.uns.get(UNS_KEYS.root, {})
    record: dict[str, Any] | None = ours.get(UNS_KEYS.embeddings, {}).get(key) if isinstance(ours, Mapping) else None
    return record


def _checked_overlap(reader: ExpressionReader, encoder: "Encoder") -> GeneOverlap:
    """How much of the data the encoder can read; `ValueError` where that is too little. Checks all values, too."""
    known = encoder.known_genes(reader.genes)
    n_matched = int(known.sum())
    totals, matched = [], []
    for chunk in reader.chunks():
        totals.append(np.asarray(chunk.matrix.sum(axis=1), dtype=np.float64).ravel())
        matched.append(np.asarray(chunk.matrix @ known.astype(np.float64)).ravel())
    total, in_matched = np.concatenate(totals), np.concatenate(matched)
    expressing = total > 0
    if not expressing.any():
        raise ValueError(f"Expected expression in at least one cell; found {reader.n_obs} cells without any.")
    overlap = GeneOverlap(
        n_genes=len(reader.genes),
        n_matched=n_matched,
        expression_fraction=float(np.median(in_matched[expressing] / total[expressing])),
        n_without_symbol=reader.n_without_symbol,
        n_merged=reader.n_merged,
        n_empty_cells=int(np.sum(in_matched == 0)),
    )
    if n_matched < encoder.min_genes or overlap.expression_fraction < encoder.min_expression:
        cause = (
            nearest_cause(reader.genes, known, encoder.vocabulary)
            if n_matched < overlap.n_genes
            else "the data has few genes"
        )
        raise ValueError(
            f"{encoder.name!r} needs at least {encoder.min_genes} genes that it knows, with at least "
            f"{encoder.min_expression:.0%} of a cell's expression; found {n_matched} of {overlap.n_genes} genes with "
            f"{overlap.expression_fraction:.0%}. Nearest cause: {cause}. Pass `gene_symbols=` with the column of "
            "symbols, or lower `min_genes` or `min_expression` of the encoder if that is meant."
        )
    if overlap.n_empty_cells:
        warnings.warn(
            f"{overlap.n_empty_cells} of {reader.n_obs} cells have no expression in any gene that {encoder.name!r} "
            "knows; their embedding is NaN and they stay unlabelled.",
            UserWarning,
            stacklevel=5,
        )
    return overlap
