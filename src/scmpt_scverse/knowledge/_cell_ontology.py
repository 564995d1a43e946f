"""The Cell Ontology in memory: terms, their ancestors, and the spellings by which they are found."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from scmpt_scverse._optional import import_optional

#: The term `cell`, of which all others are kinds.
ROOT = "CL:0000000"
#: Common abbreviations, by word.
_ABBREVIATIONS = {
    "dc": "dendritic",
    "dcs": "dendritic",
    "mono": "monocyte",
    "monos": "monocyte",
    "nk": "natural killer",
    "treg": "regulatory t",
    "tregs": "regulatory t",
}
#: Words that the ontology uses in names of CD4 and CD8 T cells, and labels usually omit.
_IMPLIED_OF_T_CELLS = frozenset({"alpha", "beta", "thymus", "derived"})
#: A word, with the level of a marker that follows it: `cd14-positive` is one word.
_WORD = re.compile(r"([a-z0-9]+)(?:[\s-]+(positive|negative|low|high|dim|bright|intermediate)\b)?")


@dataclass(frozen=True)
class Term:
    """A cell type of the ontology.

    Attributes
    ----------
    name
        Its name in the ontology.
    synonyms
        Other exact names.
    ancestors
        Ids of all terms that it is a kind of.
    """

    name: str
    synonyms: tuple[str, ...]
    ancestors: frozenset[str]


@dataclass(frozen=True)
class CellOntology:
    """Terms by id, without deprecated ones.

    Attributes
    ----------
    version
        Release of the Cell Ontology.
    terms
        Id, such as `"CL:0000084"`, to term.
    """

    version: str
    terms: Mapping[str, Term]

    @cached_property
    def ids_by_name(self) -> dict[str, str]:
        """Name of each term, as written, to its id."""
        return {term.name: identifier for identifier, term in self.terms.items()}

    @cached_property
    def ids_by_synonym(self) -> dict[str, set[str]]:
        """Exact synonym, as written, to the ids of its terms."""
        ids: dict[str, set[str]] = defaultdict(set)
        for identifier, term in self.terms.items():
            for synonym in term.synonyms:
                ids[synonym].add(identifier)
        return dict(ids)

    @cached_property
    def ids_by_name_form(self) -> dict[str, set[str]]:
        """Normal form of each name to ids."""
        names: dict[str, set[str]] = defaultdict(set)
        for name, identifier in self.ids_by_name.items():
            names[normal_form(name)].add(identifier)
        return dict(names)

    @cached_property
    def ids_by_normal_form(self) -> dict[str, set[str]]:
        """Normal form of each name, and of each synonym that is not the name of another term, to ids."""
        synonyms: dict[str, set[str]] = defaultdict(set)
        for synonym, identifiers in self.ids_by_synonym.items():
            synonyms[normal_form(synonym)] |= identifiers
        return dict(synonyms) | self.ids_by_name_form

    def lineage(self, identifier: str) -> frozenset[str]:
        """A term and its ancestors, without the root, which every pair of terms shares."""
        return (self.terms[identifier].ancestors | {identifier}) - {ROOT}


@cache
def cell_ontology() -> CellOntology:
    """The Cell Ontology from the installed package `cellxgene-ontology-guide`.

    Returns
    -------
    The ontology, read once per session; no network is needed.

    Raises
    ------
    ImportError
        `cellxgene-ontology-guide`, from the extra `ontology`, is not installed.

    Notes
    -----
    The Cell Ontology :cite:p:`diehl2016cell` is published under CC BY 4.0.
    """
    guide = import_optional(
        "cellxgene_ontology_guide.supported_versions", extra="ontology", purpose="Mapping labels to the Cell Ontology"
    )
    schema = guide.CXGSchema()
    terms = {
        identifier: Term(entry["label"], tuple(entry.get("synonyms", ())), frozenset(entry.get("ancestors", ())))
        for identifier, entry in schema.ontology("CL").items()
        if not entry.get("deprecated", False)
    }
    return CellOntology(schema.supported_ontologies["CL"]["version"], terms)


def normal_form(name: str) -> str:
    """The spelling under which variants of one name meet.

    Lower case, singular, abbreviations written out, words in alphabetical order, punctuation dropped. A marker and its
    level are one word (`CD14+` is `cd14-positive`), so that `CD14+ CD16-` and `CD14- CD16+` stay apart. For CD4 and CD8
    T cells, `positive`, `alpha-beta` and `thymus-derived` are dropped.
    """
    text = re.sub(r"(?<=[a-z0-9])\+", "-positive ", name.lower())
    text = re.sub(r"(?<=\d)-(?=[\s/,]|$)", "-negative ", text)
    words = []
    for word, level in _WORD.findall(text):
        full = " ".join(map(_singular, _ABBREVIATIONS.get(word, word).split()))
        words += f"{full}-{level}".split() if level else full.split()
    if "t" in words:
        bare = [word.removesuffix("-positive") for word in words]
        if {"cd4", "cd8"} & set(bare):
            words = [word for word in bare if word not in _IMPLIED_OF_T_CELLS]
    return " ".join(sorted(words))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
