"""Training of a soft prompt: next-token loss on the texts of cells, and how pairs of cells and texts are drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import IterableDataset

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.module._soft_prompt import SoftPrompt, WriterOptions

#: In this share of pairs, the vector is that of one cell; in the others, the mean of up to so many cells of the same
#: text and study, since clusters are described, too.
_SINGLE_SHARE, _MAX_GROUP = 0.5, 32


@dataclass(frozen=True)
class DescribedCells:
    """Cells and their texts, to train a writer on.

    Attributes
    ----------
    vectors
        Vectors of the cells, shape `(n_cells, dim)`.
    texts
        Index of each cell's text, shape `(n_cells,)`.
    studies
        Study of each cell, shape `(n_cells,)`; cells are averaged within a study only.
    tokens
        Token ids of each text.
    """

    vectors: "FloatArray"
    texts: "IntArray"
    studies: "IntArray"
    tokens: Sequence[Sequence[int]]


class Frame(NamedTuple):
    """Token ids before and after the soft prompt of a cell; the text follows."""

    before: list[int]
    after: list[int]


class PairStep(NamedTuple):
    """What one step sees."""

    vectors: "Tensor"  # (n_pairs, dim)
    tokens: "Tensor"  # (n_pairs, n_tokens)
    is_token: "Tensor"  # (n_pairs, n_tokens)


def padded(tokens: Sequence[Sequence[int]]) -> "tuple[Tensor, Tensor]":
    """Padded token ids `(n_texts, n_tokens)`, and a mask that is false for padding."""
    lengths = torch.tensor([len(each) for each in tokens])
    is_token = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.zeros(is_token.shape, dtype=torch.int64)
    ids[is_token] = torch.tensor([token for each in tokens for token in each])
    return ids, is_token


def opening(network: Any, prompt: "SoftPrompt", vectors: "Tensor", frame: Frame) -> "Tensor":
    """Embeddings of everything before the text, `(n_cells, n_before, width)`."""
    embed = network.get_input_embeddings()
    words = prompt(vectors)

    def of_ids(ids: list[int]) -> "Tensor":
        tokens = torch.tensor(ids, dtype=torch.int64, device=words.device)
        return embed(tokens).expand(len(vectors), -1, -1)

    return torch.cat([of_ids(frame.before), words.to(embed.weight.dtype), of_ids(frame.after)], dim=1)


def token_losses(network: Any, before: "Tensor", tokens: "Tensor", is_token: "Tensor") -> "Tensor":
    """Mean cross-entropy of the tokens of each text, given the tokens before them, shape `(n_pairs,)`."""
    inputs = torch.cat([before, network.get_input_embeddings()(tokens)], dim=1)
    mask = torch.cat([is_token.new_ones(before.shape[:2]), is_token], dim=1)
    output = network(inputs_embeds=inputs, attention_mask=mask.long(), use_cache=False)
    logits = output.logits[:, before.shape[1] - 1 : -1].float()
    losses = functional.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")
    mean: Tensor = (losses * is_token).sum(dim=1) / is_token.sum(dim=1)
    return mean


class DescribeLoss(nn.Module):
    """Mean cross-entropy of the texts of cells; see :class:`scmpt_scverse.module.Trainable`.

    Parameters
    ----------
    prompt
        The soft prompt to train.
    network
        The language model; at most LoRA weights are trained.
    frame
        See :class:`Frame`.
    """

    def __init__(self, prompt: "SoftPrompt", network: Any, frame: Frame) -> None:
        super().__init__()
        self.prompt, self.network, self._frame = prompt, network, frame

    def training_loss(self, batch: PairStep) -> "Tensor":
        """The loss of one step."""
        before = opening(self.network, self.prompt, batch.vectors, self._frame)
        return token_losses(self.network, before, batch.tokens, batch.is_token).mean()

    def validation_metrics(self, batch: PairStep) -> "dict[str, Tensor]":
        """Nothing: held-out pairs are scored by :meth:`CellWriter.losses_of`."""
        return {}

    def n_cells(self, batch: PairStep) -> int:
        """See :class:`scmpt_scverse.module.Trainable`."""
        return len(batch.vectors)


class PairSteps(IterableDataset[PairStep]):
    """Endless steps, pass after pass over the cells, with their own random generator."""

    def __init__(self, cells: DescribedCells, options: "WriterOptions") -> None:
        self._cells, self._options = cells, options
        keys = np.stack([cells.studies, cells.texts], axis=1)
        _, self._group = np.unique(keys, axis=0, return_inverse=True)
        self._group = self._group.reshape(-1)
        self._members = [np.flatnonzero(self._group == group) for group in range(self._group.max() + 1)]

    @property
    def n_per_epoch(self) -> int:
        """Steps per pass over the cells."""
        return -(-len(self._cells.vectors) // self._options.batch_size)

    def __iter__(self) -> Iterator[PairStep]:
        rng, cells = np.random.default_rng(self._options.seed), self._cells
        while True:
            order = rng.permutation(len(cells.vectors))
            for start in range(0, len(order), self._options.batch_size):
                rows = order[start : start + self._options.batch_size]
                vectors = np.stack([self._vector(row, rng) for row in rows])
                yield PairStep(torch.from_numpy(vectors), *padded([cells.tokens[cells.texts[row]] for row in rows]))

    def _vector(self, row: int, rng: np.random.Generator) -> "FloatArray":
        """Vector of a cell, or the mean of it and others."""
        vector: FloatArray = self._cells.vectors[row]
        if rng.random() < _SINGLE_SHARE:
            return vector
        members = self._members[self._group[row]]
        others = rng.choice(members, rng.integers(1, _MAX_GROUP))
        return np.asarray(self._cells.vectors[[row, *others]].mean(axis=0))
