"""Infer the scale on which expression is stored, so that every part of this package reads the same scale."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse

from scmpt_scverse.pp._normalisation import LARGEST_LOGARITHM, TARGET_SUM

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray

#: Bases of logarithms that pipelines use.
_BASES = (float(np.e), 2.0, 10.0)
#: Values this close to a whole number count as whole, up to the value from which float32 logarithms are less exact.
_ROUNDING, _LARGEST_EXACT = 0.01, 1000.0
#: Largest relative spread of totals that count as the same, since a few genes may be removed after normalisation; and
#: largest relative gap between consecutive totals.
_SPREAD, _GAP = 0.02, 0.001
#: Least share of the cells for one total, and least share of the cells with any such total.
_LEAST_SAME, _LEAST_IN_ALL = 0.05, 0.9
#: Total of linear values after rescaling: large enough that a cell has some value too large for a logarithm.
_LINEAR_SUM = 1e6
#: No gene has more than all of a million per cell, of which this is the logarithm to base 2, the largest that is used.
_LOGARITHM_OF_ALL = 20.0
#: Largest value of a cell of corrected counts after rescaling: too large for a logarithm.
_LARGEST_LINEAR = 2 * LARGEST_LOGARITHM


@dataclass(frozen=True)
class StoredScale:
    """How to convert values that are neither counts nor natural logarithms of 10,000 per cell.

    Attributes
    ----------
    base
        Base of the logarithm of one plus a value; `None` for no logarithm.
    is_whole
        Whether undoing the logarithm gives counts, which are then read. Otherwise cells were scaled to common totals;
        they are rescaled to 10,000 and the natural logarithm or, if linear, to a million without a logarithm.
    totals
        Totals that cells were scaled to, one or a few; empty for counts, and for linear values of any total, as ambient
        RNA removal leaves them.
    """

    base: float | None
    is_whole: bool = False
    totals: tuple[float, ...] = ()

    @classmethod
    def of(cls, blocks: Iterable[sparse.csr_matrix]) -> Self | None:
        """Infer the scale from some cells and all their genes; `None` if values can stay as they are.

        Counts and natural logarithms of 10,000 per cell can stay. Logarithms of cells without a common total, such as
        those of variable genes only, have to: they do not show what they were scaled to. But beside cells with
        fractions and values that no logarithm has, small fractions without a common total are linear, too: cells of few
        counts after ambient RNA removal.
        """
        blocks = list(blocks)
        some = [block[_looks_logarithmic(block)] for block in blocks]
        linear = cls(None) if any(_is_linear(block).any() for block in blocks) else None
        if not sum(block.shape[0] for block in some):
            return linear
        cells = _distinct(sparse.vstack(some, format="csr"))
        for base in _BASES:
            if _are_logarithms_of_counts(cells.data, base):
                return cls(base, is_whole=True)
        scales: list[float | None] = [None, *_BASES]
        for scale in scales:
            totals = _few_totals(_totals(cells, _undone(cells.data, scale)))
            if totals:
                is_expected = scale == _BASES[0] and np.allclose(totals, TARGET_SUM, rtol=_SPREAD)
                return None if is_expected else cls(scale, totals=totals)
        return linear

    @property
    def _is_of_any_total(self) -> bool:
        return not self.totals and not self.is_whole

    def is_of(self, blocks: Iterable[sparse.csr_matrix]) -> bool:
        """Whether some cells, over all their genes, have these totals, or may; for cells too few to infer them from."""
        cells = sparse.vstack(list(blocks), format="csr")
        cells = cells[_looks_logarithmic(cells)]
        if self._is_of_any_total:
            return bool(cells.shape[0])
        totals = _totals(cells, _undone(cells.data, self.base))
        known = np.array(self.totals)[:, None]
        return bool(len(totals) and (np.abs(totals - known) <= _SPREAD * known).any(axis=0).all())

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`, also after a round trip through JSON."""
        return cls(state["base"], bool(state["is_whole"]), tuple(map(float, state["totals"])))

    def __call__(self, block: sparse.csr_matrix) -> sparse.csr_matrix:
        """Convert some cells over all their genes; cells that do not look like logarithms stay as they are."""
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
            if self._is_of_any_total:
                target, sizes = _LARGEST_LINEAR, _largest(block)
            else:
                target = _LINEAR_SUM if self.base is None else TARGET_SUM
                sizes = _totals(block, undone)
            factors = np.divide(target, sizes, out=np.zeros_like(sizes), where=sizes > 0)
            changed = undone * np.repeat(factors, np.diff(block.indptr))
            changed = changed if self.base is None else np.log1p(changed)
        values = np.where(concerned, changed, values)
        return sparse.csr_matrix((values.astype(np.float32), block.indices, block.indptr), block.shape)


def _looks_logarithmic(block: sparse.csr_matrix) -> "BoolArray":
    """Which cells have fractions but no value too large for a logarithm; shape `(n_obs,)`."""
    return _has_fractions(block) & (_largest(block) < LARGEST_LOGARITHM)


def _is_linear(block: sparse.csr_matrix) -> "BoolArray":
    """Which cells have fractions and a value that no logarithm of expression has; shape `(n_obs,)`."""
    return _has_fractions(block) & (_largest(block) > _LOGARITHM_OF_ALL)


def _has_fractions(block: sparse.csr_matrix) -> "BoolArray":
    row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    return np.asarray(np.bincount(row, block.data != np.rint(block.data), block.shape[0]) > 0)


def _largest(block: sparse.csr_matrix) -> "FloatArray":
    """The largest value of each cell, shape `(n_obs,)`."""
    return block.max(axis=1).toarray().ravel().astype(np.float64)


def _distinct(cells: sparse.csr_matrix) -> sparse.csr_matrix:
    """Cells without copies, which would have equal totals on any scale."""
    sums = np.stack([np.asarray(part.sum(axis=1)).ravel() for part in (cells, cells.power(2))])
    return cells[np.unique(sums, axis=1, return_index=True)[1]]


def _undone(values: "FloatArray", base: float | None) -> "FloatArray":
    """Values with the logarithm undone."""
    values = np.asarray(values, dtype=np.float64)
    return values if base is None else np.expm1(values * np.log(base))


def _totals(block: sparse.csr_matrix, values: "FloatArray") -> "FloatArray":
    row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    return np.bincount(row, values, block.shape[0]).astype(np.float64)


def _are_logarithms_of_counts(values: "FloatArray", base: float) -> bool:
    """Whether undoing the logarithm of the values that are exact enough gives whole numbers.

    Powers of bases 2 and 10 are whole where a value is, so only fractions are evidence.
    """
    undone = _undone(values, base)
    is_exact = undone <= _LARGEST_EXACT
    values, undone = values[is_exact], undone[is_exact]
    return bool((values != np.rint(values)).any() and (np.abs(undone - np.rint(undone)) < _ROUNDING).all())


def _few_totals(totals: "FloatArray") -> tuple[float, ...]:
    """The total that cells were scaled to, or one for each of a few batches; empty if there is none."""
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
