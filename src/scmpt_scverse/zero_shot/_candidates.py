"""The labels that a cell may get: each a text, and the markers that are known of it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from scmpt_scverse._checks import list_some, type_name, warn_user
from scmpt_scverse._labels import label_text
from scmpt_scverse.knowledge import (
    CellOntology,
    cell_ontology,
    label_markers,
    label_texts,
    says_only_genes,
    term_of,
    written_id,
)

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, StrArray
    from scmpt_scverse.module import TextAlignment
    from scmpt_scverse.zero_shot._types import RegisteredTypes

#: Names, ids of the Cell Ontology, or names with a description or a list of markers.
Labels: TypeAlias = "Iterable[str] | Mapping[str, str | Sequence[str]]"


@dataclass(frozen=True)
class Candidates:
    """Labels to choose from.

    Attributes
    ----------
    names
        As the user gave them, shape `(n_labels,)`.
    terms
        Id in the Cell Ontology, `None` where there is none.
    texts
        Mean embedding of the wordings, centred, shape `(n_labels, dim)`; a row of zeros where they only name genes.
    markers
        Profiles of the known markers, shape `(n_labels, n_genes)`; a row of zeros where none is known.
    is_named
        Genes that the user named, shape `(n_genes,)`.
    is_registered
        Whether these are the types that the model was trained on, or those of a tissue.
    """

    names: "StrArray"
    terms: tuple[str | None, ...]
    texts: "FloatArray"
    markers: "FloatArray"
    is_named: "BoolArray"
    is_registered: bool = False


def registered_candidates(
    alignment: "TextAlignment", types: "RegisteredTypes", tissue: str | None = None
) -> Candidates:
    """All registered types, or those of a tissue; no text has to be encoded."""
    return registered_in_rows(
        alignment, types, list(range(len(types.names))) if tissue is None else types.in_tissue(tissue)
    )


def registered_in_rows(alignment: "TextAlignment", types: "RegisteredTypes", rows: Sequence[int]) -> Candidates:
    """Some registered types; there may be none."""
    chosen = np.asarray(rows, dtype=np.int64)
    return Candidates(
        np.array([types.names[row] for row in rows], dtype=object),
        tuple(types.terms[row] for row in rows),
        alignment.type_texts[chosen],
        alignment.type_markers[chosen] @ alignment.axes.T,
        np.zeros(len(alignment.axes), dtype=bool),
        is_registered=True,
    )


def listed_labels(labels: Any) -> "list[str] | Mapping[str, str | Sequence[str]]":
    """Labels as a list or a mapping; `TypeError` for what is neither, or what no label or description can be."""
    form = "Pass a list of names, or a mapping of names to a description or to a list of markers."
    if isinstance(labels, str | bytes):
        return [label_text(labels)]
    if not isinstance(labels, Iterable):
        raise TypeError(f"Expected names of cell types as `labels`; found {type_name(labels)}. {form}")
    if isinstance(labels, pd.DataFrame) or (
        isinstance(labels, pd.Series) and not isinstance(labels.index, pd.RangeIndex)
    ):
        raise TypeError(
            f"Expected names of cell types as `labels`; found {type_name(labels)}, whose rows have names, too. Pass "
            "`series.to_dict()` for labels and their words, or `series.unique()` for the values alone."
        )
    if not isinstance(labels, Mapping):
        given = list(labels)
        odd = [label for label in given if isinstance(label, Iterable) and not isinstance(label, str | bytes)]
        if odd:
            raise TypeError(f"Expected names of cell types as `labels`; found {type_name(odd[0])} among them. {form}")
        return given
    for name, own in labels.items():
        if not (isinstance(own, Iterable) or pd.isna(own)):
            raise TypeError(f"Expected a description or a list of markers as `labels[{name!r}]`; found {own!r}. {form}")
    return labels


def candidates_of(
    labels: Sequence[str] | Mapping[str, str | Sequence[str]],
    alignment: "TextAlignment",
    types: "RegisteredTypes",
    genes: "StrArray",
    encode: "Callable[[list[str]], FloatArray]",
) -> Candidates:
    """Candidates from what a user gives.

    Parameters
    ----------
    labels
        See :data:`Labels`.
    alignment, types
        What was trained.
    genes
        Symbols of the profiles, shape `(n_genes,)`.
    encode
        From texts to embeddings `(n_texts, dim)`.

    Raises
    ------
    ValueError
        Fewer than two different labels, a blank one, or an id that the Cell Ontology does not have.

    Warns
    -----
    UserWarning
        Labels are given twice or mean the same term, or nothing is known of a label but its name.
    """
    ontology = cell_ontology()
    wordings = label_texts(labels, ontology=ontology)
    if len(wordings) < 2:
        raise ValueError(
            f"Expected at least two labels to choose from; found {list_some(wordings)}. Add others that the cells may "
            'be, such as "other cell", or use `model.search` to score one text.'
        )
    names = list(wordings)
    terms = tuple(term_of(name, ontology) for name in names)
    _check_ids(names, terms)
    own = markers_in_words(labels, genes) if isinstance(labels, Mapping) else {}
    known = {
        name: _known_markers(name, term, alignment, types, ontology)
        for name, term in zip(names, terms, strict=True)
        if name not in own
    }
    # A name that nothing is known of may name genes itself: "GZMK CD8A T cells".
    named = markers_in_words({name: name for name, profile in known.items() if not profile.any()}, genes)
    profiles = known | named | own
    markers = np.stack([profiles[name] for name in names])
    _warn(list(labels), names, terms, markers)
    texts = embedded(list(wordings.values()), alignment, encode)
    # The last wording has the name and what the user says; of a term, what it is a kind of.
    says_nothing = [name in own | named and says_only_genes(wordings[name][-1], genes) for name in names]
    texts[says_nothing] = 0
    is_named = np.any([profile != 0 for profile in (named | own).values()] or [np.zeros(len(genes), bool)], axis=0)
    return Candidates(np.array(names, dtype=object), terms, texts, markers, is_named)


def _check_ids(texts: Sequence[str], terms: Sequence[str | None]) -> None:
    """Raise `ValueError` for a text that is spelled like an id, but of no term."""
    absent = [text for text, term in zip(texts, terms, strict=True) if term is None and written_id(text) is not None]
    if absent:
        raise ValueError(
            f"Expected ids of terms of the Cell Ontology; found {list_some(absent)}, which it does not have. Check the "
            "ids, or pass names."
        )


def without_id(text: str) -> str:
    """The name of the term whose id a text is; any other text as it is. `ValueError` for an id that does not exist."""
    if written_id(text) is None:
        return text
    ontology = cell_ontology()
    term = term_of(text, ontology)
    _check_ids([text], [term])
    return text if term is None else ontology.terms[term].name


def embedded(
    wordings: Sequence[Sequence[str]], alignment: "TextAlignment", encode: "Callable[[list[str]], FloatArray]"
) -> "FloatArray":
    """Mean embedding of the wordings of each text, centred, shape `(n_texts, dim)`."""
    flat = [text for each in wordings for text in each]
    embeddings = encode(flat)
    ends = np.cumsum([len(each) for each in wordings])
    means = [part.mean(axis=0) for part in np.split(embeddings, ends[:-1])]
    return np.stack(means) - alignment.center


def markers_in_words(labels: Mapping[str, str | Sequence[str]], genes: "StrArray") -> "dict[str, FloatArray]":
    """Profiles `(n_genes,)` of the genes that a user's words or lists name, for labels that name some."""
    if not labels:
        return {}
    table = label_markers(labels, genes)
    columns = pd.Index(genes).get_indexer(table["gene"])
    profiles: dict[str, FloatArray] = defaultdict(lambda: np.zeros(len(genes)))
    for name, column, weight in zip(table["type"], columns, table["weight"], strict=True):
        profiles[name][column] = weight
    return dict(profiles)


def _known_markers(
    name: str, term: str | None, alignment: "TextAlignment", types: "RegisteredTypes", ontology: CellOntology
) -> "FloatArray":
    """Markers of a registered type, else of those that the term is nearest to, else zeros; shape `(n_genes,)`."""
    row = types.row_of(name, term)
    rows = [row] if row is not None else [] if term is None else types.rows_near(term, ontology)
    coordinates = alignment.type_markers[rows].sum(axis=0)
    profile: FloatArray = alignment.axes @ coordinates
    return profile


def _warn(given: Sequence[str], names: Sequence[str], terms: Sequence[str | None], markers: "FloatArray") -> None:
    repeated = sorted({name for name in given if list(given).count(name) > 1})
    if repeated:
        warn_user(f"Labels given more than once count once: {list_some(repeated)}.")
    by_term = defaultdict(list)
    for name, term in zip(names, terms, strict=True):
        by_term[term].append(name)
    same = [" and ".join(map(repr, group)) for term, group in by_term.items() if term is not None and len(group) > 1]
    if same:
        warn_user(
            f"Labels that mean the same term of the Cell Ontology share their cells by chance: {'; '.join(same)}. Keep "
            "one of each."
        )
    unknown = [
        name for name, term, known in zip(names, terms, markers, strict=True) if term is None and not known.any()
    ]
    if unknown:
        warn_user(
            f"Nothing is known of {list_some(unknown)} but the name. Give a description or markers: "
            f'`labels={{{unknown[0]!r}: ["GENE1", "GENE2"], ...}}`.'
        )
