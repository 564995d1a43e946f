"""Clusters and batches in an embedding, by the measures of the single-cell integration benchmark."""

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_same_cells, check_seed, checked_numbers, list_some
from scmpt_scverse._labels import checked_labels
from scmpt_scverse._optional import import_optional

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import FloatArray, IntArray, StrArray

#: Neighbours that the local measures look at, as in the benchmark; fewer where there are fewer cells.
_N_NEIGHBORS = 90


def embedding_metrics(
    embedding: "FloatArray", labels: "ArrayLike", batches: "ArrayLike | None" = None, *, seed: int = 0
) -> pd.Series:
    """How well an embedding keeps labels apart and, with `batches`, mixes batches.

    Parameters
    ----------
    embedding
        Finite, shape `(n_obs, embedding_dim)`.
    labels
        Label of each cell, at least two different ones.
    batches
        Batch of each cell, at least two different ones; `None` leaves out the measures of mixing.
    seed
        Seed of the search for neighbours.

    Returns
    -------
    Series of floats in [0, 1], higher is better:

    `nmi`, `ari`
        Agreement of the labels with k-means clusters, as many as there are labels.
    `silhouette_label`, `clisi`
        How far labels are apart: over all cells, and among the nearest.
    `graph_connectivity`
        Whether the cells of a label are connected to one another.
    `silhouette_batch`, `ilisi`, `kbet`
        How well batches are mixed: within labels, and among the nearest cells by two measures. With `batches` only.

    Raises
    ------
    ImportError
        The package `scib-metrics`, of the extra `scib`, is not installed.
    TypeError
        `embedding` holds no numbers, or `labels` or `batches` is not a column.
    ValueError
        Values are not finite, lengths differ, tables and columns name other cells or in another order, or there are
        fewer than two labels or batches.

    Notes
    -----
    The measures are those of :cite:t:`luecken2022benchmarking`, as `scib-metrics` computes them. Batches that differ in
    their labels cannot be mixed perfectly by an embedding that keeps labels apart.
    """
    check_seed(seed)
    values = finite_embedding(embedding)
    label_codes = _codes(embedding, len(values), labels, "labels")
    batch_codes = None if batches is None else _codes(embedding, len(values), batches, "batches")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations among third-party packages
        scib = import_optional("scib_metrics", extra="scib", purpose="Measuring clusters and batches of an embedding")
        neighbors = scib.nearest_neighbors.pynndescent(values, min(_N_NEIGHBORS, len(values) - 1), random_state=seed)
        clusters = scib.nmi_ari_cluster_labels_kmeans(values, label_codes)
        scores = {
            "nmi": clusters["nmi"],
            "ari": clusters["ari"],
            "silhouette_label": scib.silhouette_label(values, label_codes),
            "clisi": scib.clisi_knn(neighbors, label_codes),
            "graph_connectivity": scib.graph_connectivity(neighbors, label_codes),
        }
        if batch_codes is not None:
            scores |= {
                "silhouette_batch": scib.silhouette_batch(values, label_codes, batch_codes),
                "ilisi": scib.ilisi_knn(neighbors, batch_codes),
                "kbet": scib.kbet(neighbors, batch_codes)[0],
            }
    return pd.Series({name: float(value) for name, value in scores.items()})


def finite_embedding(embedding: object) -> "FloatArray":
    """The embedding that the user gave as float32; an error unless it is finite, shape `(n_obs, embedding_dim)`."""
    values = checked_numbers(embedding, "embedding", ndim=2)
    is_finite = np.isfinite(values).all(axis=1) & (np.abs(values) < np.finfo(np.float32).max).all(axis=1)
    if not is_finite.all() or not values.shape[1]:
        found = "" if is_finite.all() else f" with NaN or infinite values in {int((~is_finite).sum())} cells"
        raise ValueError(
            f"Expected a finite embedding of shape (n_obs, embedding_dim); found shape {values.shape}{found}. Leave "
            "out cells that could not be embedded."
        )
    return values.astype(np.float32)


def labels_of_rows(embedding: object, n_obs: int, values: "ArrayLike", argument: str) -> "StrArray":
    """Labels of the rows of an embedding as text; `ValueError` unless there is one for each."""
    text = checked_labels(values, argument)
    if len(text) != n_obs:
        raise ValueError(
            f"Expected {n_obs} values in `{argument}`, one per cell; found {len(text)}. Pass the same cells."
        )
    check_same_cells(embedding, values, ("embedding", argument))
    return text


def _codes(embedding: object, n_obs: int, values: "ArrayLike", argument: str) -> "IntArray":
    codes, names = pd.factorize(labels_of_rows(embedding, n_obs, values, argument))
    if len(names) < 2:
        raise ValueError(
            f"Expected at least two different values in `{argument}`; found {list_some(names)}. Pass others."
        )
    return codes
