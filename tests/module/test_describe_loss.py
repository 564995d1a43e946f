"""What a soft prompt learns by, against what transformers computes, and how pairs are drawn."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from scmpt_scverse.module import WriterOptions
from scmpt_scverse.module._describe_loss import DescribedCells, Frame, PairSteps, opening, padded, token_losses
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
