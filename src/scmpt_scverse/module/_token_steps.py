"""Training steps of a network from cells to texts: cells of every study, some of their genes, and their texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import IterableDataset

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.module._cell_tokens import CellTokens
    from scmpt_scverse.module._qformer import QFormerOptions


@dataclass(frozen=True)
class TokenStudy:
    """Labelled cells of one study as tokens.

    Attributes
    ----------
    tokens
        Tokens of the cells.
    codes
        Label code of each cell, -1 for none, shape `(n_cells,)`.
    types
        Type of each label, an index of its text, shape `(n_labels,)`.
    """

    tokens: "CellTokens"
    codes: "IntArray"
    types: "IntArray"


class TokenStep(NamedTuple):
    """The data of one step: cells, and distinct texts, each of which describes some of them."""

    tokens: "Tensor"  # (n_cells, n_tokens, token_dim)
    is_token: "Tensor"  # (n_cells, n_tokens)
    positives: "Tensor"  # (n_cells,): the text of each cell, among those below
    types: "Tensor"  # (n_texts,): among all types
    wordings: "Tensor"  # (n_texts,)


class TokenSteps(IterableDataset[TokenStep]):
    """Endless steps with their own random generator: labels of each study evenly, cells per label, genes per cell."""

    def __init__(self, studies: Sequence[TokenStudy], n_wordings: int, options: "QFormerOptions") -> None:
        self._studies, self._n_wordings, self._options = studies, n_wordings, options
        #: For each study, its labels that have cells: type and rows.
        self._labels = [
            [(int(type_), rows) for code, type_ in enumerate(study.types) if len(rows := _rows(study, code))]
            for study in studies
        ]
        #: Types that some cell has.
        self.types = sorted({type_ for labels in self._labels for type_, _ in labels})

    def __iter__(self) -> Iterator[TokenStep]:
        n_cells, n_genes = self._options.cells_per_step, self._options.n_genes
        rng = np.random.default_rng(self._options.seed)
        while True:
            parts, types = [], []
            for study, labels in zip(self._studies, self._labels, strict=True):
                drawn = [labels[label] for label in rng.permutation(len(labels))[:n_cells]]
                n_each = max(1, n_cells // max(1, len(labels)))
                chosen = [rng.choice(rows, min(len(rows), n_each), replace=False) for _, rows in drawn]
                parts += [study.tokens.padded(rows, n_genes, rng) for rows in chosen]
                types += [np.full(len(rows), type_) for (type_, _), rows in zip(drawn, chosen, strict=True)]
            distinct, positives = np.unique(np.concatenate(types), return_inverse=True)
            yield TokenStep(
                *_joined(parts),
                torch.from_numpy(positives),
                torch.from_numpy(distinct),
                torch.from_numpy(rng.integers(0, self._n_wordings, len(distinct))),
            )


def _rows(study: TokenStudy, code: int) -> "IntArray":
    """Rows of the cells of a label that have tokens."""
    return np.flatnonzero((study.codes == code) & study.tokens.has_tokens)


def _joined(parts: "Sequence[tuple[Tensor, Tensor]]") -> "tuple[Tensor, Tensor]":
    """Padded tokens of several groups of cells, padded to the longest."""
    width = max(is_token.shape[1] for _, is_token in parts)
    return (
        torch.cat([functional.pad(values, (0, 0, 0, width - values.shape[1])) for values, _ in parts]),
        torch.cat([functional.pad(is_token, (0, width - is_token.shape[1])) for _, is_token in parts]),
    )
