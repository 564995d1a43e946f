"""What a generator reads of a text: its wordings as embeddings, and the profile that the text tower writes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse.knowledge import cell_ontology, label_markers, label_texts, term_of
from scmpt_scverse.module import unit_profiles

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, StrArray
    from scmpt_scverse.module import TextAlignment


@dataclass(frozen=True)
class Texts:
    """Some texts as they are conditioned on.

    Attributes
    ----------
    names
        Labels, or the texts themselves, distinct.
    terms
        Id in the Cell Ontology, `None` where there is none.
    wordings
        In words, for each text.
    embeddings
        Of the wordings of each, centred, each of shape `(n_wordings, text_dim)`.
    profiles
        What the tower writes, over the genes of the generator, shape `(n_texts, n_genes)`; about 1 in size.
    names_genes
        Whether the words of the user name genes, of each.
    """

    names: tuple[str, ...]
    terms: tuple[str | None, ...]
    wordings: "tuple[tuple[str, ...], ...]"
    embeddings: "tuple[FloatArray, ...]"
    profiles: "FloatArray"
    names_genes: tuple[bool, ...]

    @property
    def means(self) -> "FloatArray":
        """Mean embedding of each, shape `(n_texts, text_dim)`."""
        return np.stack([each.mean(axis=0) for each in self.embeddings])

    def padded(self) -> "FloatArray":
        """Embeddings as one array, `(n_texts, n_wordings, text_dim)`; fewer wordings are repeated."""
        most = max(map(len, self.embeddings))
        return np.stack([each[np.arange(most) % len(each)] for each in self.embeddings])


@dataclass(frozen=True)
class TextReader:
    """Reads texts as one text model does.

    Attributes
    ----------
    alignment
        Writes profiles.
    genes
        Symbols of its profiles, shape `(n_profile_genes,)`.
    encode
        From texts to embeddings `(n_texts, text_dim)`.
    """

    alignment: "TextAlignment"
    genes: "StrArray"
    encode: "Callable[[list[str]], FloatArray]"

    def read(self, texts: "str | Iterable[str] | Mapping[str, str | Sequence[str] | None]", genes: "StrArray") -> Texts:
        """Texts, with profiles over `genes`.

        Parameters
        ----------
        texts
            Names of cell types, ids of the Cell Ontology, or descriptions; or a mapping of names to a description or a
            list of markers. Genes that the words of a mapping name are part of the profile.
        genes
            Symbols of the generator, shape `(n_genes,)`.

        Raises
        ------
        ValueError
            There is no text, or one is blank.
        """
        ontology = cell_ontology()
        given = [texts] if isinstance(texts, str) else texts
        wordings = label_texts(given, ontology=ontology)
        flat = [text for each in wordings.values() for text in each]
        embeddings = self.encode(flat) - self.alignment.center
        ends = np.cumsum([len(each) for each in wordings.values()])
        parts = tuple(np.split(embeddings.astype(np.float32), ends[:-1]))
        profiles = self._profiles(np.stack([each.mean(axis=0) for each in parts]), genes)
        own = np.zeros_like(profiles)
        if isinstance(given, Mapping):
            own = _own_markers(given, list(wordings), genes)
        return Texts(
            tuple(wordings),
            tuple(term_of(name, ontology) for name in wordings),
            tuple(map(tuple, wordings.values())),
            parts,
            (profiles + own).astype(np.float32),
            tuple(bool(row.any()) for row in own),
        )

    def _profiles(self, means: "FloatArray", genes: "StrArray") -> "FloatArray":
        """Mean of what tower and ridge write, over other genes; 0 for a gene that the alignment does not know."""
        columns = pd.Index(self.genes).get_indexer(genes)
        known = columns >= 0
        profiles = np.zeros((len(means), len(genes)))
        if known.any():
            written = (self.alignment.written(means), self.alignment.guessed(means))
            every = np.ones(int(known.sum()), dtype=bool)
            both = [unit_profiles(each[:, columns[known]], every) for each in written]
            profiles[:, known] = sum(both) * np.sqrt(known.sum()) / len(both)
        return profiles


def _own_markers(
    given: Mapping[str, str | Sequence[str] | None], names: Sequence[str], genes: "StrArray"
) -> "FloatArray":
    """Profiles of the genes that a user's words name, shape `(n_texts, n_genes)`, of the size of those of the tower."""
    table = label_markers(given, genes)  # type: ignore[arg-type]
    profiles = np.zeros((len(names), len(genes)))
    rows, columns = pd.Index(names).get_indexer(table["type"]), pd.Index(genes).get_indexer(table["gene"])
    profiles[rows, columns] = table["weight"]
    return unit_profiles(profiles, np.ones(len(genes), dtype=bool)) * np.sqrt(len(genes))
