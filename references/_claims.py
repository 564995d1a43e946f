"""Which claimed type a label is, by the Cell Ontology."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from scmpt_scverse.knowledge import cell_ontology

#: Cells that are no kind of any claimed type; and cells of a wider type, which may or may not be.
OUTSIDE, OPEN = "outside", ""


def claimed_type(term: str, types: Sequence[str]) -> str:
    """Name of the most specific of some types that a term is a kind of; else `OUTSIDE`, or `OPEN` for a wider term."""
    ontology = cell_ontology()
    if not term:
        return OPEN
    lineage = ontology.ancestors(term) | {term}
    found = [each for each in types if each in lineage]
    if found:
        return ontology.terms[max(found, key=lambda each: len(ontology.ancestors(each)))].name
    return OPEN if any(term in ontology.ancestors(each) for each in types) else OUTSIDE


def types_of(terms: np.ndarray, types: Sequence[str]) -> np.ndarray:
    """Claimed type of the term of each cell."""
    by_term = {term: claimed_type(term, types) for term in set(terms)}
    return np.array([by_term[term] for term in terms], dtype=object)


def claimable_types(terms_of_groups: Mapping[str, Iterable[str]], types: Sequence[str], least: int) -> tuple[str, ...]:
    """Those of some types that at least so many groups of studies have; the terms of each group are given."""
    ontology = cell_ontology()
    have = {group: {claimed_type(term, types) for term in set(terms)} for group, terms in terms_of_groups.items()}
    return tuple(each for each in types if sum(ontology.terms[each].name in some for some in have.values()) >= least)
