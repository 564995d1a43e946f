"""A tiny language model scores labels, offline and end to end."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests._llm import request_about

from scmpt_scverse import llm


@pytest.fixture
def client(language_model: Path) -> llm.TransformersClient:
    return llm.TransformersClient(language_model, precision="float32", device="cpu")


@pytest.mark.parametrize("normalisation", ["mean", "sum"])
def test_scores_are_the_log_likelihoods_of_the_labels(language_model: Path, normalisation: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    client = llm.get(
        "transformers", model=language_model, normalisation=normalisation, precision="float32", device="cpu"
    )
    request = request_about(client)
    ((_, answer),) = client.answer([request])
    # The same, label by label, in the simplest way.
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(language_model),
        AutoTokenizer.from_pretrained(language_model),
    )
    prompt = tokenizer("\n\n".join(message.content for message in request.messages) + "\n\nLabel:")["input_ids"]
    scores = []
    for label in request.candidates:
        ids = tokenizer(f" {label}")["input_ids"]
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
        each = [float(logits[len(prompt) + place - 1, token]) for place, token in enumerate(ids)]
        scores.append(np.mean(each) if normalisation == "mean" else np.sum(each))
    expected = np.exp(scores) / np.exp(scores).sum()
    assert answer.probabilities == pytest.approx(expected, abs=1e-5)
    assert answer.input_tokens == len(prompt) == client.count_tokens(request)


def test_chat_template_is_used(language_model: Path, tmp_path: Path) -> None:
    chat = tmp_path / "chat"
    shutil.copytree(language_model, chat)
    template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[me]{% endif %}"
    )
    (chat / "chat_template.jinja").write_text(template)
    client = llm.TransformersClient(chat, precision="float32")
    request = request_about(client)
    system, user = (message.content for message in request.messages)
    assert client.count_tokens(request) == len(f"[system]{system}[user]{user}[me]".encode())
    ((_, answer),) = client.answer([request])
    assert answer.status == "answered"
    assert client.model != llm.TransformersClient(language_model).model


def test_identity_follows_the_weights_and_not_the_place(language_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "tiny"
    shutil.copytree(language_model, copy)
    assert llm.TransformersClient(copy).model == llm.TransformersClient(language_model).model
    weights = load_file(copy / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, copy / "model.safetensors", {"format": "pt"})
    assert llm.TransformersClient(copy).model != llm.TransformersClient(language_model).model


def test_prompt_longer_than_the_model_reads(client: llm.TransformersClient) -> None:
    request = request_about(client, context="x" * 4000)
    with pytest.raises(ValueError, match=r"The prompt has \d+ tokens and 'tiny@.*' reads 4096. Show fewer genes"):
        list(client.answer([request]))


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Expected a language model in the folder 'nobody/nothing' or by that hub id"):
        llm.TransformersClient("nobody/nothing")
    with pytest.raises(ValueError, match="Unknown `normalisation='median'`"):
        llm.TransformersClient(tmp_path, normalisation="median")  # type: ignore[arg-type]


def test_pickles_without_weights(client: llm.TransformersClient) -> None:
    request = request_about(client)
    expected = list(client.answer([request]))
    stored = pickle.dumps(client)
    assert len(stored) < 2000
    assert list(pickle.loads(stored).answer([request])) == expected
