"""Cells as the first words of a language model: a trained map, and how a frozen model is adapted beside it."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from scmpt_scverse._checks import check_positive, check_seed
from scmpt_scverse._optional import import_optional

if TYPE_CHECKING:
    from torch import Tensor

#: What LoRA adds is multiplied by so much: in the code of the paper, 32 over a rank of 8.
_LORA_SCALE = 4


@dataclass(frozen=True)
class WriterOptions:
    """How a language model is taught to describe cells.

    Attributes
    ----------
    n_tokens
        Words that a cell is to the language model.
    lora_rank
        Rank of what is added to the weights of the language model; 0 leaves it as it is. Needs the extra `generate`.
    max_epochs
        Passes over the training cells.
    batch_size
        Pairs of cells and texts in a step.
    cells_per_text
        Cells of each text and study that are learned from, at most.
    max_tokens
        Tokens of a text that are learned, or written, at most.
    lr
        Highest learning rate.
    seed
        Of initial weights, and of the choice and order of cells.

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
        if not self.lr > 0:
            raise ValueError(f"`lr` must be above 0; found {self.lr!r}.")


class SoftPrompt(nn.Module):
    """Maps vectors of cells to words of a language model, by layer normalisation and a linear map with a bias.

    Parameters
    ----------
    dim
        Width of a vector.
    width
        Of the embeddings of the language model.
    n_tokens
        Words for each vector.
    """

    def __init__(self, dim: int, width: int, n_tokens: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, n_tokens * width)
        self.dim, self.width = dim, width

    @torch.no_grad()
    def start_like(self, embeddings: "Tensor") -> None:
        """Begin with words of the mean and spread of those of the language model, `(n_words, width)`."""
        words = embeddings.detach().float().cpu()
        nn.init.normal_(self.linear.weight, std=float(words.std()) / self.linear.in_features**0.5)
        self.linear.bias.copy_(words.mean(dim=0).repeat(self.linear.out_features // self.width))

    def forward(self, vectors: "Tensor") -> "Tensor":
        """From `(n_cells, dim)`, or several vectors of each cell, to `(n_cells, n_words, width)`."""
        return self.linear(self.norm(vectors)).reshape(len(vectors), -1, self.width)


@contextmanager
def adapted(network: Any, rank: int, weights: "Mapping[str, Tensor] | None" = None) -> Iterator[Any]:
    """A language model with frozen weights and, of rank above 0, LoRA; afterwards it is what it was.

    Parameters
    ----------
    network
        A causal language model of transformers.
    rank
        See :class:`WriterOptions`.
    weights
        Of LoRA, as :func:`adapter_weights` gives them; `None` begins anew.

    Raises
    ------
    ImportError
        The extra is not installed.
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
        with warnings.catch_warnings():  # it turns matrices by itself where a network holds them transposed
            warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")
            warnings.simplefilter("ignore", FutureWarning)  # it reads what transformers has renamed
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
    """What makes adapters, where a rank needs it; `ImportError` where it is not installed."""
    return import_optional("peft", extra="generate", purpose="LoRA (`lora_rank` above 0)") if rank else None


def adapter_weights(network: Any, rank: int) -> "dict[str, Tensor]":
    """Weights of LoRA of a network from :func:`adapted`, on the CPU; empty for rank 0."""
    if not rank:
        return {}
    found = check_adapter(rank).get_peft_model_state_dict(network)
    return {name: values.detach().cpu().clone() for name, values in found.items()}
