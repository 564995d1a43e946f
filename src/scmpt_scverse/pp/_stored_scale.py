"""On which scale expression is stored, where its cells tell, so that every part of this package reads one scale."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse

from scmpt_scverse.pp._normalisation import LARGEST_LOGARITHM, TARGET_SUM

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray

#: Bases of logarithms that pipelines take.
_BASES = (float(np.e), 2.0, 10.0)
#: Largest distance of a value from the whole number that it is, up to values of which float32 keeps so many digits.
_ROUNDING, _LARGEST_EXACT = 0.01, 1000.0
#: Totals of cells that are this near to one another, in proportion, are the same one, also where a few genes were
#: removed after the cells were divided; neighbours in size are nearer still.
_SPREAD, _GAP = 0.02, 0.001
#: Share of the cells that at least have a total, and share of the cells that have the same total in all.
_LEAST_SAME, _LEAST_IN_ALL = 0.05, 0.9
#: What fractions that are no logarithms are brought to: of any cell, some value is then too large to be a logarithm.
_LINEAR_SUM = 1e6


@dataclass(frozen=True)
class StoredScale:
    """How values that are neither counts nor logarithms of 10,000 per cell become one of both.

    Attributes
    ----------
    base
        Values are the logarithm, to this base, of one plus something; `None` for no logarithm.
    is_whole
        Whether that something is counts, which are read instead. Otherwise cells were divided by their totals, and
        are brought to 10,000 and its natural logarithm, or without a logarithm to a million.
    totals
        What they were divided to have, where they were.
    """

    base: float | None
    is_whole: bool = False
    totals: tuple[float, ...] = ()

    @classmethod
    def of(cls, blocks: Iterable[sparse.csr_matrix]) -> Self | None:
        """What some cells tell, of all their genes; `None` where values can stay as they are.

        Counts can stay, and logarithms of 10,000 per cell. So have logarithms of cells without a total in common, as of
        variable genes alone: they do not tell what they were divided by.
        """
        some = [block[_looks_logarithmic(block)] for block in blocks]
        if not sum(block.shape[0] for block in some):
            return None
        cells = _distinct(sparse.vstack(some, format="csr"))
        for base in _BASES:
            if _are_whole(_undone(cells.data, base)):
                return cls(base, is_whole=True)
        scales: list[float | None] = [None, *_BASES]
        for scale in scales:
            totals = _few_totals(_totals(cells, _undone(cells.data, scale)))
            if totals:
                is_expected = scale == _BASES[0] and np.allclose(totals, TARGET_SUM, rtol=_SPREAD)
                return None if is_expected else cls(scale, totals=totals)
        return None

    def is_of(self, blocks: Iterable[sparse.csr_matrix]) -> bool:
        """Whether some cells, over all their genes, have these totals: a cell alone does not tell what it has."""
        cells = sparse.vstack(list(blocks), format="csr")
        cells = cells[_looks_logarithmic(cells)]
        totals = _totals(cells, _undone(cells.data, self.base))
        known = np.array(self.totals)[:, None]
        return bool(len(totals) and (np.abs(totals - known) <= _SPREAD * known).any(axis=0).all())

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`, also of what JSON makes of it."""
        return cls(state["base"], bool(state["is_whole"]), tuple(map(float, state["totals"])))

    def __call__(self, block: sparse.csr_matrix) -> sparse.csr_matrix:
        """Some cells over all their genes; those of counts stay as they are."""
        is_concerned = _looks_logarithmic(block)
        if not is_concerned.any():
            return block
        concerned = np.repeat(is_concerned, np.diff(block.indptr))
        values = block.data.astype(np.float64)
        undone = np.zeros(len(values))
        undone[concerned] = _undone(values[concerned], self.base)
        if self.is_whole:
            changed = np.rint(undone)
        else:
            target = _LINEAR_SUM if self.base is None else TARGET_SUM
            totals = _totals(block, undone)
            factors = np.divide(target, totals, out=np.zeros_like(totals), where=totals > 0)
            changed = undone * np.repeat(factors, np.diff(block.indptr))
            changed = changed if self.base is None else np.log1p(changed)
        values = np.where(concerned, changed, values)
        return sparse.csr_matrix((values.astype(np.float32), block.indices, block.indptr), block.shape)


def _looks_logarithmic(block: sparse.csr_matrix) -> "BoolArray":
    """Which cells have fractions, and no value that is too large for a logarithm; shape `(n_obs,)`."""
    lengths = np.diff(block.indptr)
    row = np.repeat(np.arange(block.shape[0]), lengths)
    has_fractions = np.bincount(row, block.data != np.rint(block.data), block.shape[0]) > 0
    is_large = np.bincount(row, block.data >= LARGEST_LOGARITHM, block.shape[0]) > 0
    return np.asarray(has_fractions & ~is_large)


def _distinct(cells: sparse.csr_matrix) -> sparse.csr_matrix:
    """One of each cell: copies of a cell have its total, whatever that is."""
    sums = np.stack([np.asarray(part.sum(axis=1)).ravel() for part in (cells, cells.power(2))])
    return cells[np.unique(sums, axis=1, return_index=True)[1]]


def _undone(values: "FloatArray", base: float | None) -> "FloatArray":
    """What values are the logarithm of, less one."""
    values = np.asarray(values, dtype=np.float64)
    return values if base is None else np.expm1(values * np.log(base))


def _totals(block: sparse.csr_matrix, values: "FloatArray") -> "FloatArray":
    row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    return np.bincount(row, values, block.shape[0]).astype(np.float64)


def _are_whole(values: "FloatArray") -> bool:
    exact = values[values <= _LARGEST_EXACT]
    return bool(len(exact) and (np.abs(exact - np.rint(exact)) < _ROUNDING).all())


def _few_totals(totals: "FloatArray") -> tuple[float, ...]:
    """The one total that cells were divided to have, or that of each of a few batches; empty where there is none."""
    totals = np.sort(totals[totals > 0])
    if len(totals) < 2:
        return ()
    starts = np.flatnonzero(np.concatenate([[True], np.diff(totals) > _GAP * totals[1:]]))
    stops = np.append(starts[1:], len(totals))
    sizes = stops - starts
    is_one = (totals[stops - 1] <= (1 + _SPREAD) * totals[starts]) & (sizes >= max(2, _LEAST_SAME * len(totals)))
    if sizes[is_one].sum() < _LEAST_IN_ALL * len(totals):
        return ()
    return tuple(float(total) for total in totals[(starts + stops)[is_one] // 2])
