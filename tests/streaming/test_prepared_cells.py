"""Cells are prepared in order, and ahead of a GPU."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from anndata import AnnData

from scmpt_scverse.pp import ExpressionReader
from scmpt_scverse.streaming import _embed_chunks
from scmpt_scverse.streaming._embed_chunks import prepared_cells


class Names:
    """Prepares nothing but remembers in which thread."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def prepare(self, expression: Any) -> float:
        self.threads.append(threading.current_thread().name)
        return float(expression.matrix.sum())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_chunks_keep_their_order(pbmc: AnnData, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_embed_chunks, "_CPU_CHUNK_SIZE", 50)
    monkeypatch.setattr(_embed_chunks, "_DEVICE_CHUNK_SIZE", 50)
    encoder = Names()
    found = list(prepared_cells(ExpressionReader(pbmc), encoder, torch.device(device)))  # type: ignore[arg-type]
    matrix = ExpressionReader(pbmc).rows(0, pbmc.n_obs).matrix
    np.testing.assert_allclose(found, [matrix[start : start + 50].sum() for start in range(0, 700, 50)], rtol=1e-4)
    in_main = [name == threading.main_thread().name for name in encoder.threads]
    assert all(in_main) if device == "cpu" else not any(in_main)


def test_what_goes_wrong_in_a_thread_is_raised(pbmc: AnnData) -> None:
    class Failing:
        def prepare(self, expression: Any) -> None:
            raise ValueError("no cell can be read")

    with pytest.raises(ValueError, match="no cell can be read"):
        next(prepared_cells(ExpressionReader(pbmc), Failing(), torch.device("cuda")))  # type: ignore[arg-type]
