"""A writer that lets a language model of transformers go on from the term, with the cells as its first words."""

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from scmpt_scverse.description._evidence import Evidence
from scmpt_scverse.description._writer import TAUGHT, Writer
from scmpt_scverse.module import Frame

if TYPE_CHECKING:
    from scmpt_scverse.llm import LanguageModel
    from scmpt_scverse.module import CellWriter, WriterOptions

#: What follows the words that stand for the cells, as in training.
_PROMPT = "Description of these cells:"
#: Sentences of a description, at most.
_N_SENTENCES = 2
_SENTENCE = re.compile(r".+?[.!?](?=\s|$)")


class LanguageModelWriter(Writer):
    """Writes by a causal language model of transformers that was taught by `SCMMGPT.train(stage="describe")`.

    A text begins with the term of the evidence, and a colon: the language model writes what follows, and decides no
    label. Whole sentences are kept, two at most, none twice. There is no text where no term is sure, or it was not
    taught.

    Parameters
    ----------
    cells
        What was trained.
    terms
        That were taught: names in lower case, and ids.
    language
        The language model that it was trained with.
    seed
        `None` takes the most probable word each time; a number draws words. A text depends on its evidence, its name
        and the seed, not on the others.
    """

    name = TAUGHT
    reads_cells: ClassVar[bool] = True

    def __init__(
        self, cells: "CellWriter", terms: frozenset[str], language: "LanguageModel", *, seed: int | None = None
    ) -> None:
        self.cells, self.terms, self.language, self.seed = cells, terms, language, seed

    def write(self, evidence: Sequence[Evidence]) -> list[str | None]:
        """See :meth:`Writer.write`."""
        with self.cells.adapted(self.language.network) as network:
            return [self._text(network, each) for each in evidence]

    def _text(self, network: Any, evidence: Evidence) -> str | None:
        vector = evidence.vector
        is_known = evidence.is_sure and not self.terms.isdisjoint((evidence.term.lower(), evidence.ontology_id))
        if not is_known or vector is None or not np.isfinite(vector).all():
            return None
        begun, end = self.language.ids(f" {evidence.term}:"), self.language.end_ids[-1]
        seed = None if self.seed is None else _seed_of(self.seed, evidence.name)
        ids = self.cells.continued(network, vector, begun, end, seed=seed)
        sentences = whole_sentences(self.language.text(ids))
        return f"{evidence.term}: {' '.join(sentences)}" if sentences else None


def frame_of(language: "LanguageModel") -> Frame:
    """The tokens around the words that stand for cells."""
    return Frame(language.start_ids, language.ids(_PROMPT))


def tokens_of(text: str, language: "LanguageModel", max_tokens: int) -> list[int]:
    """The tokens of a text as it is learned: with its end, or cut off where it is too long."""
    ids = [*language.ids(f" {text}"), *language.end_ids]
    return ids[:max_tokens]


def check_length(language: "LanguageModel", options: "WriterOptions") -> None:
    """Raise `ValueError` where a language model cannot read as much as it is to read and write."""
    limit = getattr(language.network.config, "max_position_embeddings", None)
    needed = sum(map(len, frame_of(language))) + options.n_tokens + 2 * options.max_tokens  # what is begun, and its end
    if limit is not None and needed > limit:
        raise ValueError(
            f"Expected a language model that reads {needed:,} tokens; {language.source!r} reads {limit:,}. Lower "
            "`max_tokens` or `n_tokens` in `options`."
        )


def whole_sentences(text: str) -> list[str]:
    """The sentences of the first line of a text, up to one that is not readable; none twice."""
    found: list[str] = []
    for match in _SENTENCE.finditer(text.strip().split("\n")[0]):
        sentence = " ".join(match[0].split())
        if not sentence.isprintable() or "\ufffd" in sentence or not any(sign.isalpha() for sign in sentence):
            break
        if sentence not in found:
            found.append(sentence)
        if len(found) == _N_SENTENCES:
            break
    return found


def _seed_of(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:4], "little")
