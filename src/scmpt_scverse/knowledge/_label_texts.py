"""Wordings of a cell type for a text encoder."""

from collections.abc import Iterable, Mapping, Sequence

from scmpt_scverse.knowledge._cell_ontology import CellOntology, Term, cell_ontology
from scmpt_scverse.knowledge._mapping import term_of
from scmpt_scverse.knowledge._own_words import own_words, signed_name

#: Maximum number of synonyms in a wording.
_MAX_SYNONYMS = 8


def label_texts(
    labels: Iterable[object] | Mapping[str, str | Sequence[str]], *, ontology: CellOntology | None = None
) -> dict[str, list[str]]:
    """Several wordings for each label.

    Parameters
    ----------
    labels
        Names of cell types or Cell Ontology ids; or a mapping from each of these to a description in your own words or
        to a list of marker genes.
    ontology
        As in :func:`map_labels`.

    Returns
    -------
    Label, as given, to at least one wording, in this order and without repeats: the name; the name and its definition
    (your own words or markers, if you gave them); the name and its synonyms; the name and its ancestors. A label that
    is not a term of the Cell Ontology has only its name and your own words or markers.

    Raises
    ------
    ValueError
        There is no label, a label is missing or blank, or two labels that read alike have different words.
    ImportError
        As in :func:`cell_ontology`.

    Examples
    --------
    >>> from scmpt_scverse import knowledge
    >>> knowledge.label_texts(["NK"])["NK"][0]
    'natural killer cell'
    >>> knowledge.label_texts({"my type": ["FOO", "BAR"]})
    {'my type': ['my type', 'my type: expresses FOO and BAR.']}
    """
    words = own_words(labels)
    ontology = ontology or cell_ontology()
    texts = {}
    for label, own in words.items():
        identifier = term_of(label, ontology)
        term = None if identifier is None else ontology.terms[identifier]
        texts[label] = _wordings(label, own, term, ontology)
    return texts


def _wordings(label: str, own: str | list[str], term: Term | None, ontology: CellOntology) -> list[str]:
    name = label if term is None else term.name
    texts = [name]
    if own:
        texts.append(f"{name}: {own if isinstance(own, str) else _expression(own)}")
    elif term is not None and term.definition:
        texts.append(f"{name}: {term.definition}")
    if term is not None:
        others = [other for other in dict.fromkeys([label, *term.synonyms]) if other not in (name, term.id)]
        if others:
            texts.append(f"{name}, also called {_listed(others[:_MAX_SYNONYMS], 'or')}")
        kinds = _chain(term, ontology)
        if kinds:
            texts.append(f"{name}, a kind of {', '.join(kinds)}")
    return texts


def _chain(term: Term, ontology: CellOntology) -> list[str]:
    """Names of a parent, its parent and so on, without the root."""
    return [ontology.terms[identifier].name for identifier in reversed(ontology.path(term.id)[:-1])]


def _expression(genes: Sequence[str]) -> str:
    named = [signed_name(gene) for gene in genes]
    has, lacks = ([name for name, is_denied in named if is_denied is denied] for denied in (False, True))
    parts = [f"expresses {_listed(has)}"] if has else []
    parts += [f"does not express {_listed(lacks, 'or')}"] if lacks else []
    return f"{', '.join(parts)}."


def _listed(names: Sequence[str], last: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"
