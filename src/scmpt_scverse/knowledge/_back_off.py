"""Replace uncertain labels by the most specific ancestor in the Cell Ontology that is probable enough."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_number, check_table, checked_numbers
from scmpt_scverse.knowledge._cell_ontology import CellOntology, cell_ontology
from scmpt_scverse.knowledge._mapping import ids_of

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, IntArray

#: Sums of float32 probabilities that equal the threshold may fall short of it by this much.
_ROUNDING = 1e-6
#: Cells per block: each block holds one sum per cell and term.
_CELLS_AT_ONCE = 2048


def back_off(
    probabilities: pd.DataFrame,
    mapping: pd.DataFrame,
    *,
    threshold: float = 0.8,
    ontology: CellOntology | None = None,
) -> pd.DataFrame:
    """For each cell, the most specific term that is probable enough.

    Parameters
    ----------
    probabilities
        `(n_obs, n_labels)`, columns are labels, rows sum to 1.
    mapping
        From :func:`map_labels`, with a term for every column.
    threshold
        Smallest probability that a term must reach, in (0, 1]. Meaningful if the probabilities are calibrated.
    ontology
        As in :func:`map_labels`.

    Returns
    -------
    DataFrame with the index of `probabilities` and the columns

    `ontology_id`, `ontology_term`
        The term of the most probable label if it reaches the threshold; otherwise the ancestor that reaches it and
        covers the fewest labels, the most specific of several. At worst, that is `cell`.
    `probability`
        Sum over the labels that the term covers.
    `is_backed_off`
        Whether the term differs from that of the most probable label.

    In rows with NaN, `is_backed_off` is false and the rest is missing.

    Raises
    ------
    TypeError
        `probabilities` or `mapping` is not a DataFrame, or `probabilities` holds values that are not numbers.
    KeyError
        `mapping` has no column `ontology_id`.
    ValueError
        A label has no term, or `threshold` is out of range.
    ImportError
        As in :func:`cell_ontology`.

    Examples
    --------
    >>> import pandas as pd
    >>> from scmpt_scverse import knowledge
    >>> labels = ["CD4-positive, alpha-beta T cell", "CD8-positive, alpha-beta T cell", "B cell"]
    >>> unsure = pd.DataFrame([[0.5, 0.4, 0.1], [0.0, 0.1, 0.9]], columns=labels)
    >>> knowledge.back_off(unsure, knowledge.map_labels(labels))["ontology_term"].tolist()
    ['mature alpha-beta T cell', 'B cell']
    """
    check_number(threshold, "threshold", above=0)
    if threshold > 1:
        raise ValueError(f"`threshold` must be in (0, 1]; found {threshold!r}. Pass a probability such as 0.8.")
    check_table(probabilities, (), "probabilities", "`model.predict(soft=True)`")
    check_table(mapping, ("ontology_id",), "mapping", "`knowledge.map_labels`")
    values = checked_numbers(probabilities, "probabilities", ndim=2)
    ontology = ontology or cell_ontology()
    return TermLevels(ids_of(probabilities.columns, mapping), ontology).of(values, threshold, probabilities.index)


class TermLevels:
    """The terms of some labels and all ancestors of these terms: the terms to back off to.

    Parameters
    ----------
    ids
        Term of each label.
    ontology
        The ontology that holds these terms.
    """

    def __init__(self, ids: list[str], ontology: CellOntology) -> None:
        self._terms, covers = _terms_specific_first(ids, ontology)
        self._covers = covers.astype(np.float64)
        self._names = [ontology.terms[term].name for term in self._terms]
        number = {term: place for place, term in enumerate(self._terms)}
        self._own = np.array([number[identifier] for identifier in ids])
        # For each label: its own term, then its ancestors, the most specific first.
        self._upwards = [
            np.concatenate([[own], np.setdiff1d(np.flatnonzero(covers[:, label]), [own])])
            for label, own in enumerate(self._own)
        ]

    def of(self, probabilities: "FloatArray", threshold: float, index: pd.Index | None = None) -> pd.DataFrame:
        """As :func:`back_off`: one row per row of `probabilities`, computed block by block."""
        n_obs = len(probabilities)
        chosen, probability = np.full(n_obs, -1), np.full(n_obs, np.nan)
        is_backed_off = np.zeros(n_obs, dtype=bool)
        for start in range(0, n_obs, _CELLS_AT_ONCE):
            rows = slice(start, start + _CELLS_AT_ONCE)
            values = np.asarray(probabilities[rows], dtype=np.float64)
            chosen[rows], probability[rows], is_backed_off[rows] = self._levels(values, threshold)
        table = pd.DataFrame(
            {
                "ontology_id": [self._terms[term] if term >= 0 else None for term in chosen],
                "ontology_term": [self._names[term] if term >= 0 else None for term in chosen],
            },
            index=index,
            dtype=object,  # pandas 3 would turn None into NaN in a text column
        )
        return table.assign(probability=probability, is_backed_off=is_backed_off)

    def _levels(self, values: "FloatArray", threshold: float) -> "tuple[IntArray, FloatArray, BoolArray]":
        """For each row: index of its term (-1 for none), its probability, and whether it differs from the label's."""
        is_readable = np.isfinite(values).all(axis=1)
        best = np.where(is_readable, np.where(np.isnan(values), -1, values).argmax(axis=1), -1)
        sums = values @ self._covers.T
        chosen = np.full(len(values), -1)
        for label in np.unique(best[is_readable]):
            rows = np.flatnonzero(best == label)
            upwards = self._upwards[label]
            reaches = sums[np.ix_(rows, upwards)] >= threshold - _ROUNDING
            chosen[rows] = upwards[reaches.argmax(axis=1)]
        probability = np.where(is_readable, sums[np.arange(len(values)), chosen], np.nan)
        return chosen, probability, is_readable & (chosen != self._own[best])


def _terms_specific_first(ids: list[str], ontology: CellOntology) -> "tuple[list[str], IntArray]":
    """Terms of the labels and their ancestors, and which labels each covers, shape `(n_terms, n_labels)`."""
    lineages = [ontology.ancestors(identifier) | {identifier} for identifier in ids]
    terms = sorted(set().union(*lineages))
    covers = np.array([[term in lineage for lineage in lineages] for term in terms], dtype=np.int64)
    n_ancestors = np.array([len(ontology.ancestors(term)) for term in terms])
    order = np.lexsort((-n_ancestors, covers.sum(axis=1)))
    return [terms[term] for term in order], covers[order]
