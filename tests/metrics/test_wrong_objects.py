"""What is given instead of labels, probabilities, embeddings and tables: right values, or errors with advice."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from scmpt_scverse import evaluation, knowledge, metrics
from scmpt_scverse.trust import cross_conformal_sets

TRUTH = pd.Series(["B", "B", "T", "T"], index=["w", "x", "y", "z"])
SOFT = pd.DataFrame({"B": [0.9, 0.6, 0.3, 0.2], "T": [0.1, 0.4, 0.7, 0.8]}, index=TRUTH.index)
MAPPING = pd.DataFrame({"ontology_id": ["CL:0000236", "CL:0000084"], "suggestions": ["", ""]}, index=["B", "T"])
CELLS = AnnData(np.eye(4, dtype=np.float32), obs=pd.DataFrame({"label": TRUTH}))
TABLE = pd.DataFrame({"predictor": ["a", "a", "b", "b"], "replicate": [0, 1, 0, 1], "f1": [0.5, 0.7, 0.9, 0.9]})
#: Functions of true and predicted labels of the same cells.
PAIRED: dict[str, Callable[[Any, Any], Any]] = {
    "classification_metrics": metrics.classification_metrics,
    "per_class_metrics": metrics.per_class_metrics,
    "bootstrap_metrics": lambda truth, predicted: metrics.bootstrap_metrics(truth, {"one": predicted}),
    "ontology_metrics": lambda truth, predicted: knowledge.ontology_metrics(truth, predicted, MAPPING),
}


@pytest.mark.parametrize("name", PAIRED)
def test_labels_that_are_none_or_of_other_cells(name: str) -> None:
    for wrong, error, found in (
        (CELLS, TypeError, "an array or a column.*found anndata.*AnnData. Pass what it holds"),
        ("B", TypeError, "one label per cell; found str"),
        (None, TypeError, "one label per cell; found NoneType"),
        ({"w": "B"}, TypeError, "one label per cell; found dict"),
        ([["B"], ["B", "T"], ["T"], ["T"]], TypeError, "one label per cell; found list among them"),
        (SOFT, ValueError, "a single column; found DataFrame of shape"),
        (TRUTH.to_frame(), ValueError, "a single column; found DataFrame of shape"),
        (TRUTH.iloc[:3], ValueError, "3"),
        (TRUTH.iloc[::-1], ValueError, "found the same names in another order, such as 'w' beside 'z'"),
        (TRUTH.set_axis(list("abcd")), ValueError, "found other names, such as 'w' beside 'a'"),
        (np.ma.array(TRUTH, mask=[False, False, True, False]), ValueError, "found 1 missing of 4"),
        (pd.Categorical(["B", "B", None, "T"]), ValueError, "found 1 missing of 4"),
    ):
        with pytest.raises(error, match=found):
            PAIRED[name](TRUTH, wrong)
    with pytest.raises(ValueError, match="at least one"):
        PAIRED[name]([], [])


@pytest.mark.parametrize("name", ["classification_metrics", "per_class_metrics", "bootstrap_metrics"])
def test_names_that_say_nothing_do_not_matter(name: str) -> None:
    """Rows that are only counted, arrays and lists are compared by position."""
    expected = PAIRED[name](TRUTH, TRUTH)
    shuffled = TRUTH.sample(frac=1, random_state=0)
    for truth, predicted in (
        (TRUTH, TRUTH.tolist()),
        (TRUTH, TRUTH.reset_index(drop=True)),
        (TRUTH.set_axis([7, 3, 5, 9]), TRUTH.reset_index(drop=True)),
        (CELLS.obs["label"].astype("category"), TRUTH.astype("category")),
        (shuffled, shuffled.copy()),
    ):
        assert np.array_equal(PAIRED[name](truth, predicted), expected)


def test_labels_to_average_over() -> None:
    assert metrics.classification_metrics(["B", "T"], ["B", "B"], labels="B")["macro_recall"] == 1
    with pytest.raises(ValueError, match=r"occurs in `y_true`; found 'Bs', and 'B' in `y_true`.* Did you mean 'B'"):
        metrics.classification_metrics(["B"], ["B"], labels=["Bs"])
    with pytest.raises(ValueError, match="Expected labels in `labels`; found a missing one among 'B', 'nan'"):
        metrics.classification_metrics(["B"], ["B"], labels=["B", np.nan])


def test_predictions_that_are_no_mapping() -> None:
    for wrong in (["B", "T"], TRUTH, np.array(TRUTH)):
        with pytest.raises(TypeError, match=r"a mapping of predictor to labels.*Pass `{'name of the predictor'"):
            metrics.bootstrap_metrics(TRUTH, wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Expected at least one predictor"):
        metrics.bootstrap_metrics(TRUTH, {})
    with pytest.raises(ValueError, match=r"for every cell in `predictions\['one'\]`; found 1 missing of 2"):
        metrics.bootstrap_metrics(["B", "T"], {"one": np.array(["B", None], dtype=object)})
    table = metrics.bootstrap_metrics(TRUTH, TRUTH.to_frame("perfect"))
    assert table.loc["perfect", "accuracy"] == 1
    for seed in (-1, 1.5, "x", True):
        with pytest.raises(ValueError, match="`seed` must be a whole number of at least 0; found"):
            metrics.bootstrap_metrics(TRUTH, {"one": TRUTH}, seed=seed)  # type: ignore[arg-type]


def test_probabilities_in_other_forms() -> None:
    expected = metrics.calibration_metrics(TRUTH, SOFT)
    values = SOFT.to_numpy()
    for soft, labels in (
        (values.tolist(), ["B", "T"]),
        (sparse.csr_matrix(values), ["B", "T"]),
        (torch.tensor(values), ["B", "T"]),
        (values.astype(object), ["B", "T"]),
        (SOFT.astype("Float64"), None),
        (SOFT.reset_index(drop=True), None),
        (SOFT, ["B", "T"]),
        (SOFT[["T", "B"]], None),
    ):
        found = metrics.calibration_metrics(TRUTH, soft, labels=labels)
        assert found.to_dict() == pytest.approx(expected.to_dict())


def test_missing_probabilities_are_cells_left_out() -> None:
    expected = metrics.calibration_metrics(TRUTH.iloc[1:], SOFT.iloc[1:])
    for soft in (
        np.ma.array(SOFT, mask=np.arange(8).reshape(4, 2) == 0),
        SOFT.astype("Float64").mask(SOFT["B"] == 0.9),
        SOFT.astype(object).mask(SOFT["B"] == 0.9, None),
    ):
        labels = None if isinstance(soft, pd.DataFrame) else ["B", "T"]
        found = metrics.calibration_metrics(TRUTH, soft, labels=labels)
        assert found.drop("n_unreadable").to_dict() == expected.drop("n_unreadable").to_dict()
        assert found["n_unreadable"] == 1


@pytest.mark.parametrize(
    ("soft", "labels", "error", "found"),
    [
        (CELLS, None, TypeError, "an array or a column as `probabilities`; found anndata"),
        (None, ["B", "T"], ValueError, r"2 dimensions in `probabilities`; found shape \(\)"),
        (SOFT["B"], ["B", "T"], ValueError, r"2 dimensions in `probabilities`; found shape \(4,\)"),
        (SOFT.astype(str), None, TypeError, "numbers in `probabilities`; found pandas.*such as '0.9'"),
        (SOFT.assign(T="x"), None, TypeError, "numbers in `probabilities`"),
        (SOFT.to_numpy().astype(complex), ["B", "T"], TypeError, "numbers in `probabilities`.*complex128"),
        ([[0.5, 0.5], [1.0], [1.0], [1.0]], ["B", "T"], ValueError, "numbers in `probabilities`; found list"),
        (torch.ones(4, 1, requires_grad=True), ["B"], ValueError, "numbers in `probabilities`; found torch"),
        (SOFT.iloc[::-1], None, ValueError, "the same names in another order, such as 'w' beside 'z'"),
        (SOFT.set_axis(list("abcd")), None, ValueError, "found other names, such as 'w' beside 'a'"),
        (SOFT.iloc[:3], None, ValueError, r"of 4 cells and 2 labels; found shape \(3, 2\)"),
        (
            SOFT.set_axis(["B", "B"], axis=1),
            None,
            ValueError,
            "one column per label.*several for 'B'",
        ),
        (SOFT.to_numpy(), [1, "1"], ValueError, "one column per label.*several for '1'"),
        (
            SOFT.set_axis(["B", None], axis=1),
            None,
            ValueError,
            "labels in `probabilities.columns`; found a missing one",
        ),
        (SOFT.to_numpy(), ["B", np.nan], ValueError, "labels in `labels`; found a missing one"),
        (SOFT.to_numpy(), "BT", ValueError, "of 4 cells and 1 labels"),
        (SOFT, ["T", "B"], ValueError, "labels of a DataFrame to be its columns, 'B', 'T'; found `labels` 'T', 'B'"),
        (
            SOFT - 0.5,
            None,
            ValueError,
            "at least 0 and sum to 1; found others in 4.*values from -0.4 to 0.4",
        ),
        (SOFT * np.inf, None, ValueError, "at least 0 and sum to 1; found others in 4 of 4 cells"),
        (SOFT.iloc[:, :0], None, ValueError, "at least one label; found none"),
    ],
)
def test_probabilities_that_are_none(soft: Any, labels: Any, error: type[Exception], found: str) -> None:
    with pytest.raises(error, match=found):
        metrics.calibration_metrics(TRUTH, soft, labels=labels)


def test_probabilities_of_terms() -> None:
    pytest.importorskip("cellxgene_ontology_guide")
    with pytest.raises(TypeError, match="Expected a DataFrame as `probabilities`; found numpy.ndarray"):
        knowledge.back_off(SOFT.to_numpy(), MAPPING)
    with pytest.raises(TypeError, match="Expected a DataFrame as `mapping`; found dict"):
        knowledge.back_off(SOFT, {"B": "CL:0000236"})
    with pytest.raises(TypeError, match="Expected numbers in `probabilities`; found pandas"):
        knowledge.back_off(SOFT.astype(str), MAPPING)
    with pytest.raises(TypeError, match="Expected a DataFrame as `mapping`; found dict"):
        knowledge.ontology_metrics(TRUTH, TRUTH, {"B": "CL:0000236"})


#: Functions of an embedding and the labels of its rows.
EMBEDDED: dict[str, Callable[[Any, Any], Any]] = {
    "embedding_metrics": metrics.embedding_metrics,
    "linear_probe": lambda embedding, labels: metrics.linear_probe(embedding, labels, n_splits=2),
}


@pytest.mark.parametrize("name", EMBEDDED)
def test_embeddings_that_are_none_or_of_other_cells(name: str) -> None:
    values = np.arange(8.0).reshape(4, 2)
    for wrong, error, found in (
        (CELLS, TypeError, "an array or a column as `embedding`; found anndata"),
        (values.astype(str), TypeError, "numbers in `embedding`"),
        (values[0], ValueError, r"2 dimensions in `embedding`; found shape \(2,\)"),
        (values[:, :0], ValueError, r"a finite embedding.*found shape \(4, 0\)"),
        (np.where(values == 3, np.nan, values), ValueError, "with NaN or infinite values in 1 cells"),
        (values * 1e300, ValueError, "with NaN or infinite values in 4 cells"),
        (values[:3], ValueError, "Expected 3 values in `labels`, one per cell; found 4"),
        (pd.DataFrame(values, list("zyxw")), ValueError, "the same names in another order, such as 'z' beside 'w'"),
    ):
        with pytest.raises(error, match=found):
            EMBEDDED[name](wrong, TRUTH)
    with pytest.raises(TypeError, match="as `labels`; found anndata"):
        EMBEDDED[name](values, CELLS)


def test_embeddings_in_other_forms() -> None:
    rng = np.random.default_rng(0)
    labels = pd.Series(["B", "T"] * 20)
    values = rng.normal(size=(40, 3)) + (labels == "B").to_numpy()[:, None]
    expected = metrics.linear_probe(values, labels)
    for other in (sparse.csr_matrix(values), values.tolist(), pd.DataFrame(values), torch.from_numpy(values)):
        assert metrics.linear_probe(other, labels) == expected  # type: ignore[arg-type]
    for n_splits in (1, "5", 0):
        with pytest.raises(ValueError, match="`n_splits` must be"):
            metrics.linear_probe(values, labels, n_splits=n_splits)  # type: ignore[arg-type]


def test_features_of_baselines() -> None:
    values = np.arange(8.0).reshape(4, 2)
    frame = pd.DataFrame(values, index=TRUTH.index, columns=["CD3D", "MS4A1"])
    expected = evaluation.baseline_probabilities("majority", values, TRUTH, values)
    for other in (frame, sparse.csr_matrix(values), values.tolist()):
        assert evaluation.baseline_probabilities("majority", other, TRUTH, other).equals(expected)
    for train, test, error, found in (
        (CELLS, values, TypeError, "as `train_features`; found anndata"),
        (values, CELLS, TypeError, "as `test_features`; found anndata"),
        (values * np.nan, values, ValueError, "finite values in `train_features`"),
        (values, sparse.csr_matrix(values * np.nan), ValueError, "finite values in `test_features`"),
        (values[:3], values, ValueError, r"of 4 labelled cells.*found shapes \(3, 2\) and \(4, 2\)"),
        (values, values[:, :1], ValueError, r"found shapes \(4, 2\) and \(4, 1\)"),
        (frame, frame[["MS4A1", "CD3D"]], ValueError, "in the same order; found 'CD3D', 'MS4A1' and 'MS4A1', 'CD3D'"),
        (frame.iloc[::-1], frame, ValueError, "found the same names in another order"),
    ):
        with pytest.raises(error, match=found):
            evaluation.baseline_probabilities("majority", train, TRUTH, test)


def test_groups_of_other_cells() -> None:
    with pytest.raises(TypeError, match="as `labels`; found anndata"):
        evaluation.cell_splits(CELLS)
    with pytest.raises(TypeError, match="as `groups`; found anndata"):
        evaluation.cell_splits(TRUTH, CELLS, n_splits=2)
    groups = pd.Series([1, 2, 1, 2], index=TRUTH.index)
    with pytest.raises(ValueError, match="`labels` and `groups`.*the same names in another order"):
        evaluation.cell_splits(TRUTH, groups.iloc[::-1], n_splits=2)
    masked = np.ma.array([1, 2, 1, 2], mask=[False, False, False, True])
    with pytest.raises(ValueError, match="in `groups`; found 1 missing of 4"):
        evaluation.cell_splits(TRUTH, masked, n_splits=2)
    with pytest.raises(ValueError, match="`seed` must be"):
        evaluation.cell_splits(TRUTH, groups, n_splits=2, seed=-1)


@pytest.mark.parametrize(
    ("table", "error", "found"),
    [
        (CELLS, TypeError, "a DataFrame as `table`; found anndata"),
        (TABLE["f1"], TypeError, "a DataFrame as `table`; found pandas.*Series"),
        ([{"predictor": "a"}], TypeError, "a DataFrame as `table`; found list"),
        (TABLE.drop(columns="replicate"), KeyError, "No 'replicate' in `table`"),
        (TABLE.assign(predictor=["a", "a", "b", None]), ValueError, "a value in every row of 'predictor'"),
        (TABLE[["predictor", "replicate", "f1", "f1"]], ValueError, "found 'f1' twice"),
    ],
)
def test_tables_of_replicates(table: Any, error: type[Exception], found: str) -> None:
    with pytest.raises(error, match=found):
        metrics.replicate_summary(table)
    with pytest.raises(error, match=found):
        metrics.paired_differences(table, reference="a", metric="f1")


def test_metrics_that_are_no_numbers() -> None:
    assert len(metrics.replicate_summary(TABLE.astype({"f1": object}))) == 2
    with pytest.raises(ValueError, match="columns of numbers, in `table`; found none among 'predictor'"):
        metrics.replicate_summary(TABLE.assign(f1="0.5"))
    with pytest.raises(TypeError, match=r"numbers in `table\['f1'\]`; found .* such as '0.5'"):
        metrics.paired_differences(TABLE.assign(f1="0.5"), reference="a", metric="f1")
    wrong: list[dict[str, Any]] = [{"by": []}, {"by": "replicate"}]
    for options in wrong:
        with pytest.raises(ValueError, match="Expected different columns for what is compared"):
            metrics.replicate_summary(TABLE, **options)
    with pytest.raises(ValueError, match="Expected different columns"):
        metrics.paired_differences(TABLE, reference="a", metric="predictor")
    with pytest.raises(ValueError, match="Expected other predictors"):
        metrics.paired_differences(TABLE.iloc[:2], reference="a", metric="f1")


@pytest.mark.parametrize("reference", [1, 1.0, "1"])
def test_predictors_that_are_numbers(reference: Any) -> None:
    table = TABLE.assign(predictor=[1, 1, 2, 2])
    assert metrics.paired_differences(table, reference=reference, metric="f1").loc[2, "mean"] == pytest.approx(0.3)
    with pytest.raises(KeyError, match=re.escape("No '3' in `table['predictor']`; found '1', '2'")):
        metrics.paired_differences(table, reference=3, metric="f1")  # type: ignore[arg-type]


def test_scores_of_label_sets() -> None:
    scores, true_scores, folds = np.ones((2, 1, 3)), np.ones(20), np.zeros(20, dtype=int)
    expected = cross_conformal_sets(scores, true_scores, folds, 0.1, draws=np.zeros(2))
    lists: list[Any] = [scores.tolist(), true_scores.tolist(), folds.tolist()]
    found = cross_conformal_sets(lists[0], lists[1], lists[2], 0.1, draws=np.zeros(2))
    assert np.array_equal(found, expected)
    with pytest.raises(ValueError, match="a score of every calibration cell; found NaN"):
        cross_conformal_sets(scores, np.where(np.arange(20) == 3, np.nan, 1.0), folds, 0.1, draws=np.zeros(2))
    with pytest.raises(ValueError, match="`true_scores` and `folds` of"):
        cross_conformal_sets(scores, np.ones((20, 1)), folds, 0.1, draws=np.zeros(2))
    for wrong in (np.full(20, 0.5), np.full(20, np.nan)):
        with pytest.raises(ValueError, match="`folds` must be numbers of the 1 models"):
            cross_conformal_sets(scores, true_scores, wrong, 0.1, draws=np.zeros(2))
    with pytest.raises(TypeError, match="numbers in `scores`"):
        cross_conformal_sets(scores.astype(str), true_scores, folds, 0.1, draws=np.zeros(2))
