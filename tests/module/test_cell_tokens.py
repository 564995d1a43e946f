from pathlib import Path

import numpy as np
import pytest
import torch

from scmpt_scverse.module import CellTokens


@pytest.fixture
def chunks() -> list[tuple[np.ndarray, np.ndarray]]:
    """Two chunks of three and two cells; the second cell has no token."""
    rng = np.random.default_rng(0)
    lengths = [np.array([4, 0, 2]), np.array([6, 1])]
    return [
        (rng.normal(size=(len(each), each.max(), 5)).astype(np.float32), np.arange(each.max()) < each[:, None])
        for each in lengths
    ]


def test_in_memory_and_on_disk_are_the_same(chunks: list[tuple[np.ndarray, np.ndarray]], tmp_path: Path) -> None:
    tokens, stored = CellTokens.of(chunks), CellTokens.write(iter(chunks), tmp_path / "tokens")
    assert tokens.indptr.tolist() == [0, 4, 4, 6, 12, 13]
    assert (len(tokens), tokens.dim) == (5, 5)
    assert tokens.values.dtype == np.float16
    assert isinstance(stored.values, np.memmap)
    for each in (stored, CellTokens.open(tmp_path / "tokens")):
        np.testing.assert_array_equal(each.values, tokens.values)
        np.testing.assert_array_equal(each.indptr, tokens.indptr)
    assert tokens.has_tokens.tolist() == [True, False, True, True, True]
    first = np.vstack([values[:, 0] for values, _ in chunks])
    np.testing.assert_allclose(tokens.first[[0, 2, 3, 4]], first[[0, 2, 3, 4]], atol=2e-3)
    assert np.isnan(tokens.first[1]).all()


def test_a_folder_that_is_not_complete_is_not_opened(
    chunks: list[tuple[np.ndarray, np.ndarray]], tmp_path: Path
) -> None:
    def interrupted() -> object:
        yield chunks[0]
        raise KeyboardInterrupt

    CellTokens.write(chunks, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        CellTokens.write(interrupted(), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        CellTokens.open(tmp_path)


def test_rows_are_padded_and_genes_are_drawn(chunks: list[tuple[np.ndarray, np.ndarray]]) -> None:
    tokens = CellTokens.of(chunks)
    values, is_token = tokens.padded(np.array([3, 2]))
    assert values.dtype == torch.float32
    assert is_token.sum(dim=1).tolist() == [6, 2]
    assert not values[1, 2:].any()
    np.testing.assert_allclose(values[0], chunks[1][0][0], atol=2e-3)
    seen = set()
    for seed in range(30):
        drawn, is_drawn = tokens.padded(np.array([3, 4]), 2, np.random.default_rng(seed))
        assert is_drawn.sum(dim=1).tolist() == [3, 1]
        assert torch.equal(drawn[0, 0], values[0, 0])  # the token of the whole cell stays
        assert torch.equal(drawn[1, 0], torch.from_numpy(tokens.first[4]))
        rows = [int((values[0] == token).all(dim=1).nonzero()) for token in drawn[0, 1:]]
        assert rows == sorted(set(rows))  # no gene twice
        seen.update(rows)
    assert seen == {1, 2, 3, 4, 5}


def test_as_many_genes_as_there_are_need_no_drawing(chunks: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """The first cell has three genes, beside the token of the whole cell."""
    tokens, rng = CellTokens.of(chunks), np.random.default_rng(0)
    state = rng.bit_generator.state
    for n_genes in (3, 4):
        assert tokens.padded(np.array([0]), n_genes, rng)[1].sum() == 4
    assert rng.bit_generator.state == state
    assert tokens.padded(np.array([0]), 2, rng)[1].sum() == 3
    assert rng.bit_generator.state != state
