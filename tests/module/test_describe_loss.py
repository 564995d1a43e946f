"""What a soft prompt learns by, against what transformers computes, and how pairs are drawn."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from scmpt_scverse.module import WriterOptions
from scmpt_scverse.module._describe_loss import (
    DescribedCells,
    DescribeLoss,
    Frame,
    PairStep,
    PairSteps,
    opening,
    padded,
    token_losses,
)
from scmpt_scverse.module._soft_prompt import SoftPrompt

N_WORDS, DIM, WIDTH = 20, 3, 8
TEXTS = [[5, 6, 7, 8], [9, 10]]


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=N_WORDS, n_positions=32, n_embd=WIDTH, n_layer=1, n_head=2)
    return GPT2LMHeadModel(config).eval()


def test_the_loss_of_a_text_is_that_of_the_language_model(network: Any) -> None:
    frame, vectors = Frame([1, 2], [3]), torch.randn(2, DIM, generator=torch.Generator().manual_seed(0))
    prompt = SoftPrompt(DIM, WIDTH, 2)
    with torch.no_grad():
        before = opening(network, prompt, vectors, frame)
        losses = token_losses(network, before, *padded(TEXTS))
        embed = network.get_input_embeddings()
        for row, text in enumerate(TEXTS):  # one at a time, without padding; -100 is what transformers leaves out
            words = torch.cat([embed(torch.tensor([1, 2])), prompt(vectors)[row], embed(torch.tensor([3]))])
            inputs = torch.cat([words, embed(torch.tensor(text))])[None]
            expected = network(inputs_embeds=inputs, labels=torch.tensor([[-100] * 5 + text])).loss
            assert losses[row].item() == pytest.approx(expected.item(), rel=1e-5)


def test_it_begins_with_words_like_those_of_the_language_model(network: Any) -> None:
    words = network.get_input_embeddings().weight.detach()
    prompt = SoftPrompt(64, WIDTH, 50)
    torch.manual_seed(0)
    prompt.start_like(words)
    with torch.no_grad():
        first = prompt(torch.randn(40, 64))
    assert first.shape == (40, 50, WIDTH)
    assert torch.allclose(first.mean(dim=(0, 1)), words.mean(dim=0), atol=0.1 * float(words.std()))
    assert first.std(dim=(0, 1)).mean().item() == pytest.approx(float(words.std()), rel=0.2)


def test_a_cell_stands_for_itself_or_for_cells_of_its_text_and_study() -> None:
    rng = np.random.default_rng(0)
    texts, studies = np.repeat([0, 1], 20), np.tile([0, 1], 20)
    vectors = (rng.random((40, 1)) * 0.5 + (2 * texts + studies)[:, None]).astype(np.float32)  # four disjoint ranges
    options = WriterOptions(batch_size=8, seed=0)
    steps = PairSteps(DescribedCells(vectors, texts, studies, TEXTS), options)

    assert steps.n_per_epoch == 5
    drawn = list(islice(steps, 2 * steps.n_per_epoch))
    seen = torch.cat([step.vectors for step in drawn]).numpy().ravel()
    lengths = torch.cat([step.is_token.sum(dim=1) for step in drawn]).numpy()
    assert np.bincount(seen.astype(int)).tolist() == [20] * 4  # each cell once in a pass, within its group
    assert (lengths == [len(TEXTS[int(value) // 2]) for value in seen]).all()
    share = np.isin(seen, vectors).mean()
    assert 0.3 < share < 0.7
    again = next(iter(PairSteps(DescribedCells(vectors, texts, studies, TEXTS), options)))
    assert torch.equal(again.vectors, drawn[0].vectors)


def test_a_mean_is_of_the_cell_and_of_up_to_31_others() -> None:
    """Each cell is a unit vector, so that a mean tells of whom it is; others may be drawn twice."""
    cells = DescribedCells(np.eye(200, dtype=np.float32), np.zeros(200, int), np.zeros(200, int), TEXTS)
    steps = islice(PairSteps(cells, WriterOptions(batch_size=200)), 10)
    vectors = torch.cat([step.vectors for step in steps])
    torch.testing.assert_close(vectors.sum(dim=1), torch.ones(2000))
    sizes = (1 / vectors.where(vectors > 0, 1).amin(dim=1)).round().long()
    assert (int(sizes.min()), int(sizes.max())) == (1, 32)
    assert (sizes == 1).float().mean().item() == pytest.approx(0.5, abs=0.04)
    several = sizes[sizes > 1]
    assert several.float().mean().item() == pytest.approx((2 + 32) / 2, abs=1)
    counts = vectors * sizes[:, None]
    torch.testing.assert_close(counts, counts.round(), atol=1e-3, rtol=0)


def test_a_pass_shows_each_cell_once_the_last_step_fewer() -> None:
    cells = DescribedCells(np.eye(9, dtype=np.float32), np.arange(9) % 2, np.arange(9), TEXTS)  # each its own study
    steps = PairSteps(cells, WriterOptions(batch_size=4))
    assert steps.n_per_epoch == 3
    assert PairSteps(cells, WriterOptions(batch_size=3)).n_per_epoch == 3
    assert PairSteps(cells, WriterOptions(batch_size=9)).n_per_epoch == 1
    drawn = list(islice(steps, 6))
    assert [len(step.vectors) for step in drawn] == [4, 4, 1] * 2
    orders = torch.cat([step.vectors for step in drawn]).argmax(dim=1).view(2, 9)
    assert orders.sort(dim=1).values.tolist() == [list(range(9))] * 2
    assert orders[0].tolist() != orders[1].tolist()


def test_texts_are_padded_to_the_longest() -> None:
    ids, is_token = padded([[5, 6, 7], [9]])
    assert ids.tolist() == [[5, 6, 7], [9, 0, 0]]
    assert is_token.tolist() == [[True] * 3, [True, False, False]]


def test_a_step_costs_the_mean_of_its_texts(network: Any) -> None:
    frame, prompt = Frame([1], []), SoftPrompt(DIM, WIDTH, 2)
    step = PairStep(torch.randn(2, DIM), *padded(TEXTS))
    loss = DescribeLoss(prompt, network, frame)
    with torch.no_grad():
        each = token_losses(network, opening(network, prompt, step.vectors, frame), step.tokens, step.is_token)
        torch.testing.assert_close(loss.training_loss(step), each.mean())
    assert loss.n_cells(step) == 2
    assert loss.validation_metrics(step) == {}
