"""The Cell Ontology in memory: terms, their relations, and the spellings by which they are found."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from scmpt_scverse._checks import did_you_mean, list_some
from scmpt_scverse._optional import import_optional
from scmpt_scverse.knowledge._normal_form import distinctive_words, normal_form

#: The term `cell`, the ancestor of all others.
ROOT = "CL:0000000"
#: References in brackets, which some definitions contain.
_REFERENCE = re.compile(r"\s*(?:\[[^\]]*\]|\([^()]*PMID[^()]*\))")


@dataclass(frozen=True)
class Term:
    """A cell type of the ontology.

    Attributes
    ----------
    id
        Such as `"CL:0000084"`.
    name
        Its name in the ontology.
    synonyms
        Other exact names.
    definition
        Its definition in plain text; `""` where the ontology has none.
    parents
        Ids of its direct parents.
    """

    id: str
    name: str
    synonyms: tuple[str, ...] = ()
    definition: str = ""
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class CellOntology:
    """Terms by id, without deprecated ones.

    Attributes
    ----------
    version
        Release of the Cell Ontology.
    terms
        Id, such as `"CL:0000084"`, to term.

    Raises
    ------
    ValueError
        A parent is not among the terms.
    """

    version: str
    terms: Mapping[str, Term]

    def __post_init__(self) -> None:
        unknown = sorted({parent for term in self.terms.values() for parent in term.parents} - set(self.terms))
        if unknown:
            raise ValueError(
                f"Expected the parents of all terms to be terms themselves; found {list_some(unknown)} missing. "
                "Add them, or leave them out of `parents`."
            )

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

    @cached_property
    def words_by_normal_form(self) -> dict[str, frozenset[str]]:
        """Normal form of each name and synonym to the words by which it is compared with others."""
        return {form: distinctive_words(form) for form in self.ids_by_normal_form}

    def ancestors(self, identifier: str) -> frozenset[str]:
        """Ids of all ancestors of a term, without itself; `KeyError` for an unknown id."""
        return frozenset(self._steps_up(identifier)) - {identifier}

    def descendants(self, identifier: str) -> frozenset[str]:
        """Ids of all descendants of a term, without itself; `KeyError` for an unknown id."""
        self._check(identifier)
        return self._descendants.get(identifier, frozenset())

    def lineage(self, identifier: str) -> frozenset[str]:
        """Ids of a term and its ancestors, without the root, which all terms share; `KeyError` for an unknown id."""
        return frozenset(self._steps_up(identifier)) - {ROOT}

    def path(self, identifier: str) -> tuple[str, ...]:
        """Ids from the most general ancestor below the root to the term itself; of several parents, the most specific.

        Empty for the root; `KeyError` for an unknown id.
        """
        self._check(identifier)
        found: list[str] = []
        while identifier != ROOT:
            found.append(identifier)
            parents = self.terms[identifier].parents
            if not parents:
                break
            identifier = max(parents, key=lambda parent: (len(self.ancestors(parent)), parent))
        return tuple(reversed(found))

    def distance(self, one: str, other: str) -> int:
        """Number of steps between two terms, up to the nearest common ancestor and down again.

        Parameters
        ----------
        one, other
            Ids of terms.

        Returns
        -------
        0 for a term and itself, 1 for parent and child, 2 for siblings.

        Raises
        ------
        KeyError
            An id is unknown.
        ValueError
            The terms have no common ancestor; in the Cell Ontology, all share `cell`.
        """
        first, second = self._steps_up(one), self._steps_up(other)
        common = first.keys() & second.keys()
        if not common:
            raise ValueError(
                f"Expected terms with a common ancestor; {self.terms[one].name!r} and {self.terms[other].name!r} have "
                "none. Add a common ancestor to the ontology."
            )
        return min(first[term] + second[term] for term in common)

    @cached_property
    def _steps(self) -> dict[str, dict[str, int]]:
        """Filled on demand: for each id, the number of steps to the term itself and to each of its ancestors."""
        return {}

    def _steps_up(self, identifier: str) -> dict[str, int]:
        if identifier not in self._steps:
            self._check(identifier)
            steps = {identifier: 0}
            level = [identifier]
            while level:
                above = dict.fromkeys(parent for term in level for parent in self.terms[term].parents)
                level = [term for term in above if term not in steps]
                steps.update(dict.fromkeys(level, 1 + max(steps.values())))
            self._steps[identifier] = steps
        return self._steps[identifier]

    @cached_property
    def _descendants(self) -> dict[str, frozenset[str]]:
        below: dict[str, set[str]] = defaultdict(set)
        for identifier in self.terms:
            for ancestor in self.ancestors(identifier):
                below[ancestor].add(identifier)
        return {identifier: frozenset(kinds) for identifier, kinds in below.items()}

    def _check(self, identifier: str) -> None:
        if identifier not in self.terms:
            raise KeyError(
                f"Expected the id of a term of the Cell Ontology {self.version}; found {identifier!r}."
                f"{did_you_mean(identifier, self.terms)} Use `map_labels` to find the id of a name."
            )


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
        "cellxgene_ontology_guide.supported_versions", extra="ontology", purpose="Reading the Cell Ontology"
    )
    schema = guide.CXGSchema()
    entries = {key: entry for key, entry in schema.ontology("CL").items() if not entry.get("deprecated", False)}
    terms = {
        identifier: Term(
            id=identifier,
            name=entry["label"],
            synonyms=tuple(entry.get("synonyms", ())),
            definition=_REFERENCE.sub("", entry.get("description") or "").strip(),
            parents=_nearest({key: steps for key, steps in entry.get("ancestors", {}).items() if key in entries}),
        )
        for identifier, entry in entries.items()
    }
    return CellOntology(schema.supported_ontologies["CL"]["version"], terms)


def _nearest(ancestors: Mapping[str, int]) -> tuple[str, ...]:
    """The nearest ancestors, as parents: for a few terms, the ancestors that the package lists lack the direct ones."""
    nearest = min(ancestors.values(), default=0)
    return tuple(sorted(key for key, steps in ancestors.items() if steps == nearest))
