"""Pairs of cells and texts that a language model learns to describe cells from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse.description._definitions import stated_definition
from scmpt_scverse.description._language_model_writer import check_length, frame_of, tokens_of
from scmpt_scverse.knowledge import GeneFinder, cell_ontology, own_words, term_of
from scmpt_scverse.module import CellWriter, DescribedCells, WriterOptions
from scmpt_scverse.zero_shot import Query

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.llm import LanguageModel
    from scmpt_scverse.module import TrainingRun
    from scmpt_scverse.zero_shot import StudySource, TextModel

_UNKNOWN_WORDS = "Nothing is known of {labels} but the name, so there is little to learn of it. Describe it: "


class CellText(NamedTuple):
    """What is learned of a cell: a text that begins with the term of its label."""

    term: str
    text: str


@dataclass(frozen=True)
class TaughtWriter:
    """A writer, and which language model it was trained with.

    Attributes
    ----------
    cells
        What was trained.
    source
        Folder or hub id of the language model.
    fingerprint
        Of the language model.
    terms
        That it has learned texts of: names in lower case, and ids of the Cell Ontology; of others it writes nothing.
    """

    cells: CellWriter
    source: str
    fingerprint: str
    terms: frozenset[str]

    def state(self) -> dict[str, Any]:
        """All but the arrays, as plain values."""
        return {
            **self.cells.state(),
            "source": self.source,
            "fingerprint": self.fingerprint,
            "terms": sorted(self.terms),
        }

    @classmethod
    def from_saved(cls, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        """From the arrays of `cells` and :meth:`state`."""
        terms = frozenset(map(str, state["terms"]))
        return cls(CellWriter.from_saved(arrays, state), str(state["source"]), str(state["fingerprint"]), terms)

    def check(self, language: "LanguageModel") -> None:
        """Raise `ValueError` unless a language model is the one that it was trained with."""
        if language.fingerprint != self.fingerprint:
            raise ValueError(
                f"Expected the language model that the writer was trained with, {self.source!r}; found other weights "
                f"or words in {language.source!r}. Pass that one, or train again with this one: "
                '`train(stage="describe", language_model=...)`.'
            )


def texts_of_cells(
    labels: "StrArray",
    descriptions: "Mapping[str, str | Sequence[str]] | None",
    genes: "StrArray",
    own: "StrArray | None" = None,
) -> "StrArray":
    """What is learned of each cell: the term of its label, and what is said of it.

    Parameters
    ----------
    labels
        Label of each cell, `None` for none, shape `(n_obs,)`.
    descriptions
        Of some or all labels, in the words of the user; others have the definition up to the first gene.
    genes
        Symbols of the data.
    own
        A text about each cell instead, `""` for none, shape `(n_obs,)`.

    Returns
    -------
    :class:`CellText`, shape `(n_obs,)`; `None` for a cell that nothing is learned from.

    Raises
    ------
    ValueError
        A description is of no label.

    Warns
    -----
    UserWarning
        Nothing is known of a label but its name.
    """
    known = sorted({label for label in labels if label is not None})
    unknown = [name for name in descriptions or {} if name not in known]
    if unknown:
        raise ValueError(
            f"Expected descriptions of labels of cells as `texts`; found {list_some(unknown)}, which no cell has. "
            f"Labels are {list_some(known)}."
        )
    ontology, names = cell_ontology(), GeneFinder(genes)
    words = own_words({label: (descriptions or {}).get(label) for label in known}) if known else {}
    term_names, said = {}, {}
    for label in known:
        term, given = term_of(label, ontology), words[label]
        term_names[label] = label if term is None else ontology.terms[term].name
        of_user = given if isinstance(given, str) else f"expresses {' and '.join(given)}"
        said[label] = of_user or ("" if term is None else stated_definition(term, ontology, names))
    bare = [label for label in known if not said[label]]
    if bare and own is None:
        warn_user(_UNKNOWN_WORDS.format(labels=list_some(bare)) + f"`texts={{{bare[0]!r}: ...}}`.")
    texts = np.full(len(labels), None, dtype=object)
    for row, label in enumerate(labels):
        if label is not None and (own is None or str(own[row]).strip()):
            texts[row] = _with_term(term_names[label], said[label] if own is None else str(own[row]))
    return texts


def _with_term(term: str, text: str) -> CellText:
    """A text that begins with a term, a colon after it, and ends with a full stop."""
    said = " ".join(text.split())
    if said.lower().startswith(f"{term.lower()}:"):
        said = said[len(term) + 1 :].strip()
    said = f"{term}: {said}" if said else term
    return CellText(term, said if said[-1] in ".!?" else f"{said}.")


def fit_writer(
    sources: "Sequence[StudySource]",
    model: "TextModel",
    language: "LanguageModel",
    options: WriterOptions | None = None,
    *,
    share: float,
    run: "TrainingRun | None" = None,
) -> TaughtWriter:
    """Train a writer.

    Parameters
    ----------
    sources
        Cells study by study; in the place of labels, what :func:`texts_of_cells` gives.
    model
        Whose axes cells are read on.
    language
        The language model.
    options
        How; `None` takes the defaults.
    share
        Of the background, see :class:`scmpt_scverse.zero_shot.Query`.
    run
        Where; `None` takes the defaults.

    Raises
    ------
    ValueError
        The cells have fewer than two texts.
    """
    options = options or WriterOptions()
    texts = sorted({text for source in sources for text in source.labels if text is not None})
    if len(texts) < 2:
        raise ValueError(
            f"Expected cells with at least two different texts to learn from; found "
            f"{list_some(each.text for each in texts) or 'none'}. "
            "Check `labels_key`, `texts` and `text_key`, or add cells."
        )
    check_length(language, options)
    row_of = {text: row for row, text in enumerate(texts)}
    vectors, codes, studies = [], [], []
    for number, source in enumerate(sources):
        own = np.array([-1 if text is None else row_of[text] for text in source.labels], dtype=np.int64)
        found = cell_vectors(model, Query(source.reader, model.genes, model.alignment.background, share))
        own[~np.isfinite(found).all(axis=1)] = -1
        rows = _some_of_each(own, options.cells_per_text, [options.seed, number])
        vectors.append(found[rows])
        codes.append(own[rows])
        studies.append(np.full(len(rows), number))
    cells = DescribedCells(
        np.concatenate(vectors),
        np.concatenate(codes),
        np.concatenate(studies),
        [tokens_of(each.text, language, options.max_tokens) for each in texts],
    )
    fitted = CellWriter.fit(
        cells, language.network, frame_of(language), options, fingerprint=language.fingerprint, run=run
    )
    names, ontology = {each.term for each in texts}, cell_ontology()
    ids = {term_of(name, ontology) for name in names} - {None}
    terms = frozenset(name.lower() for name in names) | frozenset(map(str, ids))
    return TaughtWriter(fitted, language.source, language.fingerprint, terms)


def cell_vectors(model: "TextModel", query: Query) -> "FloatArray":
    """Cells on the axes of the text tower, as `get_latent_representation` gives them, `(n_obs, n_axes)`."""
    return query.scores(model.alignment.tower.axes.detach().cpu().numpy().T)


def _some_of_each(codes: "IntArray", n_most: int, seed: list[int]) -> "IntArray":
    """Rows of some cells of each text, ascending."""
    rng = np.random.default_rng(seed)
    chosen = [np.empty(0, dtype=np.int64)]
    for code in np.unique(codes[codes >= 0]):
        rows = np.flatnonzero(codes == code)
        chosen.append(rng.choice(rows, min(len(rows), n_most), replace=False))
    return np.sort(np.concatenate(chosen))
