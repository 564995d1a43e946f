"""The bar tells the truth about speed, whatever came from the cache."""

import re
from collections.abc import Generator

import numpy as np
import pytest

from scmpt_scverse.streaming._embed_chunks import EmbeddedChunk, rows_with_bar


def chunks_of(clock: list[float], parts: list[tuple[int, float]]) -> Generator[EmbeddedChunk]:
    """Chunks of 100 cells: how many came from the cache, and seconds that the others took."""
    for n_cached, seconds in parts:
        clock[0] += seconds
        yield EmbeddedChunk(np.zeros((100, 2), dtype=np.float32), n_cached)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # The last chunk is given out and not counted yet: 200 cells in 6 s.
        ([(0, 2.0), (0, 2.0), (0, 2.0)], "20%|██        | 200/1000 [00:06<00:24, 33.33 cells/s]"),
        # Of 300 cells, 50 were computed, in 10 s; 700 are left.
        (
            [(100, 0.0), (100, 0.0), (50, 5.0), (0, 5.0)],
            "30%|███       | 300/1000 [00:10<02:20,  5.00 cells/s, 250 from the cache]",
        ),
    ],
)
def test_cells_per_second_and_time_left(
    parts: list[tuple[int, float]], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])

    bar = rows_with_bar(chunks_of(clock, parts), 1000, "mine", progress=True)
    for _ in parts:
        next(bar)
    bar.close()  # draws the bar as it stands

    assert re.split(r"[\r\n]+", capsys.readouterr().err.strip())[-1] == f"Embedding with mine:  {expected}"
