"""Calibration, rejection, sets, novelty and contributions on real cells that were not trained on."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn.metrics import roc_auc_score
from tests._adata import LABELS_KEY
from tests._model import probabilities

from scmpt_scverse import SCMPT, metrics


def fit(adata: AnnData, encoders: dict[str, Any] | None = None, fusion: str = "stacked", **options: Any) -> SCMPT:
    """A quick model on components, with what is given beside them."""
    SCMPT.setup_anndata(adata, LABELS_KEY, obsm_keys={"expression": "X_pca"})
    model = SCMPT(adata, encoders=encoders, fusion=fusion, n_hidden=32)
    model.train(**{"enable_progress_bar": False, **options})
    return model


@pytest.fixture(scope="module")
def split(_pbmc: AnnData) -> tuple[SCMPT, AnnData]:
    """A stacked model of components and genes, and cells that it did not see."""
    held_out = np.arange(_pbmc.n_obs) % 3 == 0
    train = _pbmc[~held_out].copy()
    return fit(train, {"counts": {"encoder": "counts", "n_genes": 300}}, train_size=1.0), _pbmc[held_out].copy()


def test_stacked_model_beats_the_majority_and_is_calibrated(split: tuple[SCMPT, AnnData]) -> None:
    model, query = split
    table = model.evaluate(query, baselines=("majority", "logistic_regression"))
    assert table.loc["scmpt", "macro_f1"] > table.loc["majority", "macro_f1"] + 0.4
    assert table.loc["scmpt", "nll"] < table["nll"].drop("scmpt").min() + 0.05
    assert table.loc["scmpt", "ece"] < 0.1


def test_rejection_trades_coverage_for_errors(split: tuple[SCMPT, AnnData]) -> None:
    model, query = split
    truth = query.obs[LABELS_KEY].to_numpy(dtype=object)
    error_of_all = np.mean(model.predict(query) != truth)
    kept = model.predict(query, reject=0.05)
    is_kept = kept != model.unlabeled_category
    assert 0.2 < is_kept.mean() < 1
    assert np.mean(kept[is_kept] != truth[is_kept]) < min(0.1, error_of_all)
    covered = model.predict(query, reject={"coverage": 0.8}) != model.unlabeled_category
    assert abs(covered.mean() - 0.8) < 0.08
    assert (model.predict(query, reject={"coverage": 0}) == model.unlabeled_category).all()


def test_sets_hold_the_label_as_often_as_promised(split: tuple[SCMPT, AnnData]) -> None:
    model, query = split
    sizes = []
    for alpha in (0.2, 0.05):
        sets = model.predict_sets(query, alpha, allow_empty=True)
        holds = np.mean([sets.at[cell, label] for cell, label in query.obs[LABELS_KEY].items()])
        assert holds > 1 - alpha - 0.06  # 234 cells
        sizes.append(sets.to_numpy().sum(axis=1).mean())
    assert sizes[0] < sizes[1] < len(model.labels)


def test_the_label_set_of_a_cell_does_not_depend_on_other_cells(split: tuple[SCMPT, AnnData]) -> None:
    model, query = split
    sets = model.predict_sets(query, 0.1)
    rows = np.random.default_rng(0).permutation(query.n_obs)[:40]
    pd.testing.assert_frame_equal(model.predict_sets(query[rows].copy(), 0.1), sets.iloc[rows])


def test_cells_of_a_solved_problem_are_not_all_covered(pbmc: AnnData) -> None:
    """Where probabilities round to 1, the surer cells are still told from the less sure ones."""
    rng = np.random.default_rng(0)
    easy = pbmc[pbmc.obs[LABELS_KEY].isin(["CD19+ B", "CD14+ Monocyte"]).to_numpy()].copy()
    is_b = (easy.obs[LABELS_KEY] == "CD19+ B").to_numpy()
    easy.obsm["X_easy"] = (rng.normal(size=(easy.n_obs, 5)) + np.where(is_b, 2, -2)[:, None]).astype(np.float32)
    is_query = np.arange(easy.n_obs) % 2 == 0
    query = easy[is_query].copy()
    train = easy[~is_query].copy()
    SCMPT.setup_anndata(train, LABELS_KEY, obsm_keys={"easy": "X_easy"})
    model = SCMPT(train, fusion="stacked")
    model.train(enable_progress_bar=False, train_size=1.0)
    truth = np.arange(query.n_obs), model.labels.searchsorted(query.obs[LABELS_KEY].astype(str))
    sets = model.predict_sets(query, 0.2, allow_empty=True)
    assert (model.predict(query) == query.obs[LABELS_KEY]).all()
    assert np.mean(sets.to_numpy()[truth]) == pytest.approx(0.8, abs=0.1)
    is_empty = ~sets.any(axis=1)
    n_empty = int(is_empty.sum())
    assert n_empty > 10
    message = rf"{n_empty} of {query.n_obs} label sets \({is_empty.mean():.0%}\) are empty.* Pass `allow_empty=False`"
    with pytest.warns(UserWarning, match=message):
        pd.testing.assert_frame_equal(model.predict_sets(query, 0.2), sets)
    filled = model.predict_sets(query, 0.2, allow_empty=False)
    pd.testing.assert_frame_equal(filled[~is_empty], sets[~is_empty])
    assert (filled[is_empty].sum(axis=1) == 1).all()
    assert filled.to_numpy()[truth].all()


def test_every_set_holds_the_predicted_label_on_request(split: tuple[SCMPT, AnnData]) -> None:
    """Also where the heads of the folds rank another label first."""
    model, query = split
    sets, filled = (model.predict_sets(query, 0.4, allow_empty=allowed) for allowed in (True, False))
    predicted = np.arange(query.n_obs), pd.Index(model.labels).get_indexer(model.predict(query))
    assert not sets.to_numpy()[predicted].all()
    expected = sets.to_numpy().copy()
    expected[predicted] = True
    np.testing.assert_array_equal(filled, expected)


def test_too_few_calibration_cells_keep_no_cell_and_say_so(pbmc: AnnData) -> None:
    """Seven validation cells: the errors asked for take 19."""
    few = pbmc[::10].copy()
    model = fit(few, fusion="concat", max_epochs=2)
    assert model.calibration is not None
    assert len(model.calibration.confidence) == 7
    with pytest.warns(UserWarning, match=r"`reject=0.05` keeps no cell: it takes at least 19 .* found 7\."):
        assert (model.predict(reject=0.05) == model.unlabeled_category).all()
    with pytest.warns(UserWarning, match="keeps no cell"):
        model.annotate(reject=0.05)
    assert (few.obs["scmpt_prediction"] == model.unlabeled_category).all()


def test_annotate_writes_what_can_be_trusted(split: tuple[SCMPT, AnnData]) -> None:
    model, query = split
    query = query.copy()
    model.annotate(query, reject=0.1)
    soft = probabilities(model, query)
    np.testing.assert_allclose(query.obs["scmpt_confidence"], soft.max(axis=1), atol=1e-6)
    assert query.obs["scmpt_novelty"].between(0, 1).all()
    assert query.obs["scmpt_disagreement"].isin([0, 0.5, 1]).all()
    assert list(query.obsm["scmpt_contributions"]) == ["counts", "expression"]
    assert model.unlabeled_category in query.obs["scmpt_prediction"].cat.categories


def test_novelty_finds_a_label_that_was_hidden(pbmc: AnnData) -> None:
    hidden = "CD19+ B"
    is_test = np.arange(pbmc.n_obs) % 3 == 0
    train = pbmc[~is_test & (pbmc.obs[LABELS_KEY] != hidden).to_numpy()].copy()
    query = pbmc[is_test].copy()
    fit(train, train_size=1.0).annotate(query)
    assert roc_auc_score(query.obs[LABELS_KEY] == hidden, query.obs["scmpt_novelty"]) > 0.7


def test_saved_and_loaded_without_data(split: tuple[SCMPT, AnnData], tmp_path: Any) -> None:
    model, query = split
    model.save(str(tmp_path / "model"))
    loaded = SCMPT.load(str(tmp_path / "model"), adata=False)
    np.testing.assert_array_equal(probabilities(loaded, query), probabilities(model, query))
    np.testing.assert_array_equal(loaded.predict_sets(query), model.predict_sets(query))
    assert (loaded.predict(query, reject=0.1) == model.predict(query, reject=0.1)).all()


def test_reordered_and_missing_genes(split: tuple[SCMPT, AnnData]) -> None:
    model, query = split
    expected = probabilities(model, query)
    np.testing.assert_allclose(probabilities(model, query[:, ::-1].copy()), expected, atol=1e-5)
    fewer = probabilities(model, query[:, ::2].copy())
    assert np.mean(fewer.to_numpy().argmax(axis=1) == expected.to_numpy().argmax(axis=1)) > 0.7
    foreign = query.copy()
    foreign.var_names = [f"GENE{number}X" for number in range(foreign.n_vars)]
    with pytest.raises(ValueError, match="genes that the model was trained on; found none"):
        model.predict(foreign)


def test_genes_are_chosen_on_training_cells_only(pbmc: AnnData) -> None:
    """A gene that only validation cells express is not among them."""
    pbmc = pbmc[::3].copy()
    SCMPT.setup_anndata(pbmc, LABELS_KEY)
    first = SCMPT(pbmc, encoders={"counts": "counts"}, fusion="stacked")
    first.train(enable_progress_bar=False)
    changed = pbmc.copy()
    gene = changed.var_names.get_loc("CD79A")
    matrix = changed.X.toarray() if hasattr(changed.X, "toarray") else np.array(changed.X)
    matrix[first.train_indices, gene] = 0
    changed.X = matrix
    SCMPT.setup_anndata(changed, LABELS_KEY)
    second = SCMPT(changed, encoders={"counts": "counts"}, fusion="stacked")
    second.train(enable_progress_bar=False)
    assert first.modalities.expression is not None
    assert second.modalities.expression is not None
    assert "CD79A" in first.modalities.expression.genes
    assert "CD79A" not in second.modalities.expression.genes


def test_a_missing_modality_is_left_out_with_a_warning(split: tuple[SCMPT, AnnData]) -> None:
    model, query = split
    query = query.copy()
    del query.obsm["X_pca"]
    with pytest.warns(UserWarning, match="there is no `adata.obsm\\['X_pca'\\]`; predictions do without"):
        predicted = model.predict(query)
    assert metrics.classification_metrics(query.obs[LABELS_KEY], predicted)["accuracy"] > 0.6


@pytest.mark.parametrize("fusion", ["concat", "gated", "attention"])
def test_heads_trained_in_epochs_are_calibrated_too(embedded: AnnData, fusion: str) -> None:
    model = fit(embedded, {"text": {"encoder": "minilm", "max_genes": 10}}, fusion, max_epochs=15, train_size=0.7)
    assert float(model.module.temperature) != 1
    assert model.calibration is not None
    assert len(model.calibration.confidence) == len(np.asarray(model.validation_indices))
    model.annotate()
    shares = embedded.obsm["scmpt_contributions"]
    assert list(shares) == ["text", "expression"]
    assert np.isfinite(shares).all(axis=None)


def test_balanced_weights_help_rare_labels(pbmc: AnnData) -> None:
    held_out = np.arange(pbmc.n_obs) % 3 == 0
    recall = {}
    for class_weight in (None, "balanced"):
        model = fit(pbmc[~held_out].copy(), train_size=1.0, class_weight=class_weight)
        query = pbmc[held_out].copy()
        table = metrics.per_class_metrics(query.obs[LABELS_KEY], model.predict(query))
        recall[class_weight] = table.sort_values("support").head(3)["recall"].mean()
    assert recall["balanced"] > recall[None]


def test_few_cells_of_each_label(pbmc: AnnData) -> None:
    """Five cells a label already tell more than the majority."""
    few = pd.Series(range(pbmc.n_obs)).groupby(pbmc.obs[LABELS_KEY].to_numpy(), observed=True).head(5)
    train, query = pbmc[few].copy(), pbmc[np.setdiff1d(np.arange(pbmc.n_obs), few)].copy()
    predicted = fit(train, train_size=1.0).predict(query)
    assert metrics.classification_metrics(query.obs[LABELS_KEY], predicted)["accuracy"] > 0.5


@pytest.mark.parametrize(
    ("reject", "message"),
    [
        (1.5, "a share from 0 to 1; found 1.5"),
        ({"errors": 0.1}, "Did you mean 'error'"),
        ({"error": 0.1, "coverage": 0.5}, "`reject` must be a share of errors, or one of"),
    ],
)
def test_bad_reject(split: tuple[SCMPT, AnnData], reject: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split[0].predict(split[1], reject=reject)


def test_refusals(split: tuple[SCMPT, AnnData], pbmc: AnnData) -> None:
    model, query = split
    with pytest.raises(ValueError, match="`alpha` must be a number between 0 and 1"):
        model.predict_sets(query, 1.0)
    with pytest.raises(ValueError, match="Drop one of `soft` and `reject`"):
        model.predict(query, soft=True, reject=0.1)
    without = fit(pbmc, fusion="concat", train_size=1.0, max_epochs=1)
    for ask in (lambda: without.predict_sets(query), lambda: without.predict(query, reject=0.1)):
        with pytest.raises(ValueError, match="trained without validation cells"):
            ask()
    with pytest.raises(ValueError, match="Unknown `class_weight='T'`"):
        fit(pbmc, class_weight={"T": 2.0})
    with pytest.raises(TypeError, match="'counts' has no option 'n_gene'"):
        SCMPT(pbmc, encoders={"counts": {"encoder": "counts", "n_gene": 10}})
