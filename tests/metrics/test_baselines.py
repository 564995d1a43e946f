import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scmpt_scverse.datasets import pbmc68k_reduced
from scmpt_scverse.metrics import baseline_predictions, classification_metrics


def test_logistic_regression_reads_the_cells_and_majority_does_not() -> None:
    cells = pbmc68k_reduced()
    labels = cells.obs["bulk_labels"]
    is_test = np.arange(cells.n_obs) % 3 == 0

    predicted = baseline_predictions(cells.X[~is_test], labels[~is_test], cells.X[is_test])

    assert len(predicted) == is_test.sum()
    assert set(predicted["majority"]) == {"Dendritic"}
    truth = labels[is_test]
    assert classification_metrics(truth, predicted["majority"])["accuracy"] == np.mean(truth == "Dendritic")
    assert classification_metrics(truth, predicted["logistic_regression"])["accuracy"] > 0.75


def test_rows_keep_the_order_of_the_test_cells() -> None:
    features = np.array([[0.0], [1.0], [10.0], [11.0]])

    predicted = baseline_predictions(features, ["low", "low", "high", "high"], features[[3, 0, 2]])

    assert predicted["logistic_regression"].tolist() == ["high", "low", "high"]
    assert predicted["majority"].tolist() == ["high"] * 3  # a tie: first in alphabetical order


def test_scale_of_a_feature_does_not_matter_and_sparse_stays_sparse() -> None:
    features = pbmc68k_reduced().X[:100]
    labels = pd.Series(["even", "odd"] * 50)
    scaled = sparse.csr_matrix(features.multiply(np.linspace(0.1, 10, features.shape[1])))

    predicted = [baseline_predictions(x, labels, x)["logistic_regression"] for x in (features, scaled)]

    assert (predicted[0] == predicted[1]).mean() > 0.98


def test_one_label_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two different labels to learn from; found 1"):
        baseline_predictions(np.eye(3), ["B", "B", "B"], np.eye(3))
