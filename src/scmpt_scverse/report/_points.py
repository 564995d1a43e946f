"""Which cells are drawn, and where: the embedding that is there, or principal components of what is there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse._checks import check_key, checked_numbers
from scmpt_scverse._slots import UNS_KEYS

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.report._labelling import Labelling

#: Embeddings in two dimensions, in the order in which they are looked for.
_FLAT = ("X_umap", "X_tsne", "X_draw_graph_fa", "X_draw_graph_fr")
#: So many cells of each label are drawn, if it has them, however rare it is.
_LEAST_PER_LABEL = 30
_ADVICE = "Call `scanpy.pp.neighbors(adata)` and `scanpy.tl.umap(adata)`, or pass `basis=`."


@dataclass(frozen=True)
class Points:
    """Where cells are drawn.

    Attributes
    ----------
    rows
        Row numbers of the drawn cells, ascending, shape `(n_points,)`.
    coordinates
        Shape `(n_points, 2)`; of no rows where nothing can be drawn.
    name
        What the coordinates are, such as "UMAP".
    notes
        What a reader has to know about them.
    """

    rows: "IntArray"
    coordinates: "FloatArray"
    name: str
    notes: list[str]


def sampled_rows(labelling: "Labelling", n_cells: int, seed: int) -> "IntArray":
    """At most `n_cells` row numbers, ascending: a few of every label, and the others at random."""
    n_obs = len(labelling.codes)
    if n_obs <= n_cells:
        return np.arange(n_obs)
    order = np.random.default_rng(seed).permutation(n_obs)
    least = min(_LEAST_PER_LABEL, n_cells // max(1, len(labelling.labels)))
    # The place of each cell among those of its label, in random order.
    by_label = order[np.argsort(labelling.codes[order], kind="stable")]
    counts = labelling.counts
    place = np.arange(n_obs) - np.repeat(np.cumsum(counts) - counts, counts)
    is_taken = np.zeros(n_obs, dtype=bool)
    is_taken[by_label[place < least]] = True
    others = order[~is_taken[order]]
    is_taken[others[: n_cells - int(is_taken.sum())]] = True
    return np.flatnonzero(is_taken)


def points_of(adata: "AnnData", basis: str | None, key: str, rows: "IntArray") -> Points:
    """Coordinates of some cells.

    Raises
    ------
    KeyError
        `basis` is not in `.obsm`.
    ValueError
        It has fewer than two columns.
    """
    found = _basis_key(adata, basis, key)
    if found is None:
        note = f"No embedding of these cells was found, so there is no plot. {_ADVICE}"
        return Points(rows[:0], np.empty((0, 2)), "", [note])
    stored = adata.obsm[found]
    chosen = stored.iloc[rows] if hasattr(stored, "iloc") else stored[rows]
    values = checked_numbers(chosen, f"adata.obsm[{found!r}]", ndim=2)
    if values.shape[1] < 2:
        raise ValueError(
            f"Expected at least two columns in `adata.obsm[{found!r}]`; found {values.shape[1]}. Pass another `basis=`."
        )
    is_known = np.isfinite(values).all(axis=1)
    notes = []
    if basis is not None or found in _FLAT or found == "X_pca":
        coordinates, name = values[is_known, :2], _plain_name(found)
        if basis is None and found == "X_pca":
            notes.append(f"There is no UMAP, so the first two principal components are drawn. {_ADVICE}")
    else:
        coordinates = _principal_components(values[is_known])
        name = f"principal components of {_plain_name(found)}"
        notes.append(f"There is no UMAP, so the first two {name} are drawn. {_ADVICE}")
    if found.removeprefix("X_") == "spatial":
        coordinates = coordinates * [1, -1]  # of an image, whose first row is above
    if not is_known.all():
        n = int((~is_known).sum())
        notes.append(f"{n:,} of these cells {'is' if n == 1 else 'are'} not drawn, without values in {found}.")
    if not len(coordinates):
        return Points(rows[:0], np.empty((0, 2)), "", [*notes, f"No cell can be drawn. {_ADVICE}"])
    return Points(rows[is_known], coordinates, name, notes)


def _basis_key(adata: "AnnData", basis: str | None, key: str) -> str | None:
    """The key of `.obsm` that is drawn; `None` where there is none."""
    if basis is not None:
        place = basis if basis in adata.obsm else f"X_{basis}"
        check_key(place, adata.obsm.keys(), "adata.obsm", hint=f" {_ADVICE}")
        return place
    records = adata.uns.get(UNS_KEYS.root, {})
    ours = records.get(UNS_KEYS.embeddings, {}) if hasattr(records, "get") else {}
    candidates = (*_FLAT, "X_pca", f"X_{key}", *(ours if hasattr(ours, "get") else ()))
    return next((name for name in candidates if _has_two_columns(adata, name)), None)


def _has_two_columns(adata: "AnnData", name: str) -> bool:
    shape: tuple[int, ...] = getattr(adata.obsm.get(name), "shape", ())
    return len(shape) == 2 and shape[1] >= 2


def _principal_components(values: "FloatArray") -> "FloatArray":
    """The first two, shape `(n_points, 2)`; the largest weight of each is positive, so that signs do not vary."""
    if not len(values):
        return np.empty((0, 2))
    centred = values - values.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred).eigenvectors[:, :-3:-1]
    axes = axes * np.sign([axis[np.abs(axis).argmax()] for axis in axes.T])
    components: FloatArray = centred @ axes
    return components


def _plain_name(key: str) -> str:
    name = key.removeprefix("X_")
    return {"umap": "UMAP", "tsne": "t-SNE", "pca": "PCA"}.get(name, name)
