"""Let the cells of a query speak for each other: smoothing over neighbours, and training on the sure ones."""

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray

N_NEIGHBOURS = 15
#: Of each predicted label, the share of its cells that teach, and how many teach in any case.
_SURE_SHARE, _MIN_SURE = 0.5, 5
_ROUNDS = 2
_SMALLEST_PROBABILITY = 1e-6
#: Cells that teach at most; more change the boundaries by less than they cost.
_MAX_TEACHERS = 20_000


def smoothed(scores: "FloatArray", components: "FloatArray", n_neighbours: int = N_NEIGHBOURS) -> "FloatArray":
    """Mean score of each cell and its nearest neighbours, itself included.

    Parameters
    ----------
    scores
        Shape `(n_obs, n_labels)`.
    components
        Coordinates in which neighbours are near, shape `(n_obs, n_components)`.
    n_neighbours
        Cells that are averaged.
    """
    n_others = min(n_neighbours, len(components)) - 1
    if n_others < 1:
        return scores
    share = NearestNeighbors(n_neighbors=n_others).fit(components).kneighbors_graph()
    averaged: FloatArray = (share @ scores + scores) / (n_others + 1)
    return averaged


def refined(probabilities: "FloatArray", components: "FloatArray", *, seed: int = 0) -> "FloatArray":
    """Self-training: a classifier learns the labels of the surest cells, and is averaged with what was known.

    Parameters
    ----------
    probabilities
        Smoothed, shape `(n_obs, n_labels)`.
    components
        Of each cell, shape `(n_obs, n_components)`.
    seed
        Of the choice of teachers, where there are too many.

    Returns
    -------
    Probabilities, shape `(n_obs, n_labels)`: the geometric mean with those of a logistic regression, two rounds of it.
    Unchanged where all cells have the same label.
    """
    scaled = components / max(float(components.std(axis=0).max(initial=0)), _SMALLEST_PROBABILITY)
    for _ in range(_ROUNDS):
        labels = probabilities.argmax(axis=1)
        teachers = _surest(labels, probabilities.max(axis=1), seed)
        if len(np.unique(labels[teachers])) < 2:
            break
        classifier = LogisticRegression(max_iter=300).fit(scaled[teachers], labels[teachers])
        learned = np.full_like(probabilities, _SMALLEST_PROBABILITY)
        learned[:, classifier.classes_] = classifier.predict_proba(scaled)
        probabilities = np.sqrt(probabilities * learned)
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    return probabilities


def _surest(labels: "IntArray", confidence: "FloatArray", seed: int) -> "IntArray":
    """Rows of the surest cells of each label, ascending."""
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        n_sure = min(len(rows), max(_MIN_SURE, int(_SURE_SHARE * len(rows))))
        chosen.append(rows[np.argsort(-confidence[rows], kind="stable")[:n_sure]])
    rows = np.sort(np.concatenate(chosen))
    if len(rows) > _MAX_TEACHERS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MAX_TEACHERS, replace=False))
    return rows
