"""From expression to embeddings, chunk by chunk and in order; rows that the cache has are not computed again."""

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scmpt_scverse._hardware import resolve_device, resolve_precision
from scmpt_scverse.encoders._base import CacheableCells
from scmpt_scverse.streaming._embedding_cache import EmbeddingCache, Space, content_key

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, Precision
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.pp._expression import ExpressionReader

#: Cells of a chunk: enough to sort by length, few enough to see a slow encoder move and to lose little when killed.
_CHUNK_SIZE = 256


def embed_chunks(
    reader: "ExpressionReader",
    encoder: "Encoder",
    *,
    cache: bool,
    batch_size: "int | Literal['auto']",
    device: str,
    precision: "Precision",
) -> "Iterator[FloatArray]":
    """The embeddings of a reader's cells, in chunks of rows."""
    dtype = str(resolve_precision(precision, resolve_device(device))).removeprefix("torch.")
    space = Space(encoder.name, encoder.fingerprint, dtype, encoder.embedding_dim)

    def encode(inputs: Any) -> "FloatArray":
        return encoder.encode(inputs, batch_size=batch_size, device=device, precision=precision)

    with closing(EmbeddingCache()) as rows:
        for chunk in reader.chunks(_CHUNK_SIZE):
            inputs = encoder.prepare(chunk)
            if not cache or not isinstance(inputs, CacheableCells):
                yield encode(inputs)
                continue
            keys = [content_key(content) for content in inputs.contents()]
            is_cached, cached = rows.get(space, keys)
            embedding = np.empty((len(inputs), encoder.embedding_dim), dtype=np.float32)
            embedding[is_cached] = cached
            missing = np.flatnonzero(~is_cached)
            if missing.size:
                embedding[missing] = encode(inputs.take(missing))
                rows.put(space, [keys[row] for row in missing], embedding[missing])
            yield embedding
