"""From scores to probabilities of labels: as they are, smoothed over neighbours, or refined on the query."""

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy.special import softmax

from scmpt_scverse._checks import check_choice
from scmpt_scverse.zero_shot._refinement import refined, row_blocks, smoothed

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.module import Scale, TextAlignment
    from scmpt_scverse.zero_shot._candidates import Candidates
    from scmpt_scverse.zero_shot._neighbourhood import Neighbourhood
    from scmpt_scverse.zero_shot._query import Query

#: What other cells of the query may add: nothing, a mean over neighbours, or what the sure ones teach.
Refine: TypeAlias = Literal["none", "smooth", "self-train"]
REFINEMENTS: tuple[Refine, ...] = ("none", "smooth", "self-train")
_SMALLEST_PROBABILITY = 1e-12


def label_scores(query: "Query", alignment: "TextAlignment", candidates: "Candidates") -> "FloatArray":
    """Score of each label for each cell, float32 of shape `(n_obs, n_labels)`; NaN for a cell that cannot be read."""
    return query.scores(alignment.profiles(candidates.texts, candidates.markers, query.is_used))


def averaged(scores: "FloatArray", near: "Neighbourhood | None", *, out: "FloatArray | None" = None) -> "FloatArray":
    """Scores, averaged over neighbours where there are some; written to `out`, which may be `scores`."""
    if near is not None:
        return smoothed(scores, near.nearest, out=out)
    if out is None:
        return np.array(scores)
    if out is not scores:
        out[:] = scores
    return out


def calibratable(
    scores: "FloatArray",
    scale: "Scale",
    refine: Refine,
    near: "Neighbourhood | None",
    *,
    out: "FloatArray | None" = None,
) -> "FloatArray":
    """Logits at the temperatures of `scale`, from what :func:`averaged` gives; shape as `scores`, written to `out`."""
    out = np.array(scores) if out is None else out
    for rows in row_blocks(len(scores)):
        out[rows] = scores[rows] / (scale.raw if near is None else scale.smoothed)
    if refine != "self-train" or near is None:
        return out
    _softmax(out)
    refined(out, near.components, out=out)
    for rows in row_blocks(len(out)):
        out[rows] = np.log(np.maximum(out[rows], _SMALLEST_PROBABILITY)) / scale.refined
    return out


def label_probabilities(
    scores: "FloatArray",
    scale: "Scale",
    refine: Refine,
    near: "Neighbourhood | None",
    *,
    out: "FloatArray | None" = None,
) -> "FloatArray":
    """Calibrated probabilities, shape as `scores`; NaN for a cell that cannot be read.

    Parameters
    ----------
    scores
        From :func:`label_scores`.
    scale
        Of the alignment: temperatures.
    refine
        One of :data:`REFINEMENTS`.
    near
        Where the cells are; `None` where nothing is refined, or the cells are too few.
    out
        Where to write; may be `scores`.
    """
    check_choice(refine, REFINEMENTS, "refine")
    near = None if refine == "none" else near
    out = averaged(scores, near, out=out)
    return averaged_probabilities(out, scale, refine, near, out=out)


def averaged_probabilities(
    scores: "FloatArray",
    scale: "Scale",
    refine: Refine,
    near: "Neighbourhood | None",
    *,
    out: "FloatArray | None" = None,
) -> "FloatArray":
    """As :func:`label_probabilities`, from what :func:`averaged` gives over the same `near`."""
    return _softmax(calibratable(scores, scale, refine, near, out=out))


def _softmax(logits: "FloatArray") -> "FloatArray":
    """In place, so that nothing of the size of all probabilities is made beside them."""
    for rows in row_blocks(len(logits)):
        logits[rows] = softmax(logits[rows], axis=1)
    return logits
