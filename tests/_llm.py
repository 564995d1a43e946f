"""The chat server of the tests, a tiny language model, and requests to ask them."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scmpt_scverse import llm
from scmpt_scverse.llm._prompt import build_request

KEY = "sk-a-very-secret-key"
LABELS = ("B cell", "T cell", "monocyte")
GENES = ("MS4A1", "CD79A", "CD74")


@dataclass(frozen=True)
class ChatServer:
    """A running server."""

    address: str

    def client(self, model: str = "good", **options: Any) -> llm.OpenAICompatibleClient:
        """A client of it that gives up soon."""
        options = {"api_key": KEY, "max_retries": 1, "timeout": 20.0, **options}
        return llm.OpenAICompatibleClient(model, base_url=f"{self.address}/v1", **options)

    def received(self) -> list[dict[str, Any]]:
        """All requests since the last :meth:`forget`: path, headers, and the bytes as text."""
        with urllib.request.urlopen(f"{self.address}/log") as response:
            log: list[dict[str, Any]] = json.load(response)["received"]
        return log

    def bodies(self) -> list[dict[str, Any]]:
        """Their bodies."""
        return [json.loads(one["raw"]) for one in self.received()]

    def forget(self) -> None:
        """Forget what was received."""
        urllib.request.urlopen(urllib.request.Request(f"{self.address}/log", method="DELETE")).close()


@contextmanager
def running_chat_server() -> Iterator[ChatServer]:
    """A server in a process of its own, for as long as the context lasts."""
    script = Path(__file__).parent / "llm" / "_server.py"
    with subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield ChatServer(f"http://127.0.0.1:{int(process.stdout.readline())}")
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


def request_about(
    client: llm.LLMClient, number: int = 0, labels: tuple[str, ...] = LABELS, **options: Any
) -> llm.Request:
    """A request; other numbers give other ones."""
    return build_request((*GENES, f"GENE{number}"), labels, instruction=client.instruction, **options)


def make_language_model(folder: Path) -> Path:
    """A causal language model of random weights and a tokenizer of bytes, as transformers saves them."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    vocabulary = {sign: index for index, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=256, n_embd=16, n_layer=2, n_head=2, n_positions=4096, bos_token_id=0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    return folder
