"""Whether a cell is of a type that was not named: other registered types fit it better than every candidate."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from scmpt_scverse.knowledge import cell_ontology
from scmpt_scverse.module import unit_profiles
from scmpt_scverse.zero_shot._annotate import averaged
from scmpt_scverse.zero_shot._candidates import registered_in_rows
from scmpt_scverse.zero_shot._refinement import row_blocks

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.module import TextAlignment
    from scmpt_scverse.zero_shot._candidates import Candidates
    from scmpt_scverse.zero_shot._neighbourhood import Neighbourhood
    from scmpt_scverse.zero_shot._query import Query
    from scmpt_scverse.zero_shot._types import RegisteredTypes

#: Of the other types, the share whose mean is compared, and how many at most: the best of hundreds is high by chance,
#: and tables of markers have several entries for most types.
_SHARE, _MOST = 1 / 50, 5
#: Other types that are scored in one pass over the cells.
_TYPES_AT_ONCE = 256


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
    best: "FloatArray",
    others: "Candidates",
    near: "Neighbourhood | None",
) -> "FloatArray":
    """How much better other types fit than the best candidate, in [0, 1]; NaN for a cell that cannot be read.

    Parameters
    ----------
    query
        The cells.
    alignment
        Writes profiles.
    best
        The best score of a candidate for each cell, averaged over neighbours if scores of others are, shape `(n_obs,)`.
    others
        From :func:`types_apart`, at least one.
    near
        Neighbours that scores are averaged over; `None` judges each cell by itself.

    Returns
    -------
    Shape `(n_obs,)`: the logistic function of the difference between the mean of the best scores of other types and
    the best score of a candidate, over the temperature. 0.5 where both fit as well.

    Notes
    -----
    There are hundreds of other types. Some are scored at a time, so that a cell takes no memory for each of them.
    """
    n_best = int(np.clip(_SHARE * len(others.names), 1, _MOST))
    highest = np.full((query.n_obs, n_best), -np.inf, dtype=np.float32)
    for start in range(0, len(others.names), _TYPES_AT_ONCE):
        types = slice(start, start + _TYPES_AT_ONCE)
        profiles = alignment.profiles(others.texts[types], others.markers[types], query.is_used)
        scores = query.scores(profiles.astype(np.float32))
        averaged(scores, near, out=scores)
        for rows in row_blocks(query.n_obs):
            both = np.hstack([highest[rows], scores[rows]])
            highest[rows] = np.partition(both, -n_best, axis=1)[:, -n_best:]
    temperature = alignment.scale.raw if near is None else alignment.scale.smoothed
    novelty: FloatArray = expit((highest.mean(axis=1) - best) / temperature)
    return novelty
