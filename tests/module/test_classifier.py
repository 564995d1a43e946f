"""Cells pass by in minibatches and blocks, in order, however many there are."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scmpt_scverse.module import in_batches
from scmpt_scverse.module._classifier import in_blocks

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("n_obs", "batch_size", "sizes"),
    [(0, 4, [0]), (1, 4, [1]), (4, 4, [4]), (5, 4, [4, 1]), (9, None, [9]), (4097, None, [4096, 1])],
)
def test_batches_of_the_asked_size_in_order(n_obs: int, batch_size: int | None, sizes: list[int]) -> None:
    values = np.arange(2.0 * n_obs, dtype=np.float32).reshape(n_obs, 2)
    seen = []

    def function(tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        seen.append(len(tensors["a"]))
        assert torch.is_inference_mode_enabled()
        return tensors["a"] + 1, tensors["b"].sum(dim=1, dtype=torch.float64)

    one, other = in_batches(function, {"a": values, "b": 2 * values}, CPU, batch_size)
    np.testing.assert_array_equal(one, values + 1)
    np.testing.assert_array_equal(other, 2 * values.sum(axis=1))
    assert one.dtype == other.dtype == np.float32
    assert seen == sizes


def test_blocks_are_the_chosen_rows_in_order() -> None:
    values = np.arange(5000.0)[:, None]
    rows = np.random.default_rng(0).permutation(5000)[:4097]
    blocks = list(in_blocks(values, rows, CPU))
    assert [len(each) for each in blocks] == [2048, 2048, 1]
    np.testing.assert_array_equal(torch.cat(blocks)[:, 0], rows)
    assert list(in_blocks(values, rows[:0], CPU)) == []
