"""How well descriptions of cells fit reference texts, and whether they name the right type."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_same_cells, checked_numbers, list_some, type_name
from scmpt_scverse._labels import checked_labels, given_labels
from scmpt_scverse._optional import import_optional
from scmpt_scverse.metrics._generation_places import mean_discrepancy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import FloatArray

_NO_TOKEN = re.compile(r"[^a-z0-9]+")


def description_metrics(
    descriptions: "Sequence[str] | pd.Series",
    references: "Sequence[str] | pd.Series",
    *,
    labels: "Sequence[str] | None" = None,
    y_true: "ArrayLike | pd.Series | None" = None,
    distance: "Callable[[str, str], float] | None" = None,
    embed: "Callable[[list[str]], FloatArray] | None" = None,
    bleu: bool = False,
) -> pd.Series:
    r"""How well descriptions fit reference texts, such as the definitions of the true types.

    Parameters
    ----------
    descriptions, references
        One text each per cell or group, in the same order.
    labels
        All names of types that a description may be parsed for; the one that is named first counts, of two at the same
        place the longer one.
    y_true
        The true one of `labels` for each text; with `labels` only.
    distance
        Steps between two labels, such as those of :func:`scmpt_scverse.knowledge.cell_ontology`; with `labels` only.
    embed
        From texts to embeddings `(n_texts, dim)`, such as `model.embed_text`.
    bleu
        Also compute BLEU, which needs the package `sacrebleu`.

    Returns
    -------
    Series of floats, higher is better but for distance and discrepancy:

    `label_accuracy`, `label_share`
        Share of the texts whose label is the true one, and of those that name a label at all. With `labels`.
    `ontology_distance`
        Mean distance between the named and the true label, over texts that name one. With `distance`.
    `rouge_l`
        Mean of ROUGE-L, in [0, 1].
    `bleu`
        BLEU over all texts together, from 0 to 100, as `sacrebleu` computes it. With `bleu`.
    `embedding_cosine`
        Mean cosine of the embeddings of a text and its reference. With `embed`.
    `textual_discrepancy`
        How far the embeddings of all descriptions are from those of all references. With `embed`.
    `n_texts`
        Number of pairs.

    Raises
    ------
    ImportError
        `sacrebleu`, of the extra `describe`, is not installed.
    TypeError
        A text is none.
    ValueError
        Lengths differ, there is no text, or a true label is not among `labels`.

    Notes
    -----
    ROUGE-L :cite:p:`lin2004rouge` of a text of :math:`m` words and a reference of :math:`n`, whose longest common
    subsequence has :math:`l` words, is :math:`2 P R / (P + R)` with :math:`P = l / m` and :math:`R = l / n`. Words are
    runs of letters and digits, in lower case, not stemmed.

    The paper on scMMGPT reports a "textual discrepancy" that is defined nowhere. Here, it is the unbiased estimate of
    the squared maximum mean discrepancy :cite:p:`gretton2012mmd` of the embeddings, the mean over Gaussian kernels of
    five widths, from a quarter to four times the median distance between references: about 0 for texts of one
    distribution, at most 2. Missing with fewer than two texts.

    Examples
    --------
    >>> from scmpt_scverse import metrics
    >>> found = metrics.description_metrics(["the cat sat on the mat"], ["the cat is on the mat"])
    >>> float(found["rouge_l"].round(3))
    0.833
    """
    texts, others = _texts(descriptions, "descriptions"), _texts(references, "references")
    if len(texts) != len(others) or not texts:
        raise ValueError(
            f"Expected one reference for each description, at least one; found {len(texts)} and {len(others)}. Pass "
            "the same groups in the same order."
        )
    check_same_cells(descriptions, references, ("descriptions", "references"))
    found: dict[str, float] = {}
    if (labels is None) != (y_true is None) or (distance is not None and labels is None):
        raise ValueError(
            "`labels` and `y_true` belong together, and `distance` to them; found one without the other. Pass both, or "
            "neither."
        )
    if labels is not None and y_true is not None:
        found |= _label_metrics(
            texts, given_labels(labels, "labels"), checked_labels(y_true, "y_true").tolist(), distance
        )
    found["rouge_l"] = float(np.mean([rouge_l(*pair) for pair in zip(texts, others, strict=True)]))
    if bleu:
        sacrebleu = import_optional("sacrebleu", extra="describe", purpose="BLEU")
        found["bleu"] = float(sacrebleu.corpus_bleu(texts, [others]).score)
    if embed is not None:
        found |= _embedding_metrics(texts, others, embed)
    return pd.Series({**found, "n_texts": float(len(texts))})


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L of two texts, the F measure; 0 where one has no words."""
    words, others = _tokens(text), _tokens(reference)
    n_common = _common_length(words, others)
    return 2 * n_common / (len(words) + len(others)) if n_common else 0.0


def first_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that a text names first, in any case, as whole words or their plural; the longest at that place."""
    lowered = text.lower()
    places = []
    for label in labels:
        found = re.search(rf"(?<!\w){re.escape(label.lower())}s?(?!\w)", lowered)
        if found:
            places.append((found.start(), -len(label), label))
    return min(places)[2] if places else None


def _label_metrics(
    texts: list[str], labels: list[str], truth: list[str], distance: "Callable[[str, str], float] | None"
) -> dict[str, float]:
    if len(truth) != len(texts):
        raise ValueError(
            f"Expected one true label for each description; found {len(truth)} and {len(texts)}. Pass the same groups "
            "in the same order."
        )
    unknown = sorted(set(truth) - set(labels))
    if unknown:
        raise ValueError(f"Expected true labels among `labels`; found {list_some(unknown)} missing. Add them.")
    named = [first_label(text, labels) for text in texts]
    found = {
        "label_accuracy": float(np.mean([one == other for one, other in zip(named, truth, strict=True)])),
        "label_share": float(np.mean([one is not None for one in named])),
    }
    if distance is not None:
        steps = [distance(one, other) for one, other in zip(named, truth, strict=True) if one is not None]
        found["ontology_distance"] = float(np.mean(steps)) if steps else float("nan")
    return found


def _embedding_metrics(
    texts: list[str], references: list[str], embed: "Callable[[list[str]], FloatArray]"
) -> dict[str, float]:
    # Each text once: definitions are the same for all groups of a type.
    distinct = list(dict.fromkeys([*texts, *references]))
    embeddings = checked_numbers(embed(distinct), "embed(texts)", ndim=2)
    if len(embeddings) != len(distinct):
        raise ValueError(
            f"Expected one row per text from `embed`; found {len(embeddings)} for {len(distinct)} texts. Pass a "
            "function such as `model.embed_text`."
        )
    places = pd.Index(distinct)
    ours, theirs = embeddings[places.get_indexer(texts)], embeddings[places.get_indexer(references)]
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines = np.divide((ours * theirs).sum(axis=1), lengths, out=np.zeros(len(ours)), where=lengths > 0)
    return {"embedding_cosine": float(cosines.mean()), "textual_discrepancy": _discrepancy(theirs, ours)}


def _discrepancy(references: "FloatArray", texts: "FloatArray") -> float:
    """Of samples of at least two rows; else NaN."""
    if min(len(references), len(texts)) < 2:
        return float("nan")
    return mean_discrepancy(references, texts, 0, np.random.default_rng(0))[0]


def _texts(given: "Sequence[str] | pd.Series", argument: str) -> list[str]:
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        raise TypeError(f"Expected a list of texts as `{argument}`; found {type_name(given)}. Pass one text per group.")
    texts = list(given)
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise TypeError(
            f"Expected texts in `{argument}`; found {type_name(wrong[0])}: {wrong[0]!r}. Leave these groups out, on "
            "both sides."
        )
    return texts


def _tokens(text: str) -> list[str]:
    return _NO_TOKEN.sub(" ", text.lower()).split()


def _common_length(words: Sequence[str], others: Sequence[str]) -> int:
    """Length of the longest common subsequence, by bits: one addition of a long integer per word of the second text."""
    masks: dict[str, int] = {}
    for place, word in enumerate(words):
        masks[word] = masks.get(word, 0) | 1 << place
    every = (1 << len(words)) - 1
    row = every
    for word in others:
        matches = row & masks.get(word, 0)
        row = ((row + matches) | (row - matches)) & every
    return len(words) - row.bit_count()
