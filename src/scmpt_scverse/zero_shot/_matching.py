"""Which candidates are right for a true label: those that the Cell Ontology says are the same type, or kinds of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scmpt_scverse.knowledge import CellOntology, cell_ontology, normal_form, term_of

if TYPE_CHECKING:
    from scmpt_scverse.zero_shot._candidates import Candidates


def matching_candidates(
    names: Sequence[str], candidates: "Candidates", ontology: CellOntology | None = None
) -> dict[str, tuple[int, ...]]:
    """The candidates that are right for each name.

    Parameters
    ----------
    names
        Labels of any spelling.
    candidates
        What is chosen from.
    ontology
        As in :func:`scmpt_scverse.knowledge.map_labels`.

    Returns
    -------
    Name to numbers of candidates. The candidate of the same name or term, in any spelling; else the nearest of which
    the name is a kind (`CD4 T cell`, where there is only `T cell`); else all that are kinds of it (`T cell`, where
    there are `CD4 T cell` and `CD8 T cell`). Empty for a name that matches none.
    """
    ontology = ontology or cell_ontology()
    return {name: _matching(name, candidates, ontology) for name in names}


def _matching(name: str, candidates: "Candidates", ontology: CellOntology) -> tuple[int, ...]:
    for key in (lambda text: text, normal_form):
        same = [number for number, other in enumerate(candidates.names) if key(other) == key(name)]
        if same:
            return tuple(same)
    term = term_of(name, ontology)
    if term is None:
        return ()
    known = {number: other for number, other in enumerate(candidates.terms) if other is not None}
    same = [number for number, other in known.items() if other == term]
    if same:
        return tuple(same)
    above = ontology.ancestors(term)
    steps = {number: ontology.distance(term, other) for number, other in known.items() if other in above}
    if steps:
        return tuple(number for number, n_steps in steps.items() if n_steps == min(steps.values()))
    below = ontology.descendants(term)
    return tuple(number for number, other in known.items() if other in below)
