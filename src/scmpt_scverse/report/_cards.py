"""A card for each label or group: how many cells, how sure, which genes, what it is confused with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse.report._annotation import UNSURE_BELOW, Annotation
from scmpt_scverse.report._evidence import Description, Evidence

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, IntArray
    from scmpt_scverse.report._labelling import Labelling

#: Groups that get a card, those of the most cells.
MOST_CARDS = 200
#: Labels that are named as confused, or as parts of a group, and the smallest share that is named.
_N_NAMED = 3
_LEAST_SHARE = 0.01
#: A second-best label of a lower mean probability is none to confuse with.
_LEAST_PROBABILITY = 0.05


@dataclass(frozen=True)
class Named:
    """A label, the share of the cells that have it, and, as second-best label, its mean probability in these."""

    label: str
    share: float
    probability: float | None = None


@dataclass(frozen=True)
class Card:
    """What the page says of a label or group.

    Attributes
    ----------
    code
        Its number in the labelling.
    label, colour
        Its name and colour.
    n_cells, share
        Its cells, and their share of all cells.
    confidence, unsure, novel
        Mean confidence, and shares of unsure and of novel cells; `None` where the model wrote none.
    consists_of
        The predicted labels of the cells of a group; empty for a card about a predicted label.
    confused_with
        The second-best labels of its cells, where they are at all probable.
    evidence
        Genes that speak for it; `None` where there are none.
    description
        `None` where there is none.
    """

    code: int
    label: str
    colour: str
    n_cells: int
    share: float
    confidence: float | None
    unsure: float | None
    novel: float | None
    consists_of: list[Named]
    confused_with: list[Named]
    evidence: Evidence | None
    description: Description | None


def largest_groups(labelling: "Labelling") -> list[int]:
    """Codes of the groups that get a card, most cells first."""
    order = np.argsort(-labelling.counts, kind="stable")[:MOST_CARDS]
    return [int(code) for code in order if labelling.counts[code]]


def cards_of(
    annotation: Annotation,
    labelling: "Labelling",
    evidence: Mapping[str, Evidence],
    descriptions: Mapping[str, Description],
) -> list[Card]:
    """Cards, most cells first."""
    order = np.argsort(labelling.codes, kind="stable")
    stops = np.cumsum(labelling.counts)
    cards = []
    for code in largest_groups(labelling):
        label, rows = labelling.labels[code], order[stops[code] - labelling.counts[code] : stops[code]]
        confidence, novelty = (_values(annotation, name, rows) for name in ("confidence", "novelty"))
        description = descriptions.get(label)
        genes = Evidence(description.genes, "from its description") if description and description.genes else None
        cards.append(
            Card(
                code=code,
                label=label,
                colour=labelling.colours[code],
                n_cells=len(rows),
                share=len(rows) / len(labelling.codes),
                confidence=mean_of(confidence),
                unsure=mean_of(confidence, confidence < UNSURE_BELOW),
                novel=mean_of(novelty, novelty > annotation.novel_above),
                consists_of=_consists_of(annotation, labelling, rows),
                confused_with=_confused_with(annotation, rows),
                evidence=genes or evidence.get(label),
                description=description,
            )
        )
    return cards


def mean_of(values: "FloatArray", of: "FloatArray | BoolArray | None" = None) -> float | None:
    """The mean of `of`, by default `values`, over cells that have a value; `None` where none has."""
    is_known = np.isfinite(values)
    return float(np.mean((values if of is None else of)[is_known])) if is_known.any() else None


def _values(annotation: Annotation, name: str, rows: "IntArray") -> "FloatArray":
    score = annotation.scores.get(name)
    return np.full(len(rows), np.nan) if score is None else score.values[rows]


def _consists_of(annotation: Annotation, labelling: "Labelling", rows: "IntArray") -> list[Named]:
    predicted = annotation.predicted
    if predicted is None or predicted.column == labelling.column:
        return []
    return [Named(predicted.labels[code], share) for code, share in _most(predicted.codes[rows], predicted.labels)]


def _confused_with(annotation: Annotation, rows: "IntArray") -> list[Named]:
    """The second-best labels that are near enough to be meant; those of the most cells first."""
    second = annotation.second
    if second is None:
        return []
    codes, probabilities = second.codes[rows], second.probabilities[rows]
    named = [
        Named(second.labels[code], share, float(probabilities[codes == code].mean()))
        for code, share in _most(codes, second.labels)
    ]
    return [each for each in named if each.probability is not None and each.probability >= _LEAST_PROBABILITY]


def _most(codes: "IntArray", labels: Sequence[str]) -> list[tuple[int, float]]:
    """The most frequent codes and their shares."""
    counts = np.bincount(codes[codes >= 0], minlength=len(labels))
    order = np.argsort(-counts, kind="stable")[:_N_NAMED]
    return [(int(code), counts[code] / len(codes)) for code in order if counts[code] / len(codes) >= _LEAST_SHARE]
