"""Smooth label probabilities over neighbouring cells."""

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.linalg import cg

from scmpt_scverse._checks import check_key
from scmpt_scverse._labels import as_categorical, distinct_labels, labels_or
from scmpt_scverse._slots import (
    DEFAULT_KEY_ADDED,
    UNS_KEYS,
    PredictionKeys,
    Slot,
    check_recorded,
    check_records,
    check_writable,
    checked_probabilities,
    write_record,
    write_slots,
)
from scmpt_scverse._storable import labels_of_names
from scmpt_scverse.tl._graph import SPATIAL_GRAPH, stored_graph

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray

#: Tried for `strength="fit"`; 0 changes nothing, and is chosen if neighbours do not help.
STRENGTHS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_TOLERANCE = 1e-6
_SMALLEST = 1e-12


def smooth_probabilities(
    adata: "AnnData",
    *,
    graph: str = SPATIAL_GRAPH,
    strength: "float | Literal['fit']" = "fit",
    labels_key: str | None = None,
    key: str = DEFAULT_KEY_ADDED,
    key_added: str | None = None,
) -> float:
    r"""Smooth the probabilities of each cell over its neighbours: :math:`P = (I + \lambda L)^{-1} P_0`.

    It helps if neighbours tend to be of one type and predictions are good. It hurts if types are mixed, and it loses
    cells that differ from all their neighbours. It is therefore never done by default, and by default the original
    predictions are kept.

    Parameters
    ----------
    adata
        Annotated cells with a graph of neighbours. The graph is read, never built.
    graph
        Key of `.obsp` with connectivities, of spatial neighbours or of neighbours in an embedding.
    strength
        :math:`\lambda`, at least 0: how much all neighbours of a typical cell together count relative to the cell
        itself. `"fit"` chooses, among 0 and eight values from 0.02 to 5, the one with the lowest cross-entropy on
        cells with known labels.
    labels_key
        For `"fit"`: column of `.obs` with the known labels of at least some cells. The model must not have been trained
        on these cells: it is overconfident on them, and no smoothing would look best.
    key
        Prefix of what is read: `.obsm["<key>_probabilities"]`.
    key_added
        Prefix of what is written; `None` uses `<key>_smoothed`.

    Returns
    -------
    The strength that was used. Writes

    `adata.obs["<key_added>_prediction"]`, `adata.obs["<key_added>_confidence"]`
        The most probable label after smoothing, categorical, and its probability.
    `adata.obsm["<key_added>_probabilities"]`
        DataFrame, shape `(n_obs, n_labels)`; rows still sum to 1. Cells without probabilities keep NaN, and do not
        count as neighbours.
    `adata.uns["scmpt"]["smoothing"][key_added]`
        Graph, strength, the share of cells whose label changed, and `key`.

    Raises
    ------
    TypeError
        `adata` is not an AnnData.
    KeyError
        The cells are not annotated, or the graph or `labels_key` does not exist.
    ValueError
        `strength` is out of range, or `"fit"` without known labels; the graph has no neighbours, holds distances, or
        has weights that are negative, not finite, or so uneven that the equations cannot be solved; or `key_added`
        cannot be written.

    Notes
    -----
    :math:`L` is the Laplacian of the symmetrised graph, divided by the mean total weight per cell, so that
    :math:`\lambda` means the same in any graph.
    """
    key_added = f"{key}_smoothed" if key_added is None else key_added
    laplacian_of = stored_graph(adata, graph)
    keys = PredictionKeys.from_prefix(key_added)
    source = PredictionKeys.from_prefix(key)
    known = [] if labels_key is None else [Slot("obs", labels_key)]
    check_writable(adata, key_added, keys.slots, reads=[*source.slots, *known])
    check_records(adata)
    check_recorded(adata, key_added, keys.slots)
    table = checked_probabilities(adata, source)
    before = table.to_numpy(dtype=np.float64)
    is_known = np.isfinite(before).all(axis=1)
    laplacian = _laplacian(laplacian_of[is_known][:, is_known])
    labels = _labels(adata, table, source.prediction, labels_key)
    if strength == "fit":
        truth = _codes(adata, labels_key, labels, is_known)
        found = {each: _smoothed(laplacian, before[is_known], each) for each in STRENGTHS}
        taken = min(found, key=lambda each: _cross_entropy(found[each], truth))
        smooth = found[taken]
    else:
        taken = _checked_strength(strength)
        smooth = _smoothed(laplacian, before[is_known], taken)
    after = np.full_like(before, np.nan)
    after[is_known] = smooth
    predicted = np.full(len(after), None, dtype=object)
    predicted[is_known] = labels[smooth.argmax(axis=1)]
    confidence = np.full(len(after), np.nan)
    confidence[is_known] = smooth.max(axis=1)
    values = {
        Slot("obs", keys.prediction): as_categorical(predicted, labels),
        Slot("obs", keys.confidence): confidence,
        Slot("obsm", keys.probabilities): pd.DataFrame(after, index=table.index, columns=table.columns),
    }
    write_slots(adata, keys.slots, values)
    changed = float(np.mean(smooth.argmax(axis=1) != before[is_known].argmax(axis=1))) if is_known.any() else 0.0
    record = {"graph": graph, "strength": taken, "share_changed": changed, "key": key}
    write_record(adata, UNS_KEYS.smoothing, key_added, record)
    return taken


def _checked_strength(strength: object) -> float:
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength < np.inf:
        raise ValueError(f"`strength` must be 'fit' or a number of at least 0; found {strength!r}.")
    return float(strength)


def _laplacian(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    weights = (graph + graph.T) / 2
    totals = np.asarray(weights.sum(axis=1)).ravel()
    scale = totals.mean() if totals.any() else 1.0
    return sparse.csr_matrix((sparse.diags(totals) - weights) / scale)


def _smoothed(laplacian: sparse.csr_matrix, before: "FloatArray", strength: float) -> "FloatArray":
    """Solve label by label; the inverse is non-negative and its rows sum to 1, so probabilities stay probabilities."""
    if strength == 0 or not len(before):
        return before
    system = sparse.identity(len(before), format="csr") + strength * laplacian
    solved = [cg(system, column, x0=column, rtol=_TOLERANCE) for column in before.T]
    if any(is_left for _, is_left in solved):
        raise ValueError(
            f"Smoothing with strength {strength:g} did not converge: the weights of the graph are too uneven. Pass a "
            "smaller `strength`, or connectivities of one scale."
        )
    after = np.clip(np.stack([column for column, _ in solved], axis=1), 0, None)
    smoothed: FloatArray = after / after.sum(axis=1, keepdims=True)
    return smoothed


def _labels(adata: "AnnData", table: pd.DataFrame, predicted_key: str, labels_key: str | None) -> "StrArray":
    """The labels that the columns stand for, from known and predicted labels of cells, shape `(n_labels,)`."""
    columns = [adata.obs[column] for column in (predicted_key, labels_key) if column in adata.obs]
    names = labels_or(table.columns, "")
    labels = (label for column in columns for label in distinct_labels(column))
    return np.array(labels_of_names(names, labels, table.index.name), dtype=object)


def _codes(adata: "AnnData", labels_key: str | None, labels: "StrArray", is_read: "BoolArray") -> "IntArray":
    """Column of the known label of each cell that has probabilities, -1 for none."""
    if labels_key is None:
        raise ValueError("`strength='fit'` needs known labels. Pass `labels_key=`, or a number as `strength`.")
    check_key(labels_key, adata.obs.columns, "adata.obs")
    codes = pd.Index(labels).get_indexer(pd.Index(labels_or(adata.obs[labels_key], ""), dtype=object))[is_read]
    if not (codes >= 0).any():
        raise ValueError(
            f"No cell with probabilities has a label that the model knows in `adata.obs[{labels_key!r}]`. Pass a "
            "column with known labels of some of these cells, or a number as `strength`."
        )
    return codes


def _cross_entropy(probabilities: "FloatArray", codes: "IntArray") -> float:
    rows = np.flatnonzero(codes >= 0)
    return float(-np.log(np.clip(probabilities[rows, codes[rows]], _SMALLEST, None)).mean())
