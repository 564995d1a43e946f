"""Map free-text labels to terms of the Cell Ontology, with a report of how each was found."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import pandas as pd

from scmpt_scverse._checks import did_you_mean, list_some
from scmpt_scverse._labels import label_text
from scmpt_scverse.knowledge._cell_ontology import CellOntology, cell_ontology
from scmpt_scverse.knowledge._normal_form import distinctive_words, normal_form
from scmpt_scverse.knowledge._tissues import tissue_words

#: Similarity, as `difflib` computes it, from which a name is suggested.
_MIN_SIMILARITY = 0.6
_N_SUGGESTIONS = 3
_ID = re.compile(r"(?:\S*/)?CL[:_](\d{7})", re.IGNORECASE)
_IN_PARENTHESES = re.compile(r"\s*\(([^()]*)\)")


def map_labels(
    labels: Iterable[object],
    *,
    tissue: str | None = None,
    overrides: Mapping[str, str] | None = None,
    ontology: CellOntology | None = None,
) -> pd.DataFrame:
    """The term of the Cell Ontology for each label.

    Parameters
    ----------
    labels
        Labels in any spelling; each distinct label is looked up once, and missing values are skipped.
    tissue
        Tissue of the cells, such as `"pancreas"`: `alpha` is then the pancreatic alpha cell, not the ganglion cell
        of the retina, and `acinar cell` the pancreatic one.
    overrides
        Label to the id (such as `"CL:0000236"`) or the name of its term; used instead of the lookup.
    ontology
        The ontology to search; `None` uses :func:`cell_ontology`, which needs the extra `ontology`.

    Returns
    -------
    One row per label, in order of first occurrence; index `label`, columns

    `ontology_id`, `ontology_term`
        Id and name of the term, missing where there is none.
    `match`
        How it was found: `"override"`, `"exact"` (the name or id of a term), `"synonym"`, `"normalised"` (a name or
        synonym up to case, plural, word order, `+` for positive, Greek letters, common abbreviations, repetitions in
        parentheses, the word `cell`, and words implied for CD4 and CD8 T cells), `"tissue"` (a term of the tissue,
        where the label alone is not the name of a term, or of a more general one) or `"none"`.
    `suggestions`
        For labels that were not found, the names of the nearest terms; for ambiguous labels, those of all matching
        terms. Separated by `"; "`; empty for labels that were found.

    Raises
    ------
    ValueError
        An override is for a label that does not occur, or is not the id or name of a term.
    ImportError
        `cellxgene-ontology-guide` is not installed.

    Examples
    --------
    >>> from scmpt_scverse import knowledge
    >>> report = knowledge.map_labels(["T-cells", "CD14+ Monocytes", "my type"], overrides={"my type": "B cell"})
    >>> report["ontology_term"].tolist()
    ['T cell', 'CD14-positive monocyte', 'B cell']
    """
    labels = [labels] if isinstance(labels, str) else labels
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
            found, match = _look_up(text, ontology, tissue)
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
            "`overrides=` with the ids or names of their terms."
            f"{f' Nearest: {nearest}.' if nearest else ''}"
        )
    return [ids[text] for text in texts]


def term_of(text: str, ontology: CellOntology, tissue: str | None = None) -> str | None:
    """The id of the one term that a label means, as :func:`map_labels` finds it."""
    found, _ = _look_up(text, ontology, tissue)
    return next(iter(found)) if len(found) == 1 else None


def written_id(text: str) -> str | None:
    """The Cell Ontology id that a text spells, whether or not such a term exists: `CL:0000084`.

    `cl:0000084`, `CL_0000084` and `http://purl.obolibrary.org/obo/CL_0000084` are spellings of it.
    """
    found = _ID.fullmatch(text.strip())
    return None if found is None else f"CL:{found[1]}"


def _look_up(text: str, ontology: CellOntology, tissue: str | None) -> tuple[set[str], str]:
    """Ids that match a label, and how they were found."""
    identifier = written_id(text)
    if identifier is not None and identifier in ontology.terms:
        return {identifier}, "exact"
    found, match = _look_up_anywhere(text, ontology)
    is_name = len(found) == 1 and found == _by_form(text, ontology, ontology.ids_by_name_form)
    for word in tissue_words(tissue):
        there = _by_form(_as_cell(f"{word} {text}"), ontology, ontology.ids_by_normal_form)
        if len(there) == 1 and (not is_name or there <= ontology.descendants(next(iter(found)))):
            return there, "tissue"
    return found, match


def _look_up_anywhere(text: str, ontology: CellOntology) -> tuple[set[str], str]:
    if text in ontology.ids_by_name:
        return {ontology.ids_by_name[text]}, "exact"
    if text in ontology.ids_by_synonym:
        return ontology.ids_by_synonym[text], "synonym"
    return _by_form(text, ontology, ontology.ids_by_normal_form), "normalised"


def _by_form(text: str, ontology: CellOntology, ids: Mapping[str, set[str]]) -> set[str]:
    """Ids with the same normal form, with or without the word `cell`.

    If there are none, parentheses that repeat the rest are dropped: `Regulatory T (Treg) cell`.
    """
    for variant in dict.fromkeys([text, _without_repetition(text)]):
        words = normal_form(variant).split()
        if not words:
            continue
        bare = [word for word in words if word != "cell"]
        longer, shorter = " ".join(sorted([*bare, "cell"])), " ".join(bare)
        # `cell` is added to names only: `alpha cell` is also a synonym of a cell of the retina.
        names = ontology.ids_by_name_form
        found = ids.get(" ".join(words)) or names.get(longer) or names.get(shorter)
        if found:
            return found
    return set()


def _as_cell(text: str) -> str:
    return text if "cell" in normal_form(text).split() else f"{text} cell"


def _without_repetition(text: str) -> str:
    rest = set(normal_form(_IN_PARENTHESES.sub("", text)).split()) - {"cell"}
    initials = "".join(word[0] for word in re.findall(r"[^\W_]+", _IN_PARENTHESES.sub(" ", text))).casefold()

    def keep(found: re.Match[str]) -> str:
        words = set(normal_form(found[1]).split()) - {"cell"}
        letters = re.sub(r"[\W_]", "", found[1]).casefold().removesuffix("s")
        is_repeated = words <= rest or (len(letters) > 1 and initials.startswith(letters))
        return " " if is_repeated else found[0]

    return _IN_PARENTHESES.sub(keep, text)


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
    if not found and normal_form(text):
        forms, asked = ontology.words_by_normal_form, normal_form(_as_cell(text))
        words = distinctive_words(asked)
        shares = {form: len(words & others) / len(words | others) for form, others in forms.items() if words & others}
        near = sorted(shares, key=lambda form: -shares[form])[:_N_SUGGESTIONS]
        near = near or get_close_matches(asked, list(forms), n=_N_SUGGESTIONS, cutoff=_MIN_SIMILARITY)
        found = {identifier for form in near for identifier in ontology.ids_by_normal_form[form]}
    return sorted(ontology.terms[identifier].name for identifier in found)
