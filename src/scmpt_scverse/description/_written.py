"""From evidence to texts: by any writer, checked, with the default where it says too much or nothing."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse.description._evidence import Evidence
from scmpt_scverse.description._llm_writer import LLMWriter
from scmpt_scverse.description._retrieval import RetrievalWriter, retrieved
from scmpt_scverse.description._support import unsupported
from scmpt_scverse.description._writer import TAUGHT, WRITERS, Writer
from scmpt_scverse.description._writer_training import TaughtWriter
from scmpt_scverse.knowledge import CellOntology, GeneFinder
from scmpt_scverse.llm import LanguageModel, LLMClient, get


def writer_of(given: Any) -> Writer:
    """The writer that a user means: a registered name, a writer or its class, or a client of a language model.

    Raises
    ------
    ValueError
        An unknown name.
    TypeError
        Something else.
    """
    if isinstance(given, LLMClient) or (isinstance(given, type) and issubclass(given, LLMClient)):
        return LLMWriter(get(given))
    return WRITERS.build(given, Writer)


def is_language_model(given: Any, taught: TaughtWriter | None) -> bool:
    """Whether a user means a language model of transformers: the one that was taught, a folder, a hub id, or a pair."""
    if isinstance(given, str) and given not in WRITERS.names():
        is_known = given == TAUGHT or (taught is not None and given == taught.source)
        return is_known or "/" in given or Path(given).is_dir()
    return isinstance(given, PathLike | tuple | LanguageModel)


def written(
    writer: Writer, evidence: Sequence[Evidence], names: GeneFinder, ontology: CellOntology
) -> tuple[list[str], list[bool]]:
    """Texts that say no more than the evidence, one for each, and which of them are by the writer.

    Parameters
    ----------
    writer
        Who writes.
    evidence
        Of groups or cells.
    names
        Finds genes.
    ontology
        Whose types are found.

    Raises
    ------
    ValueError
        The writer gave another number of texts.

    Warns
    -----
    UserWarning
        Texts were missing, or named genes or types that the evidence does not have.
    """
    texts = writer.write(evidence)
    if len(texts) != len(evidence):
        raise ValueError(
            f"Expected one text for each of {len(evidence)} descriptions from {writer!r}; found {len(texts)}. Its "
            "`write` must return a list of the same length, `None` for no text."
        )
    if isinstance(writer, RetrievalWriter):
        return [text or "" for text in texts], [True] * len(texts)
    kept: list[str] = []
    is_own: list[bool] = []
    refused: list[str] = []
    n_missing = n_refused = 0
    for each, text in zip(evidence, texts, strict=True):
        line = " ".join(text.split()) if isinstance(text, str) else ""
        wrong = unsupported(line, each, names, ontology) if line else []
        refused += wrong
        n_missing += not line and bool(each.candidates)
        n_refused += bool(wrong)
        is_own.append(bool(line) and not wrong)
        kept.append(line if is_own[-1] else retrieved(each))
    if n_missing or n_refused:
        named = f", which name {list_some(dict.fromkeys(refused))}" if refused else ""
        warn_user(
            f"Of {len(texts)} texts, {n_refused} say more than the evidence{named}, and {n_missing} are missing. "
            'There, the description is the one of `writer="retrieval"`.'
        )
    return kept, is_own
