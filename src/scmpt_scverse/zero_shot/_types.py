"""The cell types that an alignment was trained on: names, terms of the Cell Ontology, and tissues."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import pandas as pd

from scmpt_scverse._checks import did_you_mean, list_some
from scmpt_scverse.knowledge import CellOntology, normal_form, tissue_form, tissues_meant, tissues_named

#: A type belongs to a tissue that so many of its marker genes are named for.
_MIN_GENES = 5


@dataclass(frozen=True)
class RegisteredTypes:
    """Types in the order of the rows of an alignment.

    Attributes
    ----------
    names
        Distinct names.
    terms
        Id in the Cell Ontology, `None` where there is none.
    tissues
        Tissues of each, in the form of :func:`scmpt_scverse.knowledge.tissue_form`.
    """

    names: tuple[str, ...]
    terms: tuple[str | None, ...]
    tissues: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, markers: pd.DataFrame, types: Sequence[str]) -> Self:
        """From a merged table of markers (:func:`scmpt_scverse.knowledge.merge_markers`) and which types to take."""
        terms = markers.groupby("type")["term"].first().reindex(types)
        rows = markers.dropna(subset="tissue")
        rows = rows.assign(tissue=[tissues_named(each) for each in rows["tissue"]])
        counts = rows.explode("tissue").groupby(["type", "tissue"])["gene"].nunique()
        found = counts[counts >= _MIN_GENES].reset_index().groupby("type")["tissue"].agg(tuple)
        return cls(
            tuple(types),
            tuple(None if pd.isna(term) else str(term) for term in terms),
            tuple(found.get(name, ()) for name in types),
        )

    def in_tissue(self, tissue: str) -> list[int]:
        """Rows of the types of a tissue; `ValueError` if there are none."""
        wanted = tissues_meant(tissue)
        rows = [row for row, tissues in enumerate(self.tissues) if wanted.intersection(tissues)]
        if not rows:
            known = sorted({each for tissues in self.tissues for each in tissues})
            raise ValueError(
                f"Expected a tissue that the markers are named for; found {tissue!r}."
                f"{did_you_mean(tissue_form(tissue), known)} Choose from {list_some(known, limit=40)}, or pass "
                "`labels=`."
            )
        return rows

    def row_of(self, name: str, term: str | None) -> int | None:
        """The row of a type, by its term or by its name up to case, plural and word order."""
        if term is not None and term in self._by_term:
            return self._by_term[term]
        return self._by_form.get(normal_form(name))

    def rows_near(self, term: str, ontology: CellOntology) -> list[int]:
        """Rows of the types that a term is most like: the kinds of it, else the nearest of which it is a kind."""
        kinds = [self._by_term[each] for each in ontology.descendants(term) if each in self._by_term]
        if kinds:
            return sorted(kinds)
        above = {each: ontology.distance(term, each) for each in ontology.ancestors(term) if each in self._by_term}
        nearest = min(above.values(), default=0)
        return sorted(self._by_term[each] for each, steps in above.items() if steps == nearest)

    def rows_apart(self, terms: Collection[str], ontology: CellOntology) -> list[int]:
        """Rows of the types with a term that is none of those given, no kind of them, and nothing they are kinds of.

        Types without a term are left out: what they are kinds of is not known.
        """
        related = set(terms)
        for term in terms:
            related |= ontology.ancestors(term) | ontology.descendants(term)
        return [row for row, term in enumerate(self.terms) if term is not None and term not in related]

    def state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {"names": list(self.names), "terms": list(self.terms), "tissues": [list(each) for each in self.tissues]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`state`."""
        # As `of` has them: an older model may hold what tables say where no tissue is known.
        tissues = (tuple(form for each in tissues for form in tissues_named(each)) for tissues in state["tissues"])
        return cls(tuple(state["names"]), tuple(state["terms"]), tuple(tissues))

    @cached_property
    def _by_term(self) -> dict[str, int]:
        return {term: row for row, term in enumerate(self.terms) if term is not None}

    @cached_property
    def _by_form(self) -> dict[str, int]:
        return {normal_form(name): row for row, name in enumerate(self.names)}
