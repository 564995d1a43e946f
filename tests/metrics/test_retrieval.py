"""Recall and AUROC of cells that look for texts, and of texts that look for cells."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from scmpt_scverse import metrics

TEXTS = ["B cell", "T cell", "monocyte", "platelet"]


@pytest.fixture
def scored() -> tuple[np.ndarray, pd.DataFrame]:
    rng = np.random.default_rng(0)
    truth = np.array(TEXTS, dtype=object)[rng.integers(0, 3, 60)]  # no platelet
    values = rng.normal(size=(60, 4)) + 1.5 * (truth[:, None] == np.array(TEXTS, dtype=object))
    return truth, pd.DataFrame(values, columns=TEXTS)


def test_recall_and_auroc_by_their_definitions(scored: tuple[np.ndarray, pd.DataFrame]) -> None:
    truth, scores = scored
    found = metrics.retrieval_metrics(truth, scores, k=[1, 2, 4])
    order = np.argsort(-scores.to_numpy(), axis=1)
    places = [list(row).index(TEXTS.index(text)) for row, text in zip(order, truth, strict=True)]
    for k in (1, 2, 4):
        assert found.loc["cell to text", f"recall_at_{k}"] == pytest.approx(np.mean(np.array(places) < k))
    by_text = [roc_auc_score(truth == text, scores[text]) for text in TEXTS[:3]]
    assert found.loc["text to cell", "auroc"] == pytest.approx(np.mean(by_text))
    by_cell = [
        roc_auc_score([each == text for each in TEXTS], row) for row, text in zip(scores.to_numpy(), truth, strict=True)
    ]
    assert found.loc["cell to text", "auroc"] == pytest.approx(np.mean(by_cell))
    hits = [(truth[np.argsort(-scores[text].to_numpy())[:1]] == text).any() for text in TEXTS[:3]]
    assert found.loc["text to cell", "recall_at_1"] == pytest.approx(np.mean(hits))
    assert found["n_queries"].tolist() == [60, 3]
    assert found["n_candidates"].tolist() == [4, 60]


def test_groups_take_the_place_of_cells(scored: tuple[np.ndarray, pd.DataFrame]) -> None:
    truth, scores = scored
    clusters = pd.Series(truth).map({"B cell": "0", "T cell": "1", "monocyte": "1"}).to_numpy(dtype=object)
    found = metrics.retrieval_metrics(truth, scores, groups=clusters)
    assert found.index.tolist() == ["group to text", "text to group"]
    assert found["n_queries"].tolist() == [2, 2]
    one = metrics.retrieval_metrics(truth, scores, groups=[str(number) for number in range(60)])
    alone = metrics.retrieval_metrics(truth, scores)
    np.testing.assert_allclose(one.to_numpy(), alone.to_numpy())


def test_constant_scores_find_nothing() -> None:
    scores = pd.DataFrame(np.ones((6, 4)), columns=TEXTS)
    found = metrics.retrieval_metrics(["B cell", "T cell"] * 3, scores, k=[1, 3])
    assert (found[["recall_at_1", "recall_at_3"]] == 0).all(axis=None)
    assert (found["auroc"] == 0.5).all()


def test_unreadable_cells_are_left_out_and_everything_right_has_no_auroc() -> None:
    scores = pd.DataFrame({"B cell": [1.0, np.nan, 2.0]})
    found = metrics.retrieval_metrics(["B cell"] * 3, scores)
    assert found.loc["cell to text", "n_queries"] == 2
    assert found["auroc"].isna().all()


def test_wrong_input_is_named(scored: tuple[np.ndarray, pd.DataFrame]) -> None:
    truth, scores = scored
    with pytest.raises(ValueError, match="Expected scores of 59 cells; found 60 rows"):
        metrics.retrieval_metrics(truth[1:], scores)
    with pytest.raises(ValueError, match="found some twice"):
        metrics.retrieval_metrics(truth, scores.set_axis(["B", "B", "C", "D"], axis=1))
    with pytest.raises(ValueError, match="Expected cells of the texts 'b'"):
        metrics.retrieval_metrics(truth, scores.set_axis(list("bcde"), axis=1))
    with pytest.raises(ValueError, match="Expected the group of 60 cells; found 2"):
        metrics.retrieval_metrics(truth, scores, groups=["a", "b"])
    with pytest.raises((TypeError, ValueError), match="scores"):
        metrics.retrieval_metrics(truth, scores.to_numpy())
    with pytest.raises((TypeError, ValueError), match="`k`"):
        metrics.retrieval_metrics(truth, scores, k=[0])
