"""Which type a group or a cell is: the level that is sure, and its evidence."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd

from scmpt_scverse.description._definitions import stated_definition
from scmpt_scverse.description._evidence import Evidence
from scmpt_scverse.knowledge import ROOT, GeneFinder, cell_ontology

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray
    from scmpt_scverse.description._subjects import Subjects
    from scmpt_scverse.zero_shot import Candidates

#: Labels that evidence lists at most, of this probability, and at least, so that a choice is left.
_N_CANDIDATES, _LEAST_PROBABILITY, _FEWEST_CANDIDATES = 5, 0.005, 2
#: Sums of float32 probabilities that equal the threshold may fall short of it by this much.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Levels:
    """What is sure of each group or cell.

    Attributes
    ----------
    terms
        Id of the most specific kind of cell that is probable enough; `None` for a label that is no term, and where
        nothing can be read.
    probability
        Of that kind as back-off found it, or of the most probable label by itself, shape `(n_subjects,)`.
    is_label
        Whether it is the most probable label by itself, shape `(n_subjects,)`.
    is_sure
        Whether it leaves out any candidate, shape `(n_subjects,)`.
    covered
        Labels whose probability and whose genes are stated, shape `(n_subjects, n_labels)`: those of that kind, or the
        most probable one where nothing is sure.
    """

    terms: "list[str | None]"
    probability: "FloatArray"
    is_label: "BoolArray"
    is_sure: "BoolArray"
    covered: "BoolArray"

    @classmethod
    def of(cls, levels: pd.DataFrame, soft: "FloatArray", candidates: "Candidates", threshold: float) -> Self:
        """From what :func:`scmpt_scverse.zero_shot.backed_off` gives for probabilities `(n_subjects, n_labels)`."""
        found: list[str | None] = levels["ontology_id"].tolist()
        ontology = cell_ontology()
        lineages = [set() if term is None else ontology.ancestors(term) | {term} for term in candidates.terms]
        under = {term: np.array([term in lineage for lineage in lineages]) for term in set(found) if term is not None}
        is_label, is_sure = np.zeros(len(found), dtype=bool), np.zeros(len(found), dtype=bool)
        covered = np.zeros(soft.shape, dtype=bool)
        terms: list[str | None] = [None] * len(found)
        probability = np.full(len(found), np.nan)
        for number in np.flatnonzero(np.isfinite(soft).all(axis=1)):
            best = int(soft[number].argmax())
            term = found[number]
            is_label[number] = soft[number, best] >= threshold - _ROUNDING
            is_kind = term is not None and term != ROOT and not under[term].all()
            is_sure[number] = is_label[number] or is_kind
            terms[number] = candidates.terms[best] if is_label[number] else term
            if term is not None and is_kind and not is_label[number]:
                covered[number] = under[term]
            covered[number, best] = True
            # Of registered types, those without a term are left out there, so it is no sum of `soft`.
            is_found = is_kind and not is_label[number]
            probability[number] = levels["probability"].iat[number] if is_found else soft[number, best]
        return cls(terms, probability, is_label, is_sure, covered)


def types_of(
    subjects: "Subjects",
    soft: "FloatArray",
    sure: Levels,
    labels: list[str],
    names: GeneFinder,
) -> list[Evidence]:
    """Evidence of the types alone."""
    ontology = cell_ontology()
    n_cells = np.ones(len(subjects.names), dtype=np.int64)
    if not subjects.are_cells:
        n_cells = np.bincount(subjects.codes[subjects.codes >= 0], minlength=len(subjects.names))
    definitions: dict[str, str] = {}
    found = []
    for number, name in enumerate(subjects.names):
        basis = Evidence(str(name), subjects.are_cells, int(n_cells[number]))
        if not np.isfinite(soft[number]).all():
            found.append(basis)
            continue
        order = np.argsort(-soft[number], kind="stable")[:_N_CANDIDATES]
        n_listed = max(int((soft[number, order] >= _LEAST_PROBABILITY).sum()), _FEWEST_CANDIDATES)
        order = order[:n_listed]
        term = sure.terms[number]
        shown = labels[order[0]] if sure.is_label[number] else ontology.terms[term or ROOT].name
        if term is not None and term not in definitions:
            definitions[term] = stated_definition(term, ontology, names)
        found.append(
            replace(
                basis,
                candidates=tuple((labels[label], float(soft[number, label])) for label in order),
                term=shown,
                ontology_id=term or "",
                probability=min(float(sure.probability[number]), 1.0),
                is_sure=bool(sure.is_sure[number]),
                path=tuple(ontology.terms[each].name for each in ontology.path(term)) if term else (),
                definition=definitions[term] if term else "",
            )
        )
    return found


def shown_labels(candidates: "Candidates") -> list[str]:
    """Labels as texts name them: as they were given, ids of the Cell Ontology by the names of their terms."""
    terms = cell_ontology().terms
    return [
        terms[term].name if term is not None and str(name).replace("_", ":", 1) == term else str(name)
        for name, term in zip(candidates.names, candidates.terms, strict=True)
    ]
