"""The Cell Ontology in memory: terms, synonyms and kinship."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from scmpt_scverse._optional import import_optional
from scmpt_scverse.ontology._normal_form import normal_form

#: The term `cell`, of which all others are kinds.
ROOT = "CL:0000000"


@dataclass(frozen=True)
class Term:
    """A kind of cell.

    Attributes
    ----------
    name
        Its name in the ontology.
    synonyms
        Other exact names.
    ancestors
        Every term that it is a kind of.
    """

    name: str
    synonyms: tuple[str, ...]
    ancestors: frozenset[str]


@dataclass(frozen=True)
class CellOntology:
    """Terms by id, deprecated ones left out.

    Attributes
    ----------
    version
        Of the Cell Ontology.
    terms
        Id, such as `"CL:0000084"`, to term.
    """

    version: str
    terms: Mapping[str, Term]

    @cached_property
    def ids_by_name(self) -> dict[str, str]:
        """Name of each term as it is written, to its id."""
        return {term.name: identifier for identifier, term in self.terms.items()}

    @cached_property
    def ids_by_synonym(self) -> dict[str, set[str]]:
        """Exact synonym as it is written, to the ids of its terms."""
        ids: dict[str, set[str]] = defaultdict(set)
        for identifier, term in self.terms.items():
            for synonym in term.synonyms:
                ids[synonym].add(identifier)
        return dict(ids)

    @cached_property
    def ids_by_name_form(self) -> dict[str, set[str]]:
        """Names in their normal form to ids."""
        names: dict[str, set[str]] = defaultdict(set)
        for name, identifier in self.ids_by_name.items():
            names[normal_form(name)].add(identifier)
        return dict(names)

    @cached_property
    def ids_by_normal_form(self) -> dict[str, set[str]]:
        """Names, and synonyms that are no other term's name, in their normal form to ids."""
        synonyms: dict[str, set[str]] = defaultdict(set)
        for synonym, identifiers in self.ids_by_synonym.items():
            synonyms[normal_form(synonym)] |= identifiers
        return dict(synonyms) | self.ids_by_name_form

    def lineage(self, identifier: str) -> frozenset[str]:
        """A term and all that it is a kind of, without the root, which every pair of terms shares."""
        return (self.terms[identifier].ancestors | {identifier}) - {ROOT}


@cache
def cell_ontology() -> CellOntology:
    """The Cell Ontology that the installed `cellxgene-ontology-guide` carries.

    Returns
    -------
    The ontology; read once a session, without a network.

    Raises
    ------
    ImportError
        The package, of the extra `ontology`, is not installed.

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
