"""What is written of every cell: its label, how sure it is, whether it is another type, and the level that is sure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_share
from scmpt_scverse.evaluation import decode
from scmpt_scverse.zero_shot._annotate import query_components
from scmpt_scverse.zero_shot._back_off import backed_off
from scmpt_scverse.zero_shot._novelty import novelty_scores, types_apart
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
    predicted
        The label, or :data:`UNKNOWN`, shape `(n_obs,)`.
    novelty
        Shape `(n_obs,)`; `None` where there is no other type to compare with.
    backed_off
        As :func:`backed_off` gives it.
    """

    probabilities: "FloatArray"
    predicted: "StrArray"
    novelty: "FloatArray | None"
    backed_off: pd.DataFrame


def answers_of(
    model: "TextModel", query: "Query", candidates: "Candidates", refine: "Refine", limits: AnswerLimits
) -> Answers:
    """All that is written of every cell; `ValueError` where novelty is limited and cannot be told."""
    others = types_apart(model.alignment, model.types, candidates)
    if limits.max_novelty < 1 and not len(others.names):
        raise ValueError(
            "Expected registered types that are no candidates and not akin to one, to tell novelty by; found none. "
            "Leave `max_novelty` out, or name fewer `labels`."
        )
    components = None if refine == "none" else query_components(query)
    probabilities = model.probabilities(query, candidates, refine, components)
    novelty = novelty_scores(query, model.alignment, candidates, others, components) if len(others.names) else None
    predicted = decode(pd.DataFrame(probabilities, columns=pd.Index(candidates.names)), UNKNOWN)
    is_unsure = np.nan_to_num(probabilities).max(axis=1) < limits.min_confidence
    if novelty is not None:
        is_unsure |= np.nan_to_num(novelty) > limits.max_novelty
    predicted[is_unsure] = UNKNOWN
    return Answers(probabilities, predicted, novelty, backed_off(probabilities, candidates, limits.back_off))
