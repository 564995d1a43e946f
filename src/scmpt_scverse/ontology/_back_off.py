"""Where the label is unsure, the narrowest kind of cell that is not."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse.ontology._cell_ontology import CellOntology, cell_ontology
from scmpt_scverse.ontology._mapping import ids_of

if TYPE_CHECKING:
    from scmpt_scverse._types import IntArray


def back_off(
    probabilities: pd.DataFrame,
    mapping: pd.DataFrame,
    *,
    threshold: float = 0.8,
    ontology: CellOntology | None = None,
) -> pd.DataFrame:
    """The narrowest term that is probable enough, for each cell.

    Parameters
    ----------
    probabilities
        `(n_obs, n_labels)`, columns are labels, rows sum to 1.
    mapping
        From :func:`map_labels`, with a term for every column.
    threshold
        Probability that a term has to reach, in (0, 1]. It means what it says if the probabilities are calibrated.
    ontology
        As in :func:`map_labels`.

    Returns
    -------
    DataFrame with the index of `probabilities` and the columns

    `ontology_id`, `ontology_term`
        The term of the most probable label if it reaches the threshold; otherwise that of its ancestors that does and
        covers the fewest labels, of several such ones the most special. In the extreme, that is `cell`.
    `probability`
        Sum over the labels that are of this kind.
    `is_backed_off`
        Whether the term is another than that of the most probable label.

    All are missing, and `is_backed_off` is false, where probabilities are NaN.

    Raises
    ------
    ValueError
        A label has no term, or `threshold` is out of range.

    Examples
    --------
    >>> import pandas as pd
    >>> from scmpt_scverse import ontology
    >>> labels = ["CD4-positive, alpha-beta T cell", "CD8-positive, alpha-beta T cell", "B cell"]
    >>> unsure = pd.DataFrame([[0.5, 0.4, 0.1], [0.0, 0.1, 0.9]], columns=labels)
    >>> ontology.back_off(unsure, ontology.map_labels(labels))["ontology_term"].tolist()
    ['mature alpha-beta T cell', 'B cell']
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"`threshold` must be in (0, 1]; found {threshold!r}.")
    ontology = ontology or cell_ontology()
    ids = ids_of(probabilities.columns, mapping)
    terms, covers = _terms_from_narrow_to_wide(ids, ontology)
    values = probabilities.to_numpy(dtype=np.float64)
    is_readable = np.isfinite(values).all(axis=1)
    chosen = np.full(len(values), -1)
    best = np.where(is_readable, np.where(np.isnan(values), -1, values).argmax(axis=1), -1)
    sums = values @ covers.T
    for label in np.unique(best[best >= 0]):
        rows = np.flatnonzero(best == label)
        own = [terms.index(ids[label])]
        wider = [term for term in np.flatnonzero(covers[:, label]) if term != own[0]]
        candidates = np.array(own + wider)
        # The last one that covers all labels has a sum of 1, but for rounding.
        reaches = sums[rows][:, candidates] >= min(threshold, 1 - 1e-6)
        chosen[rows] = candidates[reaches.argmax(axis=1)]
    names = [ontology.terms[term].name for term in terms]
    is_known = chosen >= 0
    own_term = np.array([terms.index(identifier) for identifier in ids])[best]
    table = pd.DataFrame(
        {
            "ontology_id": [terms[term] if term >= 0 else None for term in chosen],
            "ontology_term": [names[term] if term >= 0 else None for term in chosen],
        },
        index=probabilities.index,
        dtype=object,  # pandas 3 would make NaN of None in a column of text
    )
    return table.assign(
        probability=np.where(is_known, sums[np.arange(len(values)), chosen], np.nan),
        is_backed_off=is_known & (chosen != own_term),
    )


def _terms_from_narrow_to_wide(ids: list[str], ontology: CellOntology) -> "tuple[list[str], IntArray]":
    """Terms of the labels and all that they are kinds of, and which labels each covers, `(n_terms, n_labels)`."""
    lineages = [ontology.terms[identifier].ancestors | {identifier} for identifier in ids]
    terms = sorted(set().union(*lineages))
    covers = np.array([[term in lineage for lineage in lineages] for term in terms], dtype=np.int64)
    n_ancestors = np.array([len(ontology.terms[term].ancestors) for term in terms])
    order = np.lexsort((-n_ancestors, covers.sum(axis=1)))
    return [terms[term] for term in order], covers[order]
