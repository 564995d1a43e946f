"""A bar that counts cells, and tells the speed of those that were computed."""

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.streaming._embed_chunks import EmbeddedChunk


def rows_with_bar(
    chunks: "Generator[EmbeddedChunk]", n_obs: int, name: str, *, progress: bool
) -> "Generator[FloatArray]":
    """The rows of chunks, with cells per second and the time left beside them.

    Cells from the cache cost next to nothing: counted as speed, they would make a resumed run promise an early end.
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
