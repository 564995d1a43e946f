"""Whether a cell is of a type that was not named: other registered types fit it better than every candidate."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from scmpt_scverse.knowledge import cell_ontology
from scmpt_scverse.module import unit_profiles
from scmpt_scverse.zero_shot._candidates import registered_in_rows
from scmpt_scverse.zero_shot._refinement import N_NEIGHBOURS, smoothed

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.module import TextAlignment
    from scmpt_scverse.zero_shot._candidates import Candidates
    from scmpt_scverse.zero_shot._query import Query
    from scmpt_scverse.zero_shot._types import RegisteredTypes

#: Of the other types, the share whose mean is compared, and how many at most: the best of hundreds is high by chance,
#: and tables of markers have several entries for most types.
_SHARE, _MOST = 1 / 50, 5


def types_apart(alignment: "TextAlignment", types: "RegisteredTypes", candidates: "Candidates") -> "Candidates":
    """Registered types that are no candidate: neither the same, nor a kind of one, nor what one is a kind of.

    A candidate without a term counts as the registered type whose profile is most like its own. Types without a term
    are left out: what they are kinds of is not known.
    """
    terms = {term for term in candidates.terms if term is not None}
    without = [number for number, term in enumerate(candidates.terms) if term is None]
    rows = [row for row, term in enumerate(types.terms) if term is not None]
    if without and rows:
        known = registered_in_rows(alignment, types, rows)
        every = np.ones(len(alignment.axes), dtype=bool)
        own = alignment.profiles(candidates.texts[without], candidates.markers[without], every)
        likeness = (
            unit_profiles(own, every) @ unit_profiles(alignment.profiles(known.texts, known.markers, every), every).T
        )
        terms |= {known.terms[row] for row in likeness.argmax(axis=1)}
    return registered_in_rows(alignment, types, types.rows_apart(terms, cell_ontology()))


def novelty_scores(
    query: "Query",
    alignment: "TextAlignment",
    candidates: "Candidates",
    others: "Candidates",
    components: "FloatArray | None",
) -> "FloatArray":
    """How much better other types fit than the best candidate, in [0, 1]; NaN for a cell that cannot be read.

    Parameters
    ----------
    query
        The cells.
    alignment
        Writes profiles.
    candidates
        What was chosen from.
    others
        From :func:`types_apart`, at least one.
    components
        Of the cells, to average scores over neighbours; `None` judges each cell by itself.

    Returns
    -------
    Shape `(n_obs,)`: the logistic function of the difference between the mean of the best scores of other types and
    the best score of a candidate, over the temperature. 0.5 where both fit as well.
    """
    texts = np.vstack([candidates.texts, others.texts])
    markers = np.vstack([candidates.markers, others.markers])
    # One pass over the cells; float32, since there are hundreds of other types.
    scores = query.scores(alignment.profiles(texts, markers, query.is_used)).astype(np.float32)
    temperature = alignment.scale.raw
    readable = np.flatnonzero(np.isfinite(scores).all(axis=1))
    if components is not None and len(readable) > N_NEIGHBOURS:
        scores[readable] = smoothed(scores[readable], components[readable])
        temperature = alignment.scale.smoothed
    n = len(candidates.names)
    n_best = int(np.clip(_SHARE * len(others.names), 1, _MOST))
    best = np.partition(scores[:, n:], -n_best, axis=1)[:, -n_best:].mean(axis=1)
    novelty: FloatArray = expit((best - scores[:, :n].max(axis=1)) / temperature)
    return novelty
