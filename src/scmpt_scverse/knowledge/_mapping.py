"""Map free-text labels to terms of the Cell Ontology, with a report of how each was found."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import pandas as pd

from scmpt_scverse._checks import did_you_mean, list_some
from scmpt_scverse._labels import label_text
from scmpt_scverse.knowledge._cell_ontology import CellOntology, cell_ontology, normal_form

#: Similarity, as `difflib` computes it, from which a name is suggested.
_MIN_SIMILARITY = 0.6
_N_SUGGESTIONS = 3


def map_labels(
    labels: Iterable[object],
    *,
    overrides: Mapping[str, str] | None = None,
    ontology: CellOntology | None = None,
) -> pd.DataFrame:
    """The term of the Cell Ontology for each label.

    Parameters
    ----------
    labels
        Labels of any spelling; each is looked up once, missing values are skipped.
    overrides
        Label to the id, such as `"CL:0000236"`, or the name of its term; used instead of the lookup.
    ontology
        The ontology to search; `None` takes :func:`cell_ontology`, which needs the extra `ontology`.

    Returns
    -------
    One row per label, in order of first occurrence; index `label`, columns

    `ontology_id`, `ontology_term`
        Id and name of the term, missing where there is none.
    `match`
        How it was found: `"override"`, `"exact"` (the name of a term), `"synonym"`, `"normalised"` (a name or synonym
        up to case, plural, word order, `+` for positive, common abbreviations, a missing word `cell`, or what is
        implied for CD4 and CD8 T cells) or `"none"`.
    `suggestions`
        For labels that were not found, the names of the nearest terms; for ambiguous labels, of all matching terms.

    Raises
    ------
    ValueError
        An override is for a label that does not occur, or names no term.
    ImportError
        `cellxgene-ontology-guide` is not installed.

    Examples
    --------
    >>> from scmpt_scverse import knowledge
    >>> report = knowledge.map_labels(["T-cells", "CD14+ Monocytes", "my type"], overrides={"my type": "B cell"})
    >>> report["ontology_term"].tolist()
    ['T cell', 'CD14-positive monocyte', 'B cell']
    """
    ontology = ontology or cell_ontology()
    texts = list(dict.fromkeys(label_text(label) for label in labels if not pd.isna(label)))
    overrides = {label_text(label): term for label, term in (overrides or {}).items()}
    unused = sorted(set(overrides) - set(texts))
    if unused:
        raise ValueError(
            f"Expected `overrides` for labels that occur; found {list_some(unused)}.{did_you_mean(unused[0], texts)}"
        )
    rows = []
    for text in texts:
        if text in overrides:
            found, match = {_id_of(overrides[text], ontology)}, "override"
        else:
            found, match = _look_up(text, ontology)
        is_found = len(found) == 1
        identifier = next(iter(found)) if is_found else None
        rows.append(
            {
                "ontology_id": identifier,
                "ontology_term": ontology.terms[identifier].name if identifier is not None else None,
                "match": match if is_found else "none",
                "suggestions": "" if is_found else "; ".join(_suggestions(text, found, ontology)),
            }
        )
    columns = ["ontology_id", "ontology_term", "match", "suggestions"]
    return pd.DataFrame(rows, index=pd.Index(texts, name="label", dtype=object), columns=columns, dtype=object)


def ids_of(labels: Iterable[object], report: pd.DataFrame) -> list[str]:
    """The id of each label, from a report of :func:`map_labels`; `ValueError` names labels without one."""
    texts = [label_text(label) for label in labels]
    ids = report["ontology_id"]
    missing = [text for text in dict.fromkeys(texts) if text not in ids.index or pd.isna(ids[text])]
    if missing:
        hints = report["suggestions"].reindex(missing).dropna()
        nearest = "; ".join(f"{label!r} may be {hint}" for label, hint in hints.items() if hint)
        raise ValueError(
            f"Expected a term of the Cell Ontology for every label; found none for {list_some(missing)}. Pass "
            f"`overrides=` with the ids or names of their terms.{f' Nearest: {nearest}.' if nearest else ''}"
        )
    return [ids[text] for text in texts]


def _look_up(text: str, ontology: CellOntology) -> tuple[set[str], str]:
    """Ids that match a label, and how they were found."""
    if text in ontology.terms:
        return {text}, "exact"
    if text in ontology.ids_by_name:
        return {ontology.ids_by_name[text]}, "exact"
    if text in ontology.ids_by_synonym:
        return ontology.ids_by_synonym[text], "synonym"
    # `cell` is appended for names only: `alpha cell` is also a synonym of a cell of the retina.
    found = ontology.ids_by_normal_form.get(normal_form(text)) or ontology.ids_by_name_form.get(
        normal_form(f"{text} cell")
    )
    return found or set(), "normalised"


def _id_of(given: str, ontology: CellOntology) -> str:
    if given in ontology.terms:
        return given
    if given in ontology.ids_by_name:
        return ontology.ids_by_name[given]
    raise ValueError(
        f"Expected an id or a name of the Cell Ontology in `overrides`; found {given!r}."
        f"{did_you_mean(given, ontology.ids_by_name)}"
    )


def _suggestions(text: str, found: set[str], ontology: CellOntology) -> list[str]:
    """Names of the terms that were found, else of those that share the most words, else of the most similar ones."""
    if not found:
        forms = ontology.ids_by_normal_form
        asked = normal_form(f"{text} cell")
        shares = {form: _shared_words(asked, form) for form in forms}
        near = [form for form in sorted(shares, key=lambda form: -shares[form])[:_N_SUGGESTIONS] if shares[form]]
        near = near or get_close_matches(asked, list(forms), n=_N_SUGGESTIONS, cutoff=_MIN_SIMILARITY)
        found = {identifier for form in near for identifier in forms[form]}
    return sorted(ontology.terms[identifier].name for identifier in found)


def _shared_words(one: str, other: str) -> float:
    """Jaccard index of the words, without the word `cell`; a marker counts apart from its level."""
    words, others = (set(form.replace("-", " ").split()) - {"cell"} for form in (one, other))
    return len(words & others) / max(len(words | others), 1)
