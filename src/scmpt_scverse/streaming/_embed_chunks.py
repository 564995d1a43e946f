"""From expression to embeddings, chunk by chunk and in order; rows in the cache are not computed again."""

import os
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from tqdm import tqdm

from scmpt_scverse._hardware import resolve_device, resolve_precision
from scmpt_scverse.encoders import CacheableCells, CachedRows, EmbeddingCache, Space
from scmpt_scverse.streaming._executors import EncodingTask, Executor

if TYPE_CHECKING:
    import torch

    from scmpt_scverse._types import FloatArray, Precision
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.pp import ExpressionReader

#: Cells per chunk: enough to sort by length, few enough to show progress with a slow encoder and to lose little when
#: killed. A GPU takes many at once.
_CPU_CHUNK_SIZE = 256
_DEVICE_CHUNK_SIZE = 1024
#: Maximum number of threads that prepare cells for a GPU; NumPy's sorting releases Python's global lock.
_MOST_THREADS = 4


@dataclass(frozen=True)
class EmbeddedChunk:
    """The embeddings of consecutive cells.

    Attributes
    ----------
    rows
        The embeddings, shape `(n_cells, embedding_dim)`.
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
    target = resolve_device(device)
    dtype = cast("Precision", str(resolve_precision(precision, target)).removeprefix("torch."))
    task = EncodingTask(encoder, batch_size, device, dtype)
    space = Space(encoder.name, encoder.fingerprint, dtype, encoder.embedding_dim)
    with closing(EmbeddingCache()) as store:
        pending: deque[_Chunk] = deque()

        def missing() -> Iterator[Any]:
            for inputs in prepared_cells(reader, encoder, target):
                if cache and isinstance(inputs, CacheableCells):
                    pending.append(_CachedChunk(CachedRows(store, space, inputs)))
                else:
                    pending.append(_Chunk(inputs))
                yield pending[-1].missing

        with closing(executor.map(task, missing())) as results:
            for computed in results:
                yield pending.popleft().complete(computed)


def rows_with_bar(
    chunks: Generator[EmbeddedChunk], n_obs: int, name: str, *, progress: bool
) -> "Generator[FloatArray]":
    """The rows of chunks, behind a progress bar with cells per second and the time left.

    Cells from the cache take almost no time; counted in the speed, they would make the time left look too short.
    """
    n_cached = 0
    # Without smoothing, the speed is that of all cells beyond `initial`.
    options = {"desc": f"Embedding with {name}", "unit": " cells", "smoothing": 0, "disable": not progress}
    with closing(chunks), tqdm(total=n_obs, **options) as bar:
        for chunk in chunks:
            yield chunk.rows
            if chunk.n_cached:
                n_cached += chunk.n_cached
                bar.initial = n_cached
                bar.set_postfix_str(f"{n_cached} from the cache", refresh=False)
            bar.update(len(chunk.rows))


def prepared_cells(reader: "ExpressionReader", encoder: "Encoder", device: "torch.device") -> Generator[Any]:
    """What the encoder reads of each chunk. For a GPU, threads prepare chunks ahead, so that it does not have to wait.

    For a CPU, chunks are not prepared ahead: that would slow down encoding.
    """
    if device.type == "cpu":
        yield from map(encoder.prepare, reader.chunks(_CPU_CHUNK_SIZE))
        return
    n_threads = min(_MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(n_threads) as threads:
        ahead: deque[Future[Any]] = deque()
        for expression in reader.chunks(_DEVICE_CHUNK_SIZE):
            ahead.append(threads.submit(encoder.prepare, expression))
            if len(ahead) > n_threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


class _Chunk:
    """Cells that must all be computed."""

    def __init__(self, inputs: Any) -> None:
        self.missing: Any = inputs  # what is left to compute; `None` if nothing is

    def complete(self, computed: "FloatArray | None") -> EmbeddedChunk:
        """All rows, from the computed ones."""
        return EmbeddedChunk(cast("FloatArray", computed), 0)


class _CachedChunk(_Chunk):
    """Cells of which some may be in the cache."""

    def __init__(self, rows: CachedRows) -> None:
        super().__init__(rows.missing)
        self._rows = rows

    def complete(self, computed: "FloatArray | None") -> EmbeddedChunk:
        """All rows; computed ones are added to the cache."""
        return EmbeddedChunk(self._rows.complete(computed), self._rows.n_cached)
