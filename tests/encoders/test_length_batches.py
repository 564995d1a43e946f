import itertools

import numpy as np
import torch

from scmpt_scverse.encoders._packed_layers import length_batches

LENGTHS = np.random.default_rng(0).integers(0, 1200, 500)


def test_every_cell_with_tokens_is_in_one_batch_with_cells_of_its_length() -> None:
    for device, packs in (("cpu", True), ("cuda", True), ("cuda", False)):
        batches = length_batches(LENGTHS, "auto", torch.device(device), packs=packs)
        assert sorted(np.concatenate(batches)) == np.flatnonzero(LENGTHS).tolist()
    assert [len(batch) for batch in length_batches(LENGTHS, 7, torch.device("cpu"), packs=True)[:-1]] == [7] * 71


def test_what_pads_pads_little() -> None:
    batches = length_batches(LENGTHS, "auto", torch.device("cuda"), packs=False)
    padded = sum(len(batch) * LENGTHS[batch].max() for batch in batches)
    assert LENGTHS.sum() / padded > 0.95
    assert max(len(batch) * LENGTHS[batch].max() for batch in batches) <= 65536


def test_what_packs_has_full_batches() -> None:
    """A batch ends only where the next cell has no room in it."""
    batches = length_batches(LENGTHS, "auto", torch.device("cuda"), packs=True)
    n_tokens = [int(np.sum(LENGTHS[batch] + 1)) for batch in batches]
    assert max(n_tokens) <= 131_072
    for tokens, following in itertools.pairwise(range(len(batches))):
        assert n_tokens[tokens] + LENGTHS[batches[following][0]] + 1 > 131_072
    alone = length_batches(np.array([5000, 3]), "auto", torch.device("cpu"), packs=True)
    assert [batch.tolist() for batch in alone] == [[0], [1]], "a cell beyond the budget is a batch of its own"
