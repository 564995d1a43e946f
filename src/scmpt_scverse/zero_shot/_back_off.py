"""The level of the Cell Ontology at which a label is sure: probabilities summed over kinds."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse.knowledge import ROOT, TermLevels, cell_ontology
from scmpt_scverse.zero_shot._refinement import row_blocks

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.zero_shot._candidates import Candidates


def backed_off(probabilities: "FloatArray", candidates: "Candidates", threshold: float) -> pd.DataFrame:
    """The most specific term of each cell that is probable enough.

    Parameters
    ----------
    probabilities
        Of the candidates, shape `(n_obs, n_labels)`; NaN for a cell that cannot be read.
    candidates
        A label without a term counts as some kind of `cell`; if labels with a term are registered types, those without
        are left out, as if they had not been candidates.
    threshold
        Probability that a term has to reach, in (0, 1].

    Returns
    -------
    As :func:`scmpt_scverse.knowledge.back_off`, one row per cell.
    """
    has_term = np.array([term is not None for term in candidates.terms])
    if not (candidates.is_registered and has_term.any()):
        has_term[:] = True
    terms = [candidates.terms[number] or ROOT for number in np.flatnonzero(has_term)]
    levels = TermLevels(terms, cell_ontology())
    if has_term.all():
        return levels.of(probabilities, threshold)
    parts = []
    for rows in row_blocks(len(probabilities)):
        kept = probabilities[rows][:, has_term]
        totals = kept.sum(axis=1, keepdims=True)
        shares = np.divide(kept, totals, out=np.full_like(kept, np.nan), where=totals > 0)
        parts.append(levels.of(shares, threshold))
    return pd.concat(parts, ignore_index=True)
