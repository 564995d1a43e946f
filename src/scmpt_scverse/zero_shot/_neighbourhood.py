"""Which cells of a query are near which, in principal components."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from scmpt_scverse.evaluation import VariableComponents

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, IntArray
    from scmpt_scverse.zero_shot._query import Query

#: Cells that scores are averaged over, the cell itself included; of a small query fewer, one for so many cells, or the
#: mean of a cell of a rare type is one of other types. On five cells of each type of three training studies, each left
#: out, 15 took macro F1 from .59 to .26.
N_NEIGHBOURS = 15
CELLS_PER_NEIGHBOUR = 40
N_COMPONENTS = 30
#: Cells that principal axes are learned from; all are projected on them.
_N_REFERENCES = 10_000
#: So many cells are compared with all others. Of more, each is compared with the cells of the regions around it, so
#: that time grows with their number, not with its square: regions hold about as many cells as the second number, those
#: that are compared together at least as many as the third.
_MOST_COMPARED, _REGION_SIZE, _MIN_COMPARED = 20_000, 1_000, 10_000


@dataclass(frozen=True)
class Neighbourhood:
    """The cells of a query, and which are near.

    Attributes
    ----------
    components
        Principal components of the cells, shape `(n_obs, n_components)`.
    nearest
        Row numbers of the nearest other cells, shape `(n_obs, n_others)`; its own for a cell that cannot be read.
    """

    components: "FloatArray"
    nearest: "IntArray"

    @classmethod
    def of(cls, query: "Query", *, seed: int = 0) -> Self | None:
        """Of the cells that can be read; `None` where they are too few to average over."""
        if _n_others(int(query.is_readable.sum())) < 1:
            return None  # components of so few cells may not exist
        return cls.in_components(query_components(query, seed=seed), query.is_readable, seed=seed)

    @classmethod
    def in_components(
        cls, components: "FloatArray", is_readable: "BoolArray | None" = None, *, seed: int = 0
    ) -> Self | None:
        """From components `(n_obs, n_components)`; `None` where the cells that can be read are too few."""
        rows = np.arange(len(components)) if is_readable is None else np.flatnonzero(is_readable)
        n_others = _n_others(len(rows))
        if n_others < 1:
            return None
        nearest = np.repeat(np.arange(len(components), dtype=np.int32)[:, None], n_others, axis=1)
        nearest[rows] = rows[nearest_cells(components[rows], n_others, seed=seed)]
        return cls(components, nearest)


def _n_others(n_readable: int) -> int:
    """How many neighbours the scores of a cell are averaged over, in a query of so many cells."""
    return min(N_NEIGHBOURS, n_readable // CELLS_PER_NEIGHBOUR) - 1


def query_components(query: "Query", *, seed: int = 0) -> "FloatArray":
    """Principal components of the cells, learned on a sample of them; float32, shape `(n_obs, n_components)`."""
    rng = np.random.default_rng(seed)
    share = min(1.0, _N_REFERENCES / query.n_obs)
    sample = [matrix[rng.random(matrix.shape[0]) < share] if share < 1 else matrix for matrix in query.chunks()]
    # A cell gets the same answer wherever it stands, so components do not depend on the order of the cells.
    model = VariableComponents(n_components=N_COMPONENTS, is_scaled=False, seed=seed, solver="arpack")
    cells = sparse.vstack(sample, "csr")
    del sample
    if not (cells.max(axis=0) != cells.min(axis=0)).nnz:
        return np.zeros((query.n_obs, 1), dtype=np.float32)  # all cells are alike
    model.fit(cells)
    del cells
    return query.map(model.transform)


def nearest_cells(components: "FloatArray", n_others: int, *, seed: int = 0) -> "IntArray":
    """Row numbers of the nearest other cells, shape `(n_obs, n_others)`; of very many cells, nearly always the nearest.

    Parameters
    ----------
    components
        Coordinates in which cells are near, shape `(n_obs, n_components)`.
    n_others
        How many, fewer than there are cells.
    seed
        Of the regions that very many cells are divided into.
    """
    n_obs = len(components)
    if n_obs <= _MOST_COMPARED:
        found: IntArray = NearestNeighbors(n_neighbors=n_others).fit(components).kneighbors(return_distance=False)
        return found
    centres = components[np.random.default_rng(seed).choice(n_obs, n_obs // _REGION_SIZE, replace=False)]
    by_distance = NearestNeighbors(n_neighbors=len(centres)).fit(centres).kneighbors(centres, return_distance=False)
    region = NearestNeighbors(n_neighbors=1).fit(centres).kneighbors(components, return_distance=False).ravel()
    members = np.split(np.argsort(region, kind="stable"), np.cumsum(np.bincount(region, minlength=len(centres)))[:-1])
    sizes = np.array([len(each) for each in members])
    nearest = np.empty((n_obs, n_others), dtype=np.int32)
    for number in np.flatnonzero(sizes):
        order = by_distance[number]
        n_regions = int(np.searchsorted(np.cumsum(sizes[order]), _MIN_COMPARED)) + 1
        compared = np.concatenate([members[each] for each in order[:n_regions]])
        rows = members[number]
        search = NearestNeighbors(n_neighbors=n_others + 1).fit(components[compared])
        near = compared[search.kneighbors(components[rows], return_distance=False)]
        # The cell itself goes last, and is left out; where many cells are in one place it may not be among the found.
        is_itself = near == rows[:, None]
        nearest[rows] = np.take_along_axis(near, np.argsort(is_itself, axis=1, kind="stable"), axis=1)[:, :n_others]
    return nearest
