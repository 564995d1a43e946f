"""Free labels to ids of the Cell Ontology, with a report of what was and what was not understood."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import pandas as pd

from scmpt_scverse._checks import did_you_mean, list_some
from scmpt_scverse.ontology._cell_ontology import CellOntology, cell_ontology
from scmpt_scverse.ontology._normal_form import normal_form

#: Likeness from which on another name is worth suggesting.
_LIKENESS = 0.6
_N_SUGGESTIONS = 3


def map_labels(
    labels: Iterable[object],
    *,
    overrides: Mapping[str, str] | None = None,
    ontology: CellOntology | None = None,
) -> pd.DataFrame:
    """Terms of the Cell Ontology that labels mean.

    Parameters
    ----------
    labels
        Labels as they are; each is looked up once, missing ones are left out.
    overrides
        What you know better: label to an id, such as `"CL:0000236"`, or to the name of a term.
    ontology
        Where to look; `None` takes :func:`cell_ontology`, which needs the extra `ontology`.

    Returns
    -------
    One row a label, in order of first occurrence; index `label`, columns

    `ontology_id`, `ontology_term`
        Id and name of the term, missing where there is none.
    `match`
        How it was found: `"override"`, `"exact"` (the name of a term), `"synonym"`, `"normalised"` (a name or synonym
        but for case, plural, word order, `+` for positive, a few abbreviations, a missing word `cell`, or what goes
        without saying of CD4 and CD8 T cells) or `"none"`.
    `suggestions`
        Names of the nearest terms, for labels that were not found; all of them where several fit as well.

    Raises
    ------
    ValueError
        An override is for no label, or leads to no term.
    ImportError
        `cellxgene-ontology-guide` is not installed.

    Examples
    --------
    >>> from scmpt_scverse import ontology
    >>> report = ontology.map_labels(["T-cells", "CD14+ Monocytes", "my type"], overrides={"my type": "B cell"})
    >>> report["ontology_term"].tolist()
    ['T cell', 'CD14-positive monocyte', 'B cell']
    """
    ontology = ontology or cell_ontology()
    texts = list(dict.fromkeys(str(label) for label in labels if not pd.isna(label)))
    overrides = dict(overrides or {})
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
    """The id of each label by a report of :func:`map_labels`; `ValueError` names those without one."""
    texts = [str(label) for label in labels]
    ids = report["ontology_id"]
    absent = [text for text in dict.fromkeys(texts) if text not in ids.index or pd.isna(ids[text])]
    if absent:
        hints = report["suggestions"].reindex(absent).dropna()
        nearest = "; ".join(f"{label!r} may be {hint}" for label, hint in hints.items() if hint)
        raise ValueError(
            f"Expected a term of the Cell Ontology for every label; found none for {list_some(absent)}. Pass "
            f"`overrides=` with the ids or names of their terms.{f' Nearest: {nearest}.' if nearest else ''}"
        )
    return [ids[text] for text in texts]


def _look_up(text: str, ontology: CellOntology) -> tuple[set[str], str]:
    """Ids that a label may mean, and how they were found."""
    if text in ontology.terms:
        return {text}, "exact"
    if text in ontology.ids_by_name:
        return {ontology.ids_by_name[text]}, "exact"
    if text in ontology.ids_by_synonym:
        return ontology.ids_by_synonym[text], "synonym"
    # The word `cell` is not added to synonyms: `alpha cell` is one of a cell of the retina.
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
    """Names of the terms that were found, or of those that share the most words, or are spelled the most alike."""
    if not found:
        forms = ontology.ids_by_normal_form
        asked = normal_form(f"{text} cell")
        shares = {form: _shared_words(asked, form) for form in forms}
        near = [form for form in sorted(shares, key=lambda form: -shares[form])[:_N_SUGGESTIONS] if shares[form]]
        near = near or get_close_matches(asked, list(forms), n=_N_SUGGESTIONS, cutoff=_LIKENESS)
        found = {identifier for form in near for identifier in forms[form]}
    return sorted(ontology.terms[identifier].name for identifier in found)


def _shared_words(one: str, other: str) -> float:
    """Share of the words of either that both have, without the word `cell`."""
    words, others = set(one.split()) - {"cell"}, set(other.split()) - {"cell"}
    return len(words & others) / max(len(words | others), 1)
