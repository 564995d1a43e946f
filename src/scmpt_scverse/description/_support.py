"""Whether a text says no more than the evidence has: every gene and every cell type that it names."""

import re

from scmpt_scverse.description._evidence import Evidence
from scmpt_scverse.knowledge import CellOntology, GeneFinder, named_genes, term_of, types_in_text


def unsupported(text: str, evidence: Evidence, names: GeneFinder, ontology: CellOntology) -> list[str]:
    """Genes and cell types that a text names and the evidence does not have, as the text has them.

    Parameters
    ----------
    text
        A description.
    evidence
        What may be said.
    names
        Finds genes.
    ontology
        Whose types are found. What the types of the evidence are kinds of may be named, and so may what its definition
        names.
    """
    allowed, without_term = set(), []
    for name in evidence.named_types:
        term = term_of(name, ontology)
        if term is None:
            without_term.append(name)
        else:
            allowed |= {term} | ontology.ancestors(term)
    for ids in types_in_text(evidence.definition, ontology).values():
        allowed |= ids
    # A label of the user's may hold the name of a type, and a programme that of a gene: "NF-kB activation".
    rest = _without(text, [*without_term, *(state.name for state in evidence.states), evidence.definition])
    types = types_in_text(rest, ontology)
    rest = _without(rest, [*types, *evidence.named_types])
    genes = [
        rest[each.start : each.end]
        for each in named_genes(rest, names)
        if not evidence.named_genes.intersection(each.symbols)
    ]
    return list(dict.fromkeys([*genes, *(name for name, ids in types.items() if not ids & allowed)]))


def _without(text: str, phrases: list[str]) -> str:
    """A text with phrases blanked out, whole words only, longest first."""
    for phrase in sorted(filter(None, phrases), key=len, reverse=True):
        pattern = rf"(?<!\w){re.escape(phrase)}(?:s)?(?!\w)"
        text = re.sub(pattern, lambda found: "." + " " * (len(found[0]) - 1), text, flags=re.IGNORECASE)
    return text
