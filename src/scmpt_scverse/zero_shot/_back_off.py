"""The level of the Cell Ontology at which a label is sure: probabilities summed over kinds."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse.knowledge import ROOT, back_off, cell_ontology

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.zero_shot._candidates import Candidates

#: Cells at a time: sums are made for all terms above the candidates.
_CHUNK_SIZE = 2048


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
    if candidates.is_registered and has_term.any():
        probabilities = probabilities[:, has_term]
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    else:
        has_term[:] = True
    names = [str(number) for number in np.flatnonzero(has_term)]
    terms = [candidates.terms[number] or ROOT for number in np.flatnonzero(has_term)]
    mapping = pd.DataFrame({"ontology_id": terms}, index=pd.Index(names, name="label"))
    ontology = cell_ontology()
    tables = [
        back_off(
            pd.DataFrame(probabilities[start : start + _CHUNK_SIZE], columns=names),
            mapping,
            threshold=threshold,
            ontology=ontology,
        )
        for start in range(0, len(probabilities), _CHUNK_SIZE)
    ]
    return pd.concat(tables, ignore_index=True)
