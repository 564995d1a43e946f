"""From expression to embeddings, chunk by chunk and in order; rows that the cache has are not computed again."""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from scmpt_scverse._hardware import resolve_device, resolve_precision
from scmpt_scverse.encoders._base import CacheableCells
from scmpt_scverse.encoders._cached_rows import CachedRows
from scmpt_scverse.encoders._embedding_cache import EmbeddingCache, Space
from scmpt_scverse.streaming._executors import EncodingTask, Executor

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, Precision
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.pp._expression import ExpressionReader

#: Cells of a chunk: enough to sort by length, few enough to see a slow encoder move and to lose little when killed.
_CHUNK_SIZE = 256


@dataclass(frozen=True)
class EmbeddedChunk:
    """Some cells that follow one another.

    Attributes
    ----------
    rows
        Their embeddings, shape `(n_cells, embedding_dim)`.
    n_cached
        How many of them came from the cache.
    """

    rows: "FloatArray"
    n_cached: int


def embed_chunks(
    reader: "ExpressionReader",
    encoder: "Encoder",
    *,
    executor: Executor,
    cache: bool,
    batch_size: "int | Literal['auto']",
    device: str,
    precision: "Precision",
) -> Generator[EmbeddedChunk]:
    """The embeddings of a reader's cells, in chunks of rows."""
    dtype = cast("Precision", str(resolve_precision(precision, resolve_device(device))).removeprefix("torch."))
    task = EncodingTask(encoder, batch_size, device, dtype)
    space = Space(encoder.name, encoder.fingerprint, dtype, encoder.embedding_dim)
    with closing(EmbeddingCache()) as store:
        under_way: deque[_Chunk] = deque()

        def missing() -> Iterator[Any]:
            for expression in reader.chunks(_CHUNK_SIZE):
                inputs = encoder.prepare(expression)
                if cache and isinstance(inputs, CacheableCells):
                    under_way.append(_CachedChunk(CachedRows(store, space, inputs)))
                else:
                    under_way.append(_Chunk(inputs))
                yield under_way[-1].missing

        with closing(executor.map(task, missing())) as results:
            for computed in results:
                yield under_way.popleft().complete(computed)


class _Chunk:
    """Cells that are all computed."""

    def __init__(self, inputs: Any) -> None:
        self.missing: Any = inputs  # what is left to compute; `None` for nothing

    def complete(self, computed: "FloatArray | None") -> EmbeddedChunk:
        """All rows, from the computed ones."""
        return EmbeddedChunk(cast("FloatArray", computed), 0)


class _CachedChunk(_Chunk):
    """Cells of which some may be in the cache."""

    def __init__(self, rows: CachedRows) -> None:
        super().__init__(rows.missing)
        self._rows = rows

    def complete(self, computed: "FloatArray | None") -> EmbeddedChunk:
        """All rows; those that were computed are in the cache from now on."""
        return EmbeddedChunk(self._rows.complete(computed), self._rows.n_cached)
