"""Where the right labels are not all that is offered: a type that was not named, and all registered types at once."""

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

from scmpt_scverse.knowledge import cell_ontology
from scmpt_scverse.zero_shot import (
    REFINEMENTS,
    Neighbourhood,
    Query,
    averaged,
    backed_off,
    candidates_of,
    label_probabilities,
    label_scores,
    novelty_scores,
    registered_candidates,
    types_apart,
)

if TYPE_CHECKING:
    from scmpt_scverse import SCMMGPT


#: Probability that a term has to reach, the default of `SCMMGPT.annotate`.
BACK_OFF = 0.8


def missing_types(
    query: Query, model: "SCMMGPT", terms: list[str], truth: np.ndarray, near: Neighbourhood
) -> dict[str, dict[str, float]]:
    """Mean AUROC of the cells of each label against all others, where it is no candidate; by way to refine."""
    alignment, types = model.alignment, model.types
    found: dict[str, list[tuple[float, float]]] = {refine: [] for refine in REFINEMENTS}
    for hidden, term in enumerate(terms):
        is_hidden = truth == hidden
        candidates = candidates_of(
            [each for each in terms if each != term], alignment, types, model.genes, model.embed_text
        )
        scores = label_scores(query, alignment, candidates)
        others = types_apart(alignment, types, candidates)
        alone, together = (
            novelty_scores(query, alignment, averaged(scores, around).max(axis=1), others, around)
            for around in (None, near)
        )
        for refine in REFINEMENTS:
            confidence = label_probabilities(scores, alignment.scale, refine, near).max(axis=1)
            novelty = alone if refine == "none" else together
            found[refine].append((roc_auc_score(is_hidden, novelty), roc_auc_score(is_hidden, -confidence)))
    return {
        refine: dict(zip(("missing_by_novelty", "missing_by_confidence"), np.mean(pairs, axis=0).tolist(), strict=True))
        for refine, pairs in found.items()
    }


def levels(
    query: Query, model: "SCMMGPT", terms: list[str], truth: np.ndarray, near: Neighbourhood
) -> dict[str, dict[str, float]]:
    """All registered types as candidates: how often the label, and the level that is sure, are right; by way to refine.

    A label is right if it is the true term, a level if it is that or what it is a kind of.
    """
    ontology, true = cell_ontology(), [terms[code] for code in truth]
    candidates = registered_candidates(model.alignment, model.types)
    scores = label_scores(query, model.alignment, candidates)
    found = {}
    for refine in REFINEMENTS:
        soft = label_probabilities(scores, model.alignment.scale, refine, near)
        table = backed_off(soft, candidates, BACK_OFF)
        above = {each: ontology.ancestors(each) | {each} for each in terms}
        leaves = [candidates.terms[code] for code in soft.argmax(axis=1)]
        found[refine] = {
            "leaf_right": float(np.mean([leaf == each for leaf, each in zip(leaves, true, strict=True)])),
            "level_right": float(
                np.mean([level in above[each] for level, each in zip(table["ontology_id"], true, strict=True)])
            ),
            "level_probability": float(table["probability"].mean()),
            "level_is_any_cell": float(table["ontology_term"].isin(["cell", "eukaryotic cell"]).mean()),
        }
    return found
