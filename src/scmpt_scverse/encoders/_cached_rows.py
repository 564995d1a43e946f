"""Embeddings that are partly in the cache: what is left to compute, and how they are completed."""

from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse.encoders._embedding_cache import EmbeddingCache, Space, content_key

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.encoders._base import CacheableCells


class CachedRows:
    """The embeddings of some inputs, as far as they are in the cache.

    Attributes
    ----------
    missing
        The inputs that are left to compute; `None` if there are none.
    n_cached
        How many rows come from the cache.
    """

    def __init__(self, store: EmbeddingCache, space: Space, inputs: "CacheableCells") -> None:
        self._store, self._space = store, space
        self._keys = [content_key(content) for content in inputs.contents()]
        is_cached, cached = store.get(space, self._keys)
        self._rows = np.empty((len(inputs), space.embedding_dim), dtype=np.float32)
        self._rows[is_cached] = cached
        self._missing: IntArray = np.flatnonzero(~is_cached)
        self.missing = inputs.take(self._missing) if self._missing.size else None
        self.n_cached = len(self._rows) - self._missing.size

    def complete(self, computed: "FloatArray | None") -> "FloatArray":
        """All rows; computed ones are added to the cache."""
        if computed is not None:
            self._rows[self._missing] = computed
            self._store.put(self._space, [self._keys[row] for row in self._missing], self._rows[self._missing])
        return self._rows
