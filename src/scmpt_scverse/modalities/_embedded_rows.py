"""Rows of embeddings that encoders compute: of all cells, of some, or of those that have none yet."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scmpt_scverse._slots import embedding_key, write_embedding
from scmpt_scverse.modalities._compute import compute_embedding
from scmpt_scverse.modalities._rows import Unread, embeddable, missing_rows, not_embedded

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.modalities._modality import Modality
    from scmpt_scverse.modalities._source import ExpressionSource


def computed(
    adata: "AnnData", encoder: "Encoder", source: "ExpressionSource", **options: Any
) -> "tuple[FloatArray, dict[str, Any]]":
    """The embedding of all cells, and its provenance; `options` of :func:`scmpt_scverse.tl.embed`."""
    return compute_embedding(adata, encoder, **source.arguments, **source.reference, **options)


def embedded(
    adata: "AnnData",
    key: str,
    encoder: "Encoder",
    source: "ExpressionSource",
    rows: "IntArray | None",
    **options: Any,
) -> "FloatArray":
    """An embedding that is missing: of some cells, or of all, of which it is written to `adata.obsm[key]`."""
    if rows is None:
        values, record = computed(adata, encoder, source, **options)
        if not adata.is_view:  # writing would turn the user's view into a copy
            write_embedding(adata, key, values, record)
        return values
    if not len(rows):
        return np.empty((0, encoder.embedding_dim), dtype=np.float32)
    source = replace(source, scale=source.reader(adata).scale or source.scale)  # which few cells do not tell
    ascending, places = np.unique(rows, return_inverse=True)
    some = adata[ascending]
    some = some.to_memory() if some.isbacked else some.copy()
    return computed(some, encoder, source, **options)[0][places]


def completed(
    adata: "AnnData",
    modality: "Modality",
    load: "Callable[[], Encoder]",
    source: "ExpressionSource",
    values: "FloatArray",
    rows: "IntArray | None",
    **options: Any,
) -> "tuple[FloatArray, list[Unread]]":
    """An embedding that is there, with the rows of cells that it is missing for, as far as these can be read.

    Parameters
    ----------
    adata
        Cells. What is completed for all of them is written to `.obsm`, unless it is a view.
    modality
        Whose embedding it is.
    load
        Gives its encoder.
    source
        Where expression is read.
    values
        The embedding of all cells.
    rows
        Row numbers of the cells that are wanted; `None` for all.
    **options
        Of :func:`scmpt_scverse.tl.embed`.

    Returns
    -------
    The rows, and which cells have none.
    """
    key, some = modality.obsm_key, values if rows is None else values[rows]
    missing = missing_rows(some, zeros=modality.encoder is not None)
    if not len(missing):
        return some, []
    if modality.encoder is None:
        return some, [Unread(len(missing), f"have no values in `adata.obsm[{key!r}]`")]
    where = missing if rows is None else np.asarray(rows)[missing]
    encoder_name = key.removeprefix(embedding_key(""))
    found, unread = embeddable(source, adata, where, encoder_name, load)
    some = some.copy()
    some[missing] = np.nan
    if found.any():
        encoder = load()
        try:
            some[missing[found]] = embedded(adata, key, encoder, source, where[found], **options)
        except ValueError as error:  # the encoder knows too little of these cells
            unread.append(not_embedded(int(found.sum()), encoder_name, error))
        if rows is None and not adata.is_view:
            adata.obsm[key] = some
    return some, unread
