"""From scores to probabilities of labels: as they are, smoothed over neighbours, or refined on the query."""

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy import sparse
from scipy.special import softmax

from scmpt_scverse._checks import check_choice
from scmpt_scverse.evaluation import VariableComponents
from scmpt_scverse.zero_shot._refinement import N_NEIGHBOURS, refined, smoothed

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.module import Scale, TextAlignment
    from scmpt_scverse.zero_shot._candidates import Candidates
    from scmpt_scverse.zero_shot._query import Query

#: What other cells of the query may add: nothing, a mean over neighbours, or what the sure ones teach.
Refine: TypeAlias = Literal["none", "smooth", "self-train"]
REFINEMENTS: tuple[Refine, ...] = ("none", "smooth", "self-train")
N_COMPONENTS = 30
#: Cells that principal axes are learned from; all are projected on them.
_N_REFERENCES = 20_000
_SMALLEST_PROBABILITY = 1e-12


def label_scores(query: "Query", alignment: "TextAlignment", candidates: "Candidates") -> "FloatArray":
    """Score of each label for each cell, shape `(n_obs, n_labels)`; NaN for a cell that cannot be read."""
    return query.scores(alignment.profiles(candidates.texts, candidates.markers, query.is_used))


def label_probabilities(
    scores: "FloatArray", scale: "Scale", refine: Refine, components: "FloatArray | None"
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
    components
        Of the cells, from :func:`query_components`; `None` where nothing is refined.
    """
    check_choice(refine, REFINEMENTS, "refine")
    probabilities = np.full(scores.shape, np.nan)
    readable = np.flatnonzero(np.isfinite(scores).all(axis=1))
    if readable.size:
        found = scores[readable]
        near = None if components is None else components[readable]
        probabilities[readable] = softmax(calibratable(found, scale, refine, near), axis=1)
    return probabilities


def calibratable(scores: "FloatArray", scale: "Scale", refine: Refine, components: "FloatArray | None") -> "FloatArray":
    """Logits of readable cells, at the temperatures of `scale`; shape as `scores`."""
    if refine == "none" or components is None or len(scores) <= N_NEIGHBOURS:
        return scores / scale.raw
    around = smoothed(scores, components)
    if refine == "smooth":
        return around / scale.smoothed
    probabilities = refined(softmax(around / scale.smoothed, axis=1), components)
    logits: FloatArray = np.log(np.maximum(probabilities, _SMALLEST_PROBABILITY)) / scale.refined
    return logits


def query_components(query: "Query", *, seed: int = 0) -> "FloatArray":
    """Principal components of the cells, learned on a sample of them; shape `(n_obs, n_components)`."""
    rng = np.random.default_rng(seed)
    share = min(1.0, _N_REFERENCES / query.n_obs)
    sample = [matrix[rng.random(matrix.shape[0]) < share] if share < 1 else matrix for matrix in query.chunks()]
    model = VariableComponents(n_components=N_COMPONENTS, is_scaled=False, seed=seed).fit(sparse.vstack(sample, "csr"))
    return np.vstack([model.transform(matrix) for matrix in query.chunks()])
