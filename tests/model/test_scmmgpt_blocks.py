"""What is said of cells is computed block by block; here it is compared with what all at once would give."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.special import expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from tests._zero_shot import LABELS

from scmpt_scverse import SCMMGPT
from scmpt_scverse.knowledge import back_off
from scmpt_scverse.zero_shot import REFINEMENTS, Neighbourhood, Refine, _novelty, _refinement, types_apart


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, the last one smaller."""
    for module, name, size in (
        (_novelty, "_TYPES_AT_ONCE", 2),
        (_refinement, "_LABELS_AT_ONCE", 3),
        (_refinement, "_CELLS_AT_ONCE", 30),
    ):
        monkeypatch.setattr(module, name, size)


@pytest.mark.parametrize("refine", REFINEMENTS)
def test_all_that_is_written(text_model: SCMMGPT, text_query: AnnData, refine: Refine) -> None:
    dense = text_query.X.toarray()
    dense[[2, 70]] = 0
    text_query.X = dense
    text_model.annotate(text_query, LABELS, refine=refine)
    obs, found = text_query.obs, text_query.obsm["scmmgpt_scores"]
    assert found.isna().all(axis=1).sum() == 2

    model, query = text_model._trained(), text_model._query(text_query, None, None, None)
    scale, candidates = model.alignment.scale, model.candidates(LABELS, None)
    others = types_apart(model.alignment, model.types, candidates)
    assert len(others.names) == 4
    kept = np.delete(np.arange(text_query.n_obs), [2, 70])
    matrix = np.vstack([chunk.toarray() for chunk in query.chunks()])
    cells = ((matrix - query.standardisation.mean) / np.where(query.is_used, query.standardisation.scale, np.inf))[kept]
    cells /= np.linalg.norm(cells, axis=1, keepdims=True)
    own, other = (
        cells @ model.alignment.profiles(each.texts, each.markers, query.is_used).T for each in (candidates, others)
    )
    temperature, near = scale.raw, Neighbourhood.of(query)
    assert near is not None
    if refine != "none":
        rows = np.searchsorted(kept, near.nearest[kept])
        own, other = ((each[rows].sum(axis=1) + each) / (1 + near.nearest.shape[1]) for each in (own, other))
        temperature = scale.smoothed
    probabilities = softmax(own / temperature, axis=1)
    if refine == "self-train":
        probabilities = self_trained(probabilities, near.components[kept], scale.refined)
    np.testing.assert_allclose(found.to_numpy()[kept], probabilities, atol=2e-4)
    np.testing.assert_array_equal(obs["scmmgpt_prediction"].iloc[kept], np.array(LABELS)[probabilities.argmax(axis=1)])
    np.testing.assert_allclose(obs["scmmgpt_confidence"].iloc[kept], probabilities.max(axis=1), atol=2e-4)
    novelty = expit((other.max(axis=1) - own.max(axis=1)) / temperature)
    np.testing.assert_allclose(obs["scmmgpt_novelty"].iloc[kept], novelty, atol=1e-5)
    mapping = pd.DataFrame({"ontology_id": candidates.terms}, index=LABELS)
    level = back_off(found.iloc[kept], mapping, threshold=0.8)
    np.testing.assert_array_equal(obs["scmmgpt_backed_off"].iloc[kept], level["ontology_term"])
    np.testing.assert_allclose(obs["scmmgpt_backed_off_confidence"].iloc[kept], level["probability"])
    assert obs[["scmmgpt_confidence", "scmmgpt_novelty", "scmmgpt_backed_off"]].iloc[[2, 70]].isna().all(axis=None)
    assert set(obs["scmmgpt_prediction"].iloc[[2, 70]]) == {"Unknown"}


def self_trained(given: np.ndarray, components: np.ndarray, temperature: float) -> np.ndarray:
    """Two rounds, as the documentation says them."""
    components, probabilities = components / components.std(axis=0).max(), given
    for _ in range(2):
        labels = probabilities.argmax(axis=1)
        teachers = []
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            surest = rows[np.argsort(-probabilities.max(axis=1)[rows], kind="stable")]
            teachers += list(surest[: max(5, int(0.2 * len(rows)))])
        learner = LogisticRegression(max_iter=300, class_weight="balanced")
        learned = learner.fit(components[teachers], labels[teachers]).predict_proba(components)
        probabilities = np.sqrt(given * learned)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    softened: np.ndarray = np.exp(log_softmax(np.log(probabilities) / temperature, axis=1))
    return softened
