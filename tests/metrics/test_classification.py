from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from scmpt_scverse.metrics import classification_metrics, per_class_metrics


def test_equals_scikit_learn_where_both_sides_have_the_same_labels() -> None:
    rng = np.random.default_rng(0)
    names = np.array(["B", "T", "NK", "Mono"])
    truth, predicted = rng.choice(names, 200), rng.choice(names, 200)

    scores = classification_metrics(truth, predicted)

    assert list(scores.index) == ["accuracy", "macro_precision", "macro_recall", "macro_f1", "n_cells"]
    assert scores["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert scores["macro_precision"] == pytest.approx(precision_score(truth, predicted, average="macro"))
    assert scores["macro_recall"] == pytest.approx(recall_score(truth, predicted, average="macro"))
    assert scores["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert scores["n_cells"] == 200


def test_a_prediction_outside_the_true_labels_is_wrong_but_no_label_of_its_own() -> None:
    scores = classification_metrics(["B", "B", "T", "T"], ["B", "Unknown", "T", "T"])

    assert scores["accuracy"] == 0.75
    assert scores["macro_precision"] == 1.0
    assert scores["macro_recall"] == 0.75
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_given_labels_weigh_equally_even_if_they_never_occur() -> None:
    scores = classification_metrics(["B", "T"], ["B", "T"], labels=["B", "T", "NK", "NK"])

    assert scores["accuracy"] == 1.0
    assert scores["macro_f1"] == pytest.approx(2 / 3)


def test_dtype_of_labels_does_not_matter() -> None:
    scores = classification_metrics(pd.Series([1, 2, 2], dtype="category"), ["1", "2", "1"])

    assert scores["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "labels", "words"),
    [
        (["B", "T"], ["B"], None, "found 2 in `y_true` and 1 in `y_pred`"),
        ([], [], None, "at least one cell to evaluate; found none"),
        (["B", None], ["B", "T"], None, "in `y_true`; found 1 missing of 2"),
        (["B", "T"], [np.nan, np.nan], None, "in `y_pred`; found 2 missing of 2"),
        (["B"], ["B"], [], "at least one label in `labels`"),
    ],
)
def test_bad_input_is_refused(y_true: list[Any], y_pred: list[Any], labels: list[str] | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        classification_metrics(y_true, y_pred, labels=labels)


def test_metrics_of_each_label_equal_scikit_learn() -> None:
    truth, predicted = list("BBBTTTN"), list("BBTTTNX")
    table = per_class_metrics(truth, predicted)
    assert table.index.tolist() == ["B", "N", "T", "X"]
    for column, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        expected = score(truth, predicted, labels=list("BNTX"), average=None, zero_division=0)
        np.testing.assert_allclose(table[column], expected)
    assert table["support"].tolist() == [3, 1, 3, 0]


def test_clusters_that_arrive_as_floats_are_those_of_text() -> None:
    """One missing label, left out here, makes a column of integers one of floats."""
    truth = pd.Series([1, 1, 2, None, 10])  # float64
    known = truth.notna().to_numpy()
    table = per_class_metrics(truth[known], np.array(["1", "2", "2", "1", "10"])[known])
    assert table.index.tolist() == ["1", "10", "2"]
    assert table["precision"].tolist() == [1.0, 1.0, 0.5]
    assert table["recall"].tolist() == [0.5, 1.0, 1.0]
    assert table["support"].tolist() == [2, 1, 1]
    assert classification_metrics(truth[known], ["1", "2", "2", "10"])["accuracy"] == 0.75
    assert classification_metrics(["1", "2"], ["1", "2"], labels=[1.0, 2.0])["macro_f1"] == 1.0
