"""How far labels from texts can be trusted: types that were not named, sets, levels that are sure, and evaluation."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn.metrics import roc_auc_score
from tests._zero_shot import LABELS, SEEN, UNSEEN, genes_of

from scmpt_scverse import SCMMGPT
from scmpt_scverse.zero_shot import registered_candidates, types_apart


@pytest.fixture(autouse=True)
def _ontology() -> None:
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")


@pytest.mark.parametrize("missing", LABELS)
def test_cells_of_a_type_that_was_not_named_are_novel(text_model: SCMMGPT, text_query: AnnData, missing: str) -> None:
    labels = [label for label in LABELS if label != missing]
    text_model.annotate(text_query, labels)
    is_missing = (text_query.obs["cell_type"] == missing).to_numpy()
    novelty = text_query.obs["scmmgpt_novelty"]
    assert novelty.between(0, 1).all()
    assert roc_auc_score(is_missing, novelty) > 0.9
    assert roc_auc_score(is_missing, novelty) > roc_auc_score(is_missing, 1 - text_query.obs["scmmgpt_confidence"])
    text_model.annotate(text_query, labels, max_novelty=0.5)
    unknown = text_query.obs["scmmgpt_prediction"] == "Unknown"
    np.testing.assert_array_equal(unknown, text_query.obs["scmmgpt_novelty"] > 0.5)
    assert unknown[is_missing].mean() > 0.6
    assert unknown[~is_missing].mean() < 0.2
    assert text_query.obs["scmmgpt_ontology_id"][unknown].isna().all()


@pytest.mark.parametrize("words", [["B lymphocyte"], ["lymphocyte"], ["naive B cell"], {"mine": genes_of("B cell")}])
def test_the_same_type_in_other_words_is_not_novel(
    text_model: SCMMGPT, text_query: AnnData, words: "list[str] | dict[str, list[str]]"
) -> None:
    """A synonym, a wider and a narrower term, and markers under a name of one's own."""
    labels = {**dict.fromkeys(UNSEEN, ""), **(words if isinstance(words, dict) else dict.fromkeys(words, ""))}
    text_model.annotate(text_query, labels)
    of_b_cells = text_query.obs["scmmgpt_novelty"][text_query.obs["cell_type"] == "B cell"]
    del labels[next(reversed(labels))]
    text_model.annotate(text_query, labels)
    without = text_query.obs["scmmgpt_novelty"][text_query.obs["cell_type"] == "B cell"]
    assert of_b_cells.median() < 0.5 < without.median()


def test_novelty_needs_another_type(text_model: SCMMGPT, text_query: AnnData) -> None:
    text_model.annotate(text_query, LABELS)
    assert "scmmgpt_novelty" in text_query.obs
    text_model.annotate(text_query)
    assert "scmmgpt_novelty" not in text_query.obs, "all registered types are candidates, so nothing is known to be new"
    with pytest.raises(ValueError, match="to tell novelty by; found none"):
        text_model.annotate(text_query, max_novelty=0.5)
    with pytest.raises(ValueError, match="`max_novelty` must be a share"):
        text_model.annotate(text_query, LABELS, max_novelty=2)


def test_tables_without_any_term_tell_no_novelty(text_model: SCMMGPT) -> None:
    assert text_model.types is not None
    assert text_model.alignment is not None
    nameless = replace(text_model.types, terms=(None,) * len(text_model.types.names))
    candidates = registered_candidates(text_model.alignment, nameless)
    assert not len(types_apart(text_model.alignment, nameless, candidates).names)


def test_sets_hold_the_most_probable_labels(text_model: SCMMGPT, text_query: AnnData) -> None:
    soft = text_model.predict(text_query, labels=LABELS, soft=True, refine="none")
    sizes = []
    for alpha in (0.01, 0.1, 0.4):
        sets = text_model.predict_sets(text_query, alpha, labels=LABELS, refine="none")
        assert list(sets.columns) == LABELS
        assert sets.index.equals(text_query.obs_names)
        inside = soft.where(sets, 0).sum(axis=1)
        assert (inside >= 1 - alpha - 1e-9).all()
        least = soft.where(sets).min(axis=1)
        assert (inside - least < 1 - alpha).all(), "no set holds more labels than it takes"
        assert (soft.where(~sets, -1).max(axis=1) <= least).all()
        assert sets.to_numpy()[np.arange(len(sets)), soft.to_numpy().argmax(axis=1)].all()
        sizes.append(sets.sum(axis=1).mean())
    assert sizes[0] > sizes[1] > sizes[2]
    some = text_model.predict_sets(text_query, 0.1, indices=[5, 2], labels=LABELS, refine="none")
    expected = text_model.predict_sets(text_query, 0.1, labels=LABELS, refine="none").iloc[[5, 2]]
    pd.testing.assert_frame_equal(some, expected)
    with pytest.raises(ValueError, match="`alpha` must be a number between 0 and 1"):
        text_model.predict_sets(text_query, 1.5, labels=LABELS)


def test_the_level_that_is_sure_is_written_beside_the_label(text_model: SCMMGPT, text_query: AnnData) -> None:
    labels = ["B cell", "T cell", "natural killer cell", *UNSEEN]
    text_model.annotate(text_query, labels, refine="none", back_off=0.9)
    obs = text_query.obs
    sure = obs["scmmgpt_confidence"] >= 0.9
    assert 0.05 < sure.mean() < 0.95
    np.testing.assert_array_equal(obs["scmmgpt_backed_off"][sure], obs["scmmgpt_prediction"][sure])
    np.testing.assert_array_equal(obs["scmmgpt_backed_off_id"][sure], obs["scmmgpt_ontology_id"][sure])
    assert (obs["scmmgpt_backed_off_confidence"] >= 0.9 - 1e-6).all()
    of_b_cells = obs["scmmgpt_backed_off"][(obs["cell_type"] == "B cell") & ~sure]
    assert "lymphocyte" in set(of_b_cells)
    text_model.annotate(text_query, labels, refine="none", back_off=1)
    assert text_query.obs["scmmgpt_backed_off"].isin(["cell", "eukaryotic cell"]).mean() > 0.9
    for wrong in (0, 1.2, True):
        with pytest.raises(ValueError, match="`back_off` must be"):
            text_model.annotate(text_query, labels, back_off=wrong)


def test_all_registered_types_back_off_too(text_model: SCMMGPT, text_query: AnnData) -> None:
    dense = text_query.X.toarray()
    dense[3] = 0
    text_query.X = dense
    text_model.annotate(text_query)
    level = text_query.obs["scmmgpt_backed_off"]
    assert level.isna().sum() == 1
    assert level.isna().iloc[3]
    assert np.isnan(text_query.obs["scmmgpt_backed_off_confidence"].iloc[3])
    assert {"hepatocyte", "fibroblast"} <= set(level.dropna())


def test_evaluation_beside_simple_predictors(text_model: SCMMGPT, text_query: AnnData) -> None:
    table = text_model.evaluate(text_query, "cell_type")
    assert list(table.index) == ["scmmgpt", "marker scoring", "majority"]
    assert table.loc["scmmgpt", "macro_f1"] > 0.7
    assert table.loc["marker scoring", "accuracy"] > 0.6
    assert table.loc["majority", "accuracy"] == 0.25
    assert (table["n_cells"] == text_query.n_obs).all()
    right = (text_model.predict(text_query, labels=sorted(LABELS)) == text_query.obs["cell_type"].to_numpy()).mean()
    assert table.loc["scmmgpt", "accuracy"] == pytest.approx(right)
    assert table.loc["scmmgpt", "ece"] < 0.3
    assert table.loc["marker scoring", ["ece", "brier", "nll"]].isna().all()


def test_truth_in_other_words_is_matched_in_the_ontology(text_model: SCMMGPT, text_query: AnnData) -> None:
    expected = text_model.evaluate(text_query, "cell_type", labels=LABELS)
    words = {"B cell": "naive B cell", "hepatocyte": "Hepatocytes", "fibroblast": "CL:0000057"}
    text_query.obs["mine"] = text_query.obs["cell_type"].replace(words)
    for predictor in ("scmmgpt", "marker scoring"):
        found = text_model.evaluate(text_query, "mine", labels=LABELS).loc[predictor]
        pd.testing.assert_series_equal(found, expected.loc[predictor])
    # A wider truth: both kinds are right.
    text_query.obs["wide"] = text_query.obs["cell_type"].replace({"B cell": "lymphocyte"})
    labels = [*UNSEEN, "B cell", "T cell"]
    wide = text_model.evaluate(text_query, "wide", labels=labels)
    predicted = pd.Series(text_model.predict(text_query, labels=labels)).replace({"T cell": "B cell"})
    right = (predicted.to_numpy() == text_query.obs["cell_type"].to_numpy()).mean()
    assert wide.loc["scmmgpt", "accuracy"] == pytest.approx(right)


def test_truth_that_matches_nothing_counts_as_wrong_and_is_named(text_model: SCMMGPT, text_query: AnnData) -> None:
    labels = [label for label in LABELS if label != "hepatocyte"]
    with pytest.warns(UserWarning, match=r"match no candidate.*'hepatocyte'. Their 40 of 160 cells count as wrong"):
        table = text_model.evaluate(text_query, "cell_type", labels=labels)
    assert table.loc["scmmgpt", "accuracy"] <= 0.75
    assert table.loc["scmmgpt", "n_cells"] == 160
    text_query.obs["cell_type"] = text_query.obs["cell_type"].replace({"hepatocyte": "Unknown"})
    assert text_model.evaluate(text_query, "cell_type", labels=labels).loc["scmmgpt", "n_cells"] == 120
    text_query.obs["nothing"] = "Unknown"
    with pytest.raises(ValueError, match="to compare with; found none"):
        text_model.evaluate(text_query, "nothing", labels=labels)
    with pytest.raises(KeyError, match="No 'celltype' in `adata.obs`"):
        text_model.evaluate(text_query, "celltype", labels=labels)
    with pytest.warns(UserWarning, match="The model was made with these cells"):
        text_model.evaluate(labels=SEEN)


def test_texts_and_cells_meet_on_the_axes_of_the_tower(text_model: SCMMGPT, text_query: AnnData) -> None:
    latent = text_model.get_latent_representation(text_query)
    assert latent.dtype == np.float32
    assert text_model.alignment is not None
    tower = text_model.alignment.tower
    assert latent.shape == (text_query.n_obs, tower.axes.shape[1])
    trained, query = text_model._trained(), text_model._query(text_query, None, None, None)
    candidates = trained.candidates(LABELS, None)
    import torch

    with torch.inference_mode():
        texts = torch.from_numpy(candidates.texts).float()
        coordinates = (tower.network(texts) + tower.linear(texts)).numpy()
    expected = query.scores(text_model.alignment.written(candidates.texts))
    np.testing.assert_allclose(latent @ coordinates.T, expected, atol=1e-5)
    np.testing.assert_array_equal(text_model.get_latent_representation(text_query, [4, 1]), latent[[4, 1]])
    before = text_query.copy()
    assert set(before.obsm) == set()
