"""Tokens of many cells, concatenated, in memory or on disk: the input of a Q-Former."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray

_VALUES, _INDEX = "tokens.f16", "index.npz"


@dataclass(frozen=True)
class CellTokens:
    """Tokens of cells; in each cell, the whole-cell token comes first.

    Attributes
    ----------
    values
        float16, shape `(n_tokens, dim)`; may be on disk, with rows read when needed.
    indptr
        Cell `i` has the tokens `indptr[i]` to `indptr[i + 1] - 1`; shape `(n_obs + 1,)`.
    """

    values: "FloatArray"
    indptr: "IntArray"

    @classmethod
    def of(cls, chunks: "Iterable[tuple[FloatArray, BoolArray]]") -> Self:
        """In memory, from chunks of padded tokens `(n_obs, n_tokens, dim)` and masks `(n_obs, n_tokens)`."""
        pairs = [(values[is_token].astype(np.float16), is_token.sum(axis=1)) for values, is_token in chunks]
        return cls(np.concatenate([rows for rows, _ in pairs]), _indptr([lengths for _, lengths in pairs]))

    @classmethod
    def write(cls, chunks: "Iterable[tuple[FloatArray, BoolArray]]", folder: Path) -> Self:
        """On disk, from chunks as for :meth:`of`, with one in memory at a time."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _INDEX).unlink(missing_ok=True)  # written last: without it, the folder is incomplete
        lengths, dim = [], 0
        with open(folder / _VALUES, "wb") as file:
            for values, is_token in chunks:
                dim = values.shape[-1]
                lengths.append(is_token.sum(axis=1))
                file.write(values[is_token].astype(np.float16).tobytes())
        np.savez(folder / _INDEX, indptr=_indptr(lengths), dim=dim)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what :meth:`write` wrote; `FileNotFoundError` if it is missing or incomplete."""
        with np.load(folder / _INDEX) as index:
            indptr, dim = index["indptr"], int(index["dim"])
        return cls(np.memmap(folder / _VALUES, dtype=np.float16, mode="r", shape=(int(indptr[-1]), dim)), indptr)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def dim(self) -> int:
        """Width of a token."""
        return self.values.shape[1]

    @property
    def has_tokens(self) -> "BoolArray":
        """Which cells have tokens, shape `(n_obs,)`."""
        return np.diff(self.indptr) > 0

    @property
    def first(self) -> "FloatArray":
        """The whole-cell tokens, float32, shape `(n_obs, dim)`; NaN for a cell without tokens."""
        first = np.full((len(self), self.dim), np.nan, dtype=np.float32)
        first[self.has_tokens] = self.values[self.indptr[:-1][self.has_tokens]]
        return first

    def padded(
        self, rows: "IntArray", n_genes: int | None = None, rng: np.random.Generator | None = None
    ) -> "tuple[Tensor, Tensor]":
        """Some of the cells as padded tensors.

        Parameters
        ----------
        rows
            Row numbers of cells with tokens, shape `(n_rows,)`.
        n_genes
            Most genes per cell, drawn by `rng`; `None` uses all.
        rng
            Draws the genes; `None` uses all genes.

        Returns
        -------
        Tokens, float32, shape `(n_rows, n_tokens, dim)`, and a mask of the tokens, `(n_rows, n_tokens)`.
        """
        chosen = [self._tokens(row, n_genes, rng) for row in rows]
        lengths = np.array([len(tokens) for tokens in chosen])
        is_token = np.arange(lengths.max(initial=0)) < lengths[:, None]
        values = np.zeros((*is_token.shape, self.dim), dtype=np.float32)
        values[is_token] = self.values[np.concatenate(chosen)]
        return torch.from_numpy(values), torch.from_numpy(is_token)

    def _tokens(self, row: int, n_genes: int | None, rng: np.random.Generator | None) -> "IntArray":
        start, stop = self.indptr[row : row + 2]
        if n_genes is None or rng is None or stop - start <= n_genes + 1:
            return np.arange(start, stop)
        genes = np.sort(rng.choice(stop - start - 1, n_genes, replace=False))
        return np.concatenate([[start], start + 1 + genes])


def _indptr(lengths: "list[IntArray]") -> "IntArray":
    return np.cumsum(np.concatenate([np.zeros(1, dtype=np.int64), *lengths]))
