"""A language model beside which LoRA is learned, and options that cannot be meant."""

from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from scmpt_scverse.module import WriterOptions
from scmpt_scverse.module._soft_prompt import SoftPrompt, adapted, adapter_weights

N_WORDS, WIDTH = 20, 8


@pytest.fixture
def network() -> Any:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=N_WORDS, n_positions=32, n_embd=WIDTH, n_layer=1, n_head=2)
    return GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize("name", ["n_tokens", "max_epochs", "batch_size", "cells_per_text", "max_tokens"])
def test_numbers_of_things_are_at_least_one(name: str) -> None:
    WriterOptions(**{name: 1})
    with pytest.raises(ValueError, match=f"`{name}` must be a whole number of at least 1; found 0"):
        WriterOptions(**{name: 0})


def test_other_options_are_checked() -> None:
    WriterOptions(lr=1e-9, lora_rank=1, seed=0)
    for wrong, message in (
        ({"lr": 0.0}, "`lr` must be above 0; found 0.0"),
        ({"lr": float("nan")}, "`lr` must be above 0; found nan"),
        ({"lora_rank": -1}, "`lora_rank` must be a whole number of at least 1; found -1"),
        ({"seed": -1}, "`seed` must be a whole number of at least 0; found -1"),
    ):
        with pytest.raises(ValueError, match=message):
            WriterOptions(**wrong)


def test_a_vector_becomes_words_after_normalisation() -> None:
    prompt = SoftPrompt(5, WIDTH, 3)
    vectors = torch.randn(4, 5)
    with torch.no_grad():
        found = prompt(vectors)
        torch.testing.assert_close(found, prompt.linear(prompt.norm(vectors)).view(4, 3, WIDTH))
        torch.testing.assert_close(prompt(10 * vectors + 7), found, atol=1e-3, rtol=1e-3)  # whatever their unit
        several = prompt(vectors.view(2, 2, 5))
        torch.testing.assert_close(several, found.view(2, 6, WIDTH))


def test_without_a_rank_a_language_model_is_frozen_and_then_as_before(network: Any) -> None:
    network.transformer.wte.requires_grad_(False)
    before = {name: each.requires_grad for name, each in network.named_parameters()}
    assert set(before.values()) == {True, False}
    with adapted(network, 0) as frozen:
        assert frozen is network
        assert not any(each.requires_grad for each in network.parameters())
        assert adapter_weights(frozen, 0) == {}
    assert {name: each.requires_grad for name, each in network.named_parameters()} == before
    with pytest.raises(KeyError), adapted(network, 0):
        raise KeyError
    assert {name: each.requires_grad for name, each in network.named_parameters()} == before


def test_lora_adds_four_times_the_product_of_its_matrices(network: Any) -> None:
    pytest.importorskip("peft", reason="needs the extra `generate`")
    words = torch.tensor([[1, 2, 3]])
    layer = network.transformer.h[0].mlp.c_fc
    before = {name: values.clone() for name, values in network.state_dict().items()}
    with torch.no_grad():
        plain = network(words).logits
    with adapted(network, 2) as with_lora:
        learned = {name for name, each in with_lora.named_parameters() if each.requires_grad}
        assert all("lora" in name for name in learned)
        assert {name.split(".lora")[0].rsplit(".", 1)[1] for name in learned} == {"c_attn", "c_proj", "c_fc"}
        weights = adapter_weights(with_lora, 2)
        with torch.no_grad():
            torch.testing.assert_close(with_lora(words).logits, plain)  # nothing is added at first
    generator = torch.Generator().manual_seed(1)
    given = {name: torch.randn(values.shape, generator=generator) for name, values in weights.items()}
    down, up = (next(v for n, v in given.items() if "c_fc" in n and f"lora_{part}" in n) for part in "AB")
    assert (down.shape, up.shape) == ((2, WIDTH), (4 * WIDTH, 2))
    inputs = torch.randn(5, WIDTH)
    with adapted(network, 2, given) as with_lora, torch.no_grad():
        found = with_lora.base_model.model.transformer.h[0].mlp.c_fc(inputs)
        expected = inputs @ layer.weight + layer.bias + 4 * inputs @ down.T @ up.T
        torch.testing.assert_close(found, expected)
        for name, values in adapter_weights(with_lora, 2).items():
            assert torch.equal(values, given[name])
    with torch.no_grad():
        assert torch.equal(network(words).logits, plain)
    assert list(network.state_dict()) == list(before)
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
