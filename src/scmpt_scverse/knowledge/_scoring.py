"""Hierarchy-aware metrics: predictions scored by how close they are in the Cell Ontology."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_table
from scmpt_scverse._labels import label_text, paired_labels
from scmpt_scverse.knowledge._cell_ontology import CellOntology, cell_ontology
from scmpt_scverse.knowledge._mapping import ids_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def ontology_metrics(
    y_true: "ArrayLike",
    y_pred: "ArrayLike",
    mapping: pd.DataFrame,
    *,
    unlabeled_category: str = "Unknown",
    ontology: CellOntology | None = None,
) -> pd.Series:
    r"""How close predictions are to the true labels in the Cell Ontology.

    Parameters
    ----------
    y_true, y_pred
        True and predicted label of each cell, in the same order.
    mapping
        From :func:`map_labels`; every label that occurs needs a term.
    unlabeled_category
        The label in `y_pred` that stands for no prediction.
    ontology
        As in :func:`map_labels`.

    Returns
    -------
    Series of floats:

    `hierarchical_precision`, `hierarchical_recall`, `hierarchical_f1`
        Micro-averaged: lineages are summed over all cells.
    `exact`
        Share of cells whose prediction is the true term.
    `within_lineage`
        Share of cells whose prediction is the true term, an ancestor or a descendant of it.
    `n_cells`
        Number of cells.

    Raises
    ------
    TypeError
        `y_true` or `y_pred` is not a list or column of labels, or `mapping` is not a DataFrame.
    KeyError
        `mapping` has no column `ontology_id`.
    ValueError
        The lengths differ, the indices name different cells or order them differently, there is no cell, or a label is
        missing or has no term.
    ImportError
        As in :func:`cell_ontology`.

    Notes
    -----
    The lineage :math:`L(t)` of a term is the term and its ancestors, without the root. Over cells :math:`c`
    with true term :math:`t_c` and predicted :math:`p_c`,

    .. math::

        hP = \frac{\sum_c |L(t_c) \cap L(p_c)|}{\sum_c |L(p_c)|}, \qquad
        hR = \frac{\sum_c |L(t_c) \cap L(p_c)|}{\sum_c |L(t_c)|}, \qquad
        hF_1 = \frac{2 \, hP \, hR}{hP + hR}

    :cite:p:`kiritchenko2006learning`. Predicting a parent of the true term lowers only recall, predicting a
    child only precision, and a missing prediction lowers only recall.
    """
    check_table(mapping, ("ontology_id",), "mapping", "`knowledge.map_labels`")
    truth, predicted = (labels.tolist() for labels in paired_labels(y_true, y_pred))
    ontology = ontology or cell_ontology()
    unlabeled_category = label_text(unlabeled_category)
    named = [label for label in dict.fromkeys([*truth, *predicted]) if label != unlabeled_category or label in truth]
    ids = dict(zip(named, ids_of(named, mapping), strict=True))
    lineages = {label: ontology.lineage(identifier) for label, identifier in ids.items()}
    none: frozenset[str] = frozenset()
    pairs = [(t, p, lineages[t], lineages.get(p, none)) for t, p in zip(truth, predicted, strict=True)]
    shared = sum(len(true_lineage & predicted_lineage) for _, _, true_lineage, predicted_lineage in pairs)
    precision = shared / max(sum(len(predicted_lineage) for *_, predicted_lineage in pairs), 1)
    recall = shared / max(sum(len(true_lineage) for _, _, true_lineage, _ in pairs), 1)
    is_exact = [ids.get(p) == ids[t] for t, p, *_ in pairs]
    is_related = [
        ids.get(p) in true_lineage or ids[t] in predicted_lineage for t, p, true_lineage, predicted_lineage in pairs
    ]
    return pd.Series(
        {
            "hierarchical_precision": precision,
            "hierarchical_recall": recall,
            "hierarchical_f1": 2 * precision * recall / (precision + recall) if shared else 0.0,
            "exact": float(np.mean(is_exact)),
            "within_lineage": float(np.mean(is_related)),
            "n_cells": float(len(truth)),
        }
    )
