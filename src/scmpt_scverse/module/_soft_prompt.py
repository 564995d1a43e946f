"""Cells as a soft prompt of a language model: a trained map, and LoRA for the otherwise frozen model."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from scmpt_scverse._checks import check_number, check_positive, check_seed
from scmpt_scverse._optional import import_optional

if TYPE_CHECKING:
    from torch import Tensor

#: LoRA alpha divided by the rank: in the code of the paper, 32 for rank 8.
_LORA_SCALE = 4


@dataclass(frozen=True)
class WriterOptions:
    """How a language model is taught to describe cells.

    Attributes
    ----------
    n_tokens
        Number of soft-prompt tokens per cell.
    lora_rank
        Rank of the LoRA adapter of the language model, which needs the extra `generate`; 0 leaves the model frozen.
    max_epochs
        Passes over the training cells.
    batch_size
        Pairs of cells and texts per step.
    cells_per_text
        Most training cells for each text and study.
    max_tokens
        Most tokens of a text in training, and to write.
    lr
        Highest learning rate.
    seed
        Seed of initial weights, and of the choice and order of cells.

    Raises
    ------
    ValueError
        One is out of range.
    """

    n_tokens: int = 8
    lora_rank: int = 0
    max_epochs: int = 3
    batch_size: int = 16
    cells_per_text: int = 300
    max_tokens: int = 96
    lr: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_tokens", "max_epochs", "batch_size", "cells_per_text", "max_tokens"):
            check_positive(getattr(self, name), name)
        if self.lora_rank != 0:
            check_positive(self.lora_rank, "lora_rank")
        check_seed(self.seed)
        check_number(self.lr, "lr", above=0)


class SoftPrompt(nn.Module):
    """Maps vectors of cells to input embeddings of a language model: layer normalisation, then a linear map.

    Parameters
    ----------
    dim
        Width of a vector.
    width
        Width of the input embeddings of the language model.
    n_tokens
        Tokens per vector.
    """

    def __init__(self, dim: int, width: int, n_tokens: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, n_tokens * width)
        self.dim, self.width = dim, width

    @torch.no_grad()
    def start_like(self, embeddings: "Tensor") -> None:
        """Initialise so that outputs have the mean and spread of the language model's `(n_words, width)`."""
        words = embeddings.detach().float().cpu()
        nn.init.normal_(self.linear.weight, std=float(words.std()) / self.linear.in_features**0.5)
        self.linear.bias.copy_(words.mean(dim=0).repeat(self.linear.out_features // self.width))

    def forward(self, vectors: "Tensor") -> "Tensor":
        """From `(n_cells, dim)`, or several vectors per cell, to `(n_cells, n_tokens, width)`."""
        return self.linear(self.norm(vectors)).reshape(len(vectors), -1, self.width)


@contextmanager
def adapted(network: Any, rank: int, weights: "Mapping[str, Tensor] | None" = None) -> Iterator[Any]:
    """A language model with frozen weights and, for a rank above 0, LoRA; it is restored afterwards.

    Parameters
    ----------
    network
        A causal language model of transformers.
    rank
        See :class:`WriterOptions`.
    weights
        LoRA weights from :func:`adapter_weights`; `None` initialises them.

    Raises
    ------
    ImportError
        The rank is above 0 and the extra `generate` is not installed.
    """
    peft: Any = check_adapter(rank)
    learned = [each for each in network.parameters() if each.requires_grad]
    network.requires_grad_(False)
    try:
        if not rank:
            yield network
            return
        config = peft.LoraConfig(
            r=rank,
            lora_alpha=_LORA_SCALE * rank,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():  # peft transposes matrices by itself where needed
            warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")
            warnings.simplefilter("ignore", FutureWarning)  # peft reads attributes that transformers has renamed
            with_lora = peft.get_peft_model(network, config)
        try:
            if weights is not None:
                peft.set_peft_model_state_dict(with_lora, dict(weights))
            yield with_lora
        finally:
            with_lora.unload()
    finally:
        for each in learned:
            each.requires_grad_(True)


def check_adapter(rank: int) -> Any:
    """The package peft if the rank is above 0; `ImportError` if it is not installed."""
    return import_optional("peft", extra="generate", purpose="LoRA (`lora_rank` above 0)") if rank else None


def adapter_weights(network: Any, rank: int) -> "dict[str, Tensor]":
    """LoRA weights of a network from :func:`adapted`, on the CPU; empty for rank 0."""
    if not rank:
        return {}
    found = check_adapter(rank).get_peft_model_state_dict(network)
    return {name: values.detach().cpu().clone() for name, values in found.items()}
