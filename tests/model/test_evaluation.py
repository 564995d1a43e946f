"""Evaluation: on cells that were not trained on, beside what simpler predictors learned from the same cells."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tests._adata import LABELS_KEY, snapshot
from tests._model import probabilities

from scmpt_scverse import SCMPT, evaluation, metrics

QUICK: dict[str, Any] = {"max_epochs": 10, "plan_kwargs": {"lr": 1e-3}}
EXPECTED_ROWS = [
    "scmpt",
    "majority",
    "knn (text)",
    "knn (expression)",
    "logistic_regression (text)",
    "logistic_regression (expression)",
    "pca_knn",
    "pca_logistic_regression",
]


@pytest.fixture
def query(pbmc: AnnData) -> AnnData:
    """21 cells that the model did not see, without embeddings from the encoder."""
    return pbmc[1:84:4].copy()


def test_metrics_are_those_of_the_predictions(trained: SCMPT, query: AnnData) -> None:
    table = trained.evaluate(query)
    assert table.index.tolist() == EXPECTED_ROWS
    expected = metrics.classification_metrics(query.obs[LABELS_KEY], trained.predict(query))
    assert table.loc["scmpt", expected.index].to_dict() == pytest.approx(expected.to_dict())
    calibration = metrics.calibration_metrics(query.obs[LABELS_KEY], probabilities(trained, query))
    assert table.loc["scmpt", ["ece", "brier", "nll"]].tolist() == pytest.approx(calibration[:3].tolist())
    assert table.loc["majority", "accuracy"] == pytest.approx((query.obs[LABELS_KEY] == "Dendritic").mean())
    held_out = trained.evaluate(baselines=("majority",))
    assert trained.validation_indices is not None
    assert held_out["n_cells"].tolist() == [len(trained.validation_indices)] * 2


def test_baselines_learn_from_the_training_cells_alone(trained: SCMPT, query: AnnData) -> None:
    assert trained.adata is not None
    rows = trained.record.rows
    train = trained.adata[rows]
    soft = evaluation.baseline_probabilities(
        "logistic_regression", train.obsm["X_pca"], train.obs[LABELS_KEY], query.obsm["X_pca"]
    )
    expected = metrics.classification_metrics(query.obs[LABELS_KEY], soft.idxmax(axis=1))
    table = trained.evaluate(query)
    assert table.loc["logistic_regression (expression)", expected.index].tolist() == pytest.approx(expected.tolist())


def test_other_baselines_are_asked_for_by_name(trained: SCMPT, query: AnnData) -> None:
    table = trained.evaluate(query, baselines=["expression_logistic_regression"])
    assert table.index.tolist() == ["scmpt", "expression_logistic_regression"]
    assert table.loc["expression_logistic_regression", "accuracy"] > 0.6


def test_genes_of_a_query_are_found_by_name(trained: SCMPT, query: AnnData) -> None:
    expected = trained.evaluate(query)
    order = np.random.default_rng(0).permutation(query.n_vars)
    shuffled = query[:, order].copy()
    shuffled.obsm["X_minilm"] = query.obsm["X_minilm"]
    pd.testing.assert_frame_equal(trained.evaluate(shuffled), expected, atol=1e-3)


def test_without_expression_or_training_cells_rows_are_missing(
    trained: SCMPT, query: AnnData, embedded: AnnData, tmp_path: Any
) -> None:
    trained.embed(query, progress=False)
    query.X = query.X.toarray() - 1
    assert trained.evaluate(query).index.tolist() == EXPECTED_ROWS[:6]
    trained.save(str(tmp_path / "model"))
    loaded = SCMPT.load(str(tmp_path / "model"), adata=False)
    table = loaded.evaluate(query)
    assert table.index.tolist() == ["scmpt", "majority"]
    assert table.loc["majority", "accuracy"] == trained.evaluate(query).loc["majority", "accuracy"]


def test_each_label_has_its_metrics(trained: SCMPT, query: AnnData) -> None:
    table = trained.evaluate_per_class(query)
    assert table["support"].sum() == query.n_obs
    is_true = table["support"] > 0
    assert table.loc[is_true, "f1"].mean() == pytest.approx(trained.evaluate(query).loc["scmpt", "macro_f1"])


def test_what_cannot_be_evaluated(trained: SCMPT, query: AnnData) -> None:
    with pytest.warns(UserWarning, match="158 of 175 cells were trained on"):
        trained.evaluate(indices=np.arange(175), baselines=())
    with pytest.raises(ValueError, match="Unknown `baselines='svm'`. Choose one of"):
        trained.evaluate(query, baselines=["svm"])
    query.obs[LABELS_KEY] = "Unknown"
    with pytest.raises(ValueError, match="Expected labels in .* to compare with; found none in the 21 cells"):
        trained.evaluate(query)
    del query.obs[LABELS_KEY]
    with pytest.raises(KeyError, match="No 'bulk_labels' in `adata.obs`"):
        trained.evaluate(query)


def test_cross_validation_trains_new_models_and_changes_nothing(trained: SCMPT, embedded: AnnData) -> None:
    before, soft = snapshot(embedded), probabilities(trained, embedded)
    table = trained.cross_validate(embedded, n_splits=3, baselines=("majority", "pca_knn"), **QUICK)

    assert table["predictor"].unique().tolist() == [
        "scmpt",
        "scmpt (text alone)",
        "scmpt (expression alone)",
        "majority",
        "pca_knn",
    ]
    assert table["replicate"].value_counts().to_dict() == {0: 5, 1: 5, 2: 5}
    # Labels on fewer cells than splits always train.
    n_rare = embedded.obs[LABELS_KEY].value_counts().loc[lambda counts: counts < 3].sum()
    assert table.query("predictor == 'scmpt'")["n_cells"].sum() == 175 - n_rare
    means = table.groupby("predictor")["accuracy"].mean()
    assert means["scmpt"] > means["majority"] + 0.2
    assert snapshot(embedded) == before
    assert probabilities(trained, embedded).equals(soft)


def test_groups_are_held_out_whole_for_any_label(pbmc: AnnData) -> None:
    """A condition as label, donors held out."""
    pbmc.obs["donor"] = np.arange(700) % 2
    pbmc.obs["condition"] = np.where(pbmc.obs["n_genes"] > pbmc.obs["n_genes"].median(), "many", "few")
    SCMPT.setup_anndata(pbmc, "condition", obsm_keys={"expression": "X_pca"})
    model = SCMPT(pbmc, fusion="concat", n_hidden=32)
    table = model.cross_validate(group_key="donor", n_splits=2, **QUICK)
    assert not model.is_trained
    assert set(table["n_cells"]) == {350}
    summary = metrics.replicate_summary(table)
    own = summary[(summary["predictor"] == "scmpt") & (summary["metric"] == "macro_f1")].iloc[0]
    assert own["mean"] > 0.55  # of two labels on as many cells each, majority gives 0.33
    with pytest.raises(ValueError, match="Expected at least 3 groups, one for each fold; found 2"):
        model.cross_validate(group_key="donor", n_splits=3)
    with pytest.raises(KeyError, match="No 'study' in `adata.obs`"):
        model.cross_validate(group_key="study")
