"""What is written of every cell: its label, how sure it is, whether it is another type, and the level that is sure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_share
from scmpt_scverse.zero_shot._annotate import averaged, averaged_probabilities, label_scores
from scmpt_scverse.zero_shot._back_off import backed_off
from scmpt_scverse.zero_shot._neighbourhood import Neighbourhood
from scmpt_scverse.zero_shot._novelty import novelty_scores, types_apart
from scmpt_scverse.zero_shot._refinement import best_labels
from scmpt_scverse.zero_shot._text_model import UNKNOWN

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, StrArray
    from scmpt_scverse.zero_shot._annotate import Refine
    from scmpt_scverse.zero_shot._candidates import Candidates
    from scmpt_scverse.zero_shot._query import Query
    from scmpt_scverse.zero_shot._text_model import TextModel


@dataclass(frozen=True)
class AnswerLimits:
    """How sure a label has to be; see :meth:`scmpt_scverse.SCMMGPT.annotate`.

    Raises
    ------
    ValueError
        One is out of range.
    """

    min_confidence: float = 0.0
    max_novelty: float = 1.0
    back_off: float = 0.8

    def __post_init__(self) -> None:
        for name in ("min_confidence", "max_novelty", "back_off"):
            check_share(getattr(self, name), name)
        if self.back_off == 0:
            raise ValueError("`back_off` must be above 0: every term reaches 0. Pass a probability such as 0.8.")


@dataclass(frozen=True)
class Answers:
    """All that is written of every cell.

    Attributes
    ----------
    probabilities
        Of the candidates, shape `(n_obs, n_labels)`; NaN for a cell that cannot be read.
    confidence
        The highest of them, shape `(n_obs,)`.
    predicted
        The label, or :data:`UNKNOWN`, shape `(n_obs,)`.
    novelty
        Shape `(n_obs,)`; `None` where there is no other type to compare with.
    backed_off
        As :func:`backed_off` gives it.
    """

    probabilities: "FloatArray"
    confidence: "FloatArray"
    predicted: "StrArray"
    novelty: "FloatArray | None"
    backed_off: pd.DataFrame


def checked_others(model: "TextModel", candidates: "Candidates", limits: AnswerLimits) -> "Candidates":
    """Types that novelty is told by; `ValueError` where it is limited and there are none."""
    others = types_apart(model.alignment, model.types, candidates)
    if limits.max_novelty < 1 and not len(others.names):
        raise ValueError(
            "Expected registered types that are no candidates and not akin to one, to tell novelty by; found none. "
            "Leave `max_novelty` out, or name fewer `labels`."
        )
    return others


def answers_of(
    model: "TextModel",
    query: "Query",
    candidates: "Candidates",
    others: "Candidates",
    refine: "Refine",
    limits: AnswerLimits,
) -> Answers:
    """All that is written of every cell; `others` are those of :func:`checked_others`."""
    model.warn_of_absent(candidates.is_named, query)
    scale = model.alignment.scale
    near = None if refine == "none" else Neighbourhood.of(query)
    # One array holds scores, then their means, then probabilities: there may be hundreds of candidates.
    scores = label_scores(query, model.alignment, candidates)
    averaged(scores, near, out=scores)
    novelty = None
    if len(others.names):
        novelty = novelty_scores(query, model.alignment, scores.max(axis=1), others, near)
    probabilities = averaged_probabilities(scores, scale, refine, near, out=scores)
    codes, confidence = best_labels(probabilities)
    codes[np.nan_to_num(confidence) < limits.min_confidence] = -1
    if novelty is not None:
        codes[np.nan_to_num(novelty) > limits.max_novelty] = -1
    predicted = np.array([*candidates.names, UNKNOWN], dtype=object)[codes]
    return Answers(
        probabilities, confidence, predicted, novelty, backed_off(probabilities, candidates, limits.back_off)
    )
