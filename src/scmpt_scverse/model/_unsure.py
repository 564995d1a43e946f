"""Of what the head is unsure: cells and clusters by confidence, and the labels between which it wavers."""

from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse.tl._llm_subjects import Subjects, cells_as_subjects, clusters_as_subjects

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.pp._expression import ExpressionReader


def cells_by_confidence(reader: "ExpressionReader", head: "FloatArray", rows: "IntArray", n_genes: int) -> Subjects:
    """Some cells, least certain first, without those that the head cannot read."""
    confidence = head.max(axis=1)
    rows = np.unique(rows)
    rows = rows[np.isfinite(confidence[rows])]
    return cells_as_subjects(reader, rows[np.argsort(confidence[rows], kind="stable")], n_genes)


def uncertain_clusters(
    reader: "ExpressionReader", head: "FloatArray", codes: "IntArray", confidence_below: float, n_genes: int
) -> Subjects:
    """The clusters whose mean probabilities are uncertain, least certain first."""
    codes = np.where(np.isfinite(head).all(axis=1), codes, -1)
    confidence = _means(head, codes, int(codes.max(initial=-1)) + 1).max(axis=1)
    unsure = [
        int(cluster) for cluster in np.argsort(confidence, kind="stable") if confidence[cluster] < confidence_below
    ]
    return clusters_as_subjects(reader, codes, unsure, n_genes)


def most_probable(head: "FloatArray", subjects: Subjects, n: int) -> "tuple[IntArray, FloatArray]":
    """Columns of the most probable labels of each subject, and their probabilities; shape `(n_subjects, n)`."""
    means = _means(head, subjects.of_cell, len(subjects.genes))
    places = np.argsort(-means, axis=1, kind="stable")[:, :n]
    return places, np.take_along_axis(means, places, axis=1)


def _means(values: "FloatArray", groups: "IntArray", n_groups: int) -> "FloatArray":
    """Mean row of each group, shape `(n_groups, n_columns)`; NaN for an empty one. Group -1 counts for none."""
    in_one = groups >= 0
    sums = np.zeros((n_groups, values.shape[1]))
    np.add.at(sums, groups[in_one], values[in_one])
    sizes = np.bincount(groups[in_one], minlength=n_groups).astype(float)
    sizes[sizes == 0] = np.nan
    return sums / sizes[:, None]
