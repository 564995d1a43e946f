"""A writer on arrays: it learns whose text is whose, writes it word by word, and is saved."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from scmpt_scverse.module import CellWriter, DescribedCells, Frame, TrainingRun, WriterOptions
from scmpt_scverse.module._describe_loss import opening, padded, token_losses

N_WORDS, DIM, END = 20, 3, 19
TEXTS = [[5, 6, 7, END], [9, 10, END]]
FRAME = Frame([1, 2], [3])
OPTIONS = WriterOptions(n_tokens=2, max_epochs=40, batch_size=16, max_tokens=6, lr=5e-2)


@pytest.fixture(scope="module")
def network() -> Any:
    """Of random words: with a prompt alone, it can say one text or another after it has been taught both."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=N_WORDS, n_positions=32, n_embd=16, n_layer=1, n_head=2)
    model = GPT2LMHeadModel(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    ids = torch.tensor([[1, 2, word, word, 3, *text, *[END] * (4 - len(text))] for word, text in enumerate(TEXTS, 11)])
    for _ in range(150):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    return model.eval()


def cells(n: int = 35) -> DescribedCells:
    codes = np.arange(n) % 2
    vectors = np.random.default_rng(0).normal(size=(n, DIM)) * 0.2
    vectors[np.arange(n), codes] += 2
    return DescribedCells(vectors.astype(np.float32), codes, np.zeros(n, dtype=int), TEXTS)


@pytest.fixture(scope="module")
def writer(network: Any) -> CellWriter:
    return CellWriter.fit(cells(), network, FRAME, OPTIONS, run=TrainingRun("cpu"))


def test_it_learns_and_writes_the_text_of_each_cell(writer: CellWriter, network: Any) -> None:
    assert len(writer.losses) == 40 * 3  # three steps of at most 16 for 35 cells
    assert writer.losses[-10:].mean() < writer.losses[:10].mean() / 2
    with writer.adapted(network) as with_adapter:
        for row in range(4):
            text = TEXTS[row % 2]
            assert writer.continued(with_adapter, cells().vectors[row], text[:1], END) == text[1:-1]


def test_losses_are_those_of_each_pair_batch_after_batch(writer: CellWriter, network: Any) -> None:
    vectors = cells(65).vectors
    tokens = [TEXTS[row % 3 // 2] for row in range(65)]
    found = writer.losses_of(network, vectors, tokens)
    assert found.shape == (65,)
    with torch.no_grad():
        before = opening(network, writer.prompt, torch.from_numpy(vectors), FRAME)
        expected = torch.cat([token_losses(network, before[[row]], *padded([tokens[row]])) for row in range(65)])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    assert len(writer.losses_of(network, vectors[:1], tokens[:1])) == 1


def test_the_most_probable_word_is_taken_up_to_the_end_or_the_longest_text(writer: CellWriter, network: Any) -> None:
    vector = cells().vectors[0]

    def by_hand(begun: list[int], n: int) -> list[int]:
        found: list[int] = []
        with torch.no_grad():
            before = opening(network, writer.prompt, torch.from_numpy(vector[None]), FRAME)
            for _ in range(n):
                words = network.get_input_embeddings()(torch.tensor([[*begun, *found]]))
                found.append(int(network(inputs_embeds=torch.cat([before, words], dim=1)).logits[0, -1].argmax()))
        return found

    never = 0
    for begun in ([5], [9, 10], [17]):
        expected = by_hand(begun, 6)
        assert never not in expected
        assert writer.continued(network, vector, begun, never) == expected
        at = expected[2]
        assert writer.continued(network, vector, begun, at) == expected[: expected.index(at)]
    short = replace(writer, options=replace(OPTIONS, max_tokens=2))
    assert short.continued(network, vector, [5], never) == by_hand([5], 2)


def test_words_are_drawn_among_the_most_probable_ones(writer: CellWriter, network: Any) -> None:
    """Those that have nine tenths of the probability together, and in proportion to it."""
    one = replace(writer, options=replace(OPTIONS, max_tokens=1))
    vector, begun = cells().vectors[0], [17]
    with torch.no_grad():
        before = opening(network, writer.prompt, torch.from_numpy(vector[None]), FRAME)
        words = network.get_input_embeddings()(torch.tensor([begun]))
        shares = network(inputs_embeds=torch.cat([before, words], dim=1)).logits[0, -1].softmax(dim=0)
    order = shares.argsort(descending=True)
    n_kept = int((shares[order].cumsum(dim=0) < 0.9).sum()) + 1
    assert 1 < n_kept < 10
    state = torch.get_rng_state()
    drawn = [one.continued(network, vector, begun, 0, seed=seed) for seed in range(200)]
    assert torch.equal(torch.get_rng_state(), state)
    found = np.bincount([word for words in drawn for word in words], minlength=N_WORDS) / 200
    assert set(np.flatnonzero(found)) == set(order[:n_kept].tolist())
    kept = torch.zeros(N_WORDS)
    kept[order[:n_kept]] = shares[order[:n_kept]] / shares[order[:n_kept]].sum()
    np.testing.assert_allclose(found, kept, atol=0.12)
    assert drawn[:20] == [one.continued(network, vector, begun, 0, seed=seed) for seed in range(20)]


def test_the_same_seed_gives_the_same_writer_which_is_saved_whole(writer: CellWriter, network: Any) -> None:
    few = replace(OPTIONS, max_epochs=1)
    state = torch.get_rng_state()
    first, again, other = (
        CellWriter.fit(cells(), network, FRAME, replace(few, seed=seed), run=TrainingRun("cpu")) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(first.losses, again.losses)
    assert not np.allclose(first.losses, other.losses)
    opened = CellWriter.from_saved(
        writer.arrays(), writer.state() | {"options": {**writer.state()["options"], "new": 1}}
    )
    assert (opened.options, opened.frame) == (writer.options, writer.frame)
    np.testing.assert_array_equal(opened.losses, writer.losses)
    tokens = [TEXTS[row % 2] for row in range(35)]
    expected = writer.losses_of(network, cells().vectors, tokens)
    np.testing.assert_array_equal(opened.losses_of(network, cells().vectors, tokens), expected)
    half = {name: np.asarray(values, dtype=np.float16) for name, values in writer.arrays().items()}
    from_half = CellWriter.from_saved(half, writer.state())
    assert from_half.prompt.linear.weight.dtype == torch.float32
    np.testing.assert_allclose(from_half.losses_of(network, cells().vectors, tokens), expected, atol=0.05)


@pytest.mark.parametrize("other", [{"fingerprint": "b"}, {"frame": Frame([1], [3])}, {"cells": cells(34)}])
def test_a_training_of_something_else_does_not_go_on(other: dict[str, Any], network: Any, tmp_path: Path) -> None:
    given = {"cells": cells(), "network": network, "frame": FRAME, "fingerprint": "a"}
    few, run = replace(OPTIONS, max_epochs=1), TrainingRun("cpu", folder=tmp_path)
    CellWriter.fit(**given, options=few, run=run)
    with pytest.raises(ValueError, match="an interrupted run with other data or options"):
        CellWriter.fit(**{**given, **other}, options=few, run=run)
