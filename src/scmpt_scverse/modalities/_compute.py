"""The embedding of cells by a frozen encoder, and where it comes from; nothing is written."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scmpt_scverse import __version__
from scmpt_scverse._checks import warn_user
from scmpt_scverse._hardware import resolve_device, resolve_precision
from scmpt_scverse.modalities._origin import genes_read
from scmpt_scverse.pp import HUMAN, ExpressionReader, GeneOverlap, Organism, StoredScale, nearest_cause
from scmpt_scverse.streaming import embed_chunks, executor_for, rows_with_bar

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, Precision, StrArray
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.streaming import Executor

_ADVICE = (
    "Pass `gene_symbols=` with the column of symbols, or lower `min_genes` or `min_expression` of the encoder if that "
    "is meant."
)


class NoCountsError(ValueError):
    """An encoder needs counts, and the values are none."""


def compute_embedding(
    adata: "AnnData",
    encoder: "Encoder",
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: Organism = HUMAN,
    reference_genes: "StrArray | None" = None,
    only_genes: "StrArray | None" = None,
    usual_scale: StoredScale | None = None,
    batch_size: "int | Literal['auto']" = "auto",
    device: str = "auto",
    precision: "Precision" = "auto",
    cache: bool = True,
    executor: "Literal['serial', 'ray'] | Executor" = "serial",
    progress: bool = True,
) -> "tuple[FloatArray, dict[str, Any]]":
    """The embedding of every cell and its provenance, without writing; arguments as in :func:`scmpt_scverse.tl.embed`.

    `reference_genes` gives columns the order that their symbols have in a reference, so that ties between genes are
    broken as they were there; `only_genes` are those of a panel, others being left out; `usual_scale` is how cells are
    stored that are too few to tell.
    """
    chunks, record = stream_embedding(
        adata,
        encoder,
        layer=layer,
        gene_symbols=gene_symbols,
        organism=organism,
        reference_genes=reference_genes,
        only_genes=only_genes,
        usual_scale=usual_scale,
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
    organism: Organism = HUMAN,
    reference_genes: "StrArray | None" = None,
    only_genes: "StrArray | None" = None,
    usual_scale: StoredScale | None = None,
    batch_size: "int | Literal['auto']",
    device: str,
    precision: "Precision",
    cache: bool,
    executor: "Literal['serial', 'ray'] | Executor",
    progress: bool,
) -> "tuple[Generator[FloatArray], dict[str, Any]]":
    """Check the data; then the embedding in chunks of rows, and its provenance."""
    runs_on = executor_for(executor)
    reader = ExpressionReader(
        adata,
        layer=layer,
        gene_symbols=gene_symbols,
        organism=organism,
        reference_genes=reference_genes,
        only_genes=only_genes,
        usual_scale=usual_scale,
    )
    overlap = _checked_overlap(reader, encoder)
    record = {
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint,
        "layer": layer or "X",
        "gene_symbols": gene_symbols or "var_names",
        "organism": reader.organism,
        "precision": str(resolve_precision(precision, resolve_device(device))).removeprefix("torch."),
        "version": __version__,
        **genes_read(reader.genes, only_genes),
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


def check_enough_known(reader: ExpressionReader, encoder: "Encoder") -> None:
    """Raise `ValueError` where an encoder knows too few of the genes that are read; only names are looked at."""
    _refuse(too_few_known(reader, encoder, encoder.known_genes(reader.genes)))


def too_few_known(reader: ExpressionReader, encoder: "Encoder", known: "BoolArray") -> str:
    """Why an encoder cannot read data of which it knows too few genes; nothing where it can."""
    fewest = encoder.fewest_genes(len(known))
    if known.sum() >= fewest:
        return ""
    return (
        f"{encoder.name!r} needs at least {fewest} genes that it knows; found {known.sum()} of {len(known)}. "
        f"Nearest cause: {_cause(reader, encoder, known)}. {_ADVICE}"
    )


def too_little_expressed(reader: ExpressionReader, encoder: "Encoder", known: "BoolArray", overlap: GeneOverlap) -> str:
    """Why an encoder cannot read data whose expression is in genes that it does not know; nothing where it can."""
    if overlap.expression_fraction >= encoder.min_expression:
        return ""
    return (
        f"{encoder.name!r} needs at least {encoder.min_expression:.0%} of a cell's expression in genes that it "
        f"knows; found {overlap.n_matched} of {overlap.n_genes} genes with {overlap.expression_fraction:.0%}. "
        f"Nearest cause: {_cause(reader, encoder, known)}. {_ADVICE}"
    )


def gene_overlap(reader: ExpressionReader, known: "BoolArray", of_counts: str | None = None) -> GeneOverlap:
    """How much of the data an encoder can read that knows some of its genes; reads and checks all values.

    `of_counts` is the name of an encoder that needs counts.
    """
    totals, matched, n_expressed = [], [], []
    for chunk in reader.chunks():
        matrix = chunk.matrix
        if of_counts is not None:
            _check_counts(matrix.data, of_counts, reader.where)
        totals.append(np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel())
        if chunk.without_symbol is not None:
            totals[-1] += chunk.without_symbol
        matched.append(np.asarray(matrix @ known.astype(np.float64)).ravel())
        n_expressed.append(np.diff(np.concatenate([[0], np.cumsum(known[matrix.indices])])[matrix.indptr]))
    total, in_matched = np.concatenate(totals), np.concatenate(matched)
    expressing = total > 0
    if not expressing.any():
        raise ValueError(f"Expected expression in at least one cell; found {reader.n_obs} cells without any.")
    return GeneOverlap(
        n_genes=len(reader.genes),
        n_matched=int(known.sum()),
        expression_fraction=float(np.median(in_matched[expressing] / total[expressing])),
        n_without_symbol=reader.n_without_symbol,
        n_renamed=reader.names.n_renamed,
        n_merged=reader.n_merged,
        n_empty_cells=int(np.sum(in_matched == 0)),
        n_expressed=float(np.median(np.concatenate(n_expressed)[expressing])),
    )


def _checked_overlap(reader: ExpressionReader, encoder: "Encoder") -> GeneOverlap:
    """How much of the data the encoder can read; `ValueError` where that is too little. Checks all values, too."""
    check_enough_known(reader, encoder)
    known = encoder.known_genes(reader.genes)
    overlap = gene_overlap(reader, known, of_counts=encoder.name if encoder.needs_counts else None)
    _refuse(too_little_expressed(reader, encoder, known, overlap))
    if overlap.n_empty_cells:
        warn_user(
            f"{overlap.n_empty_cells} of {reader.n_obs} cells have no expression in any gene that {encoder.name!r} "
            "knows; their embedding is NaN, so they are not trained on and stay unlabelled."
        )
    return overlap


def _refuse(reason: str) -> None:
    if reason:
        raise ValueError(reason)


def _cause(reader: ExpressionReader, encoder: "Encoder", known: "BoolArray") -> str:
    """Why an encoder can read so little."""
    if reader.n_without_symbol > (~known).sum():
        return f"{reader.n_without_symbol} columns have no gene symbol: {reader.names.unreadable()}"
    if not known.all():
        return nearest_cause(reader.genes, known, encoder.vocabulary)
    return "the data has few genes"


def _check_counts(values: "FloatArray", encoder_name: str, where: str) -> None:
    """Raise :class:`NoCountsError` where an encoder that needs counts is given fractions."""
    is_fraction = values != np.rint(values)
    if is_fraction.any():
        raise NoCountsError(
            f"The encoder {encoder_name!r} needs raw counts; found fractions such as {values[is_fraction][0]:.4g} in "
            f"`{where}`, as after normalisation. Pass `layer=` with counts, or choose an encoder that reads any "
            "non-negative values."
        )
