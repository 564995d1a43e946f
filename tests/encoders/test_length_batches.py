import numpy as np
import torch

from scmpt_scverse.encoders._packed_layers import length_batches

LENGTHS = np.random.default_rng(0).integers(0, 1200, 500)


def test_every_cell_with_tokens_is_in_one_batch_with_cells_of_its_length() -> None:
    for device in ("cpu", "cuda"):
        batches = length_batches(LENGTHS, "auto", torch.device(device))
        assert sorted(np.concatenate(batches)) == np.flatnonzero(LENGTHS).tolist()
    assert [len(batch) for batch in length_batches(LENGTHS, 7, torch.device("cpu"))[:-1]] == [7] * 71


def test_a_gpu_pads_little() -> None:
    batches = length_batches(LENGTHS, "auto", torch.device("cuda"))
    padded = sum(len(batch) * LENGTHS[batch].max() for batch in batches)
    assert LENGTHS.sum() / padded > 0.95
    assert max(len(batch) * LENGTHS[batch].max() for batch in batches) <= 65536
