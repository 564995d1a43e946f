"""Which cells a model was trained on, and whether other data hold them: metrics on these say little."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from scmpt_scverse._types import IntArray, StrArray

#: Share of cells from which on they count as training cells that were renamed.
_MOST = 0.5
#: So few cells are an example rather than a query.
_FEW_CELLS = 10


@dataclass(frozen=True)
class TrainingRecord:
    """Which cells a model was trained on.

    Attributes
    ----------
    digest
        Of the data that held them, see :func:`digest_of`.
    rows
        Their row numbers in these data, ascending.
    cells
        Their keys, see :func:`scmpt_scverse.modalities.cell_keys`, ascending: they are known again in any other data.
    label_counts
        Number of the cells in `rows` with each label.
    batches
        Batches that training cells came from, where the model knows of batches.
    contents
        What they express, see :func:`scmpt_scverse.modalities.content_keys`, ascending: they are known again under
        other names.
    date
        Day of the last training, such as `"2026-11-27"`; blank where it is not known.
    """

    digest: str = ""
    rows: "IntArray" = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    cells: "IntArray" = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    label_counts: Mapping[str, int] = field(default_factory=dict)
    batches: tuple[str, ...] = ()
    contents: "IntArray" = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    date: str = ""

    def extended(
        self,
        keys: "IntArray",
        rows: "IntArray",
        labels: "StrArray",
        batches: "StrArray | tuple[str, ...]" = (),
        contents: "IntArray | tuple[int, ...]" = (),
        date: str = "",
    ) -> Self:
        """The record after a (further) training on some cells.

        Cells of an earlier training stay: the model has seen them. `keys` and `labels` are those of all cells of the
        data, labels blank for none; `batches` and `contents` are those of the training cells, `date` is that of today.
        """
        every = np.union1d(self.rows if self.is_of(keys) else [], rows).astype(np.int64)
        names, counts = np.unique(labels[every], return_counts=True)
        label_counts = {name: n for name, n in zip(names.tolist(), counts.tolist(), strict=True) if name}
        cells = np.union1d(self.cells, keys[rows]).astype(np.uint64)
        known = np.union1d(self.contents, np.asarray(contents, dtype=np.uint64)).astype(np.uint64)
        return type(self)(
            digest_of(keys),
            every,
            cells,
            label_counts,
            tuple(sorted({*self.batches, *batches})),
            known[known != 0],
            date,
        )

    def rows_in(self, keys: "IntArray") -> "IntArray":
        """Rows of some data that were trained on, in whatever order, and among whatever others, they stand there."""
        # In the very data that were trained on, rows tell cells of one name and content apart.
        return self.rows if self.is_of(keys) else np.flatnonzero(np.isin(keys, self.cells))

    def n_renamed(self, contents: "IntArray") -> int:
        """How many cells express exactly what a training cell does; 0 unless these are most, and not a few."""
        n_same = int(np.isin(contents, self.contents).sum())
        return n_same if n_same > _FEW_CELLS and n_same >= _MOST * len(contents) else 0

    def is_of(self, keys: "IntArray") -> bool:
        """Whether data are the very ones that were trained on, cell by cell."""
        return digest_of(keys) == self.digest

    def state(self) -> dict[str, Any]:
        """All that there is, as plain values and arrays."""
        return {
            "digest": self.digest,
            "rows": self.rows,
            "cells": self.cells,
            "label_counts": dict(self.label_counts),
            "batches": list(self.batches),
            "contents": self.contents,
            "date": self.date,
        }


def digest_of(keys: "IntArray") -> str:
    """Hexadecimal sha256 of the cells of some data, in their order."""
    return hashlib.sha256(np.ascontiguousarray(keys).tobytes()).hexdigest()
