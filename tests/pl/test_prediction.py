from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from matplotlib.axes import Axes

from scmpt_scverse import pl
from scmpt_scverse._types import FloatArray


def _drawn(ax: Axes) -> FloatArray:
    return np.asarray(ax.images[0].get_array(), dtype=float)


@pytest.fixture
def annotated() -> AnnData:
    truth = pd.Categorical(["T", "T", "T", "T", "B", "B", None], categories=["T", "NK", "B"])
    predicted = pd.Categorical(["T", "T", "B", "Unknown", "B", "B", "T"], categories=["B", "NK", "T", "Unknown"])
    obs = pd.DataFrame({"truth": truth, "scmpt_prediction": predicted}, index=[f"cell{i}" for i in range(7)])
    return AnnData(np.zeros((7, 1), dtype=np.float32), obs=obs)


def test_rows_are_true_labels_in_category_order_and_columns_what_was_predicted(annotated: AnnData) -> None:
    ax = pl.confusion_matrix(annotated, "truth", show=False)

    assert [text.get_text() for text in ax.get_yticklabels()] == ["T (4)", "B (2)"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["T", "B", "Unknown"]
    np.testing.assert_allclose(_drawn(ax), [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    assert [text.get_text() for text in ax.texts] == ["0.50", "0.25", "0.25", "1.00"]


def test_counts_instead_of_shares(annotated: AnnData) -> None:
    ax = pl.confusion_matrix(annotated, "truth", normalize=False, show=False)

    np.testing.assert_array_equal(_drawn(ax), [[2, 1, 1], [0, 2, 0]])
    assert [text.get_text() for text in ax.texts] == ["2", "1", "1", "2"]


def test_another_prefix_given_axes_and_labels_that_are_numbers(annotated: AnnData) -> None:
    annotated.obs["number"] = [1, 1, 2, 2, 2, 2, 2]
    annotated.obs["mine_prediction"] = ["1", "2", "2", "2", "2", "2", "2"]
    _, ax = plt.subplots()

    returned = pl.confusion_matrix(annotated, "number", key="mine", ax=ax, show=False)

    assert returned is ax
    np.testing.assert_allclose(_drawn(ax), [[0.5, 0.5], [0.0, 1.0]])


def test_thirty_types_fit_and_carry_no_numbers() -> None:
    names = [f"type {i:02}" for i in range(30)]
    obs = pd.DataFrame({"truth": names, "scmpt_prediction": names}, index=[f"cell{i}" for i in range(30)])
    ax = pl.confusion_matrix(AnnData(np.zeros((30, 1), dtype=np.float32), obs=obs), "truth", show=False)
    plt.gcf().draw_without_rendering()

    assert len(ax.texts) == 0
    boxes = [text.get_window_extent() for text in ax.get_yticklabels()]
    assert all(above.y0 >= below.y1 for above, below in pairwise(boxes))
    whole = ax.figure.bbox
    assert all(box.x0 >= whole.x0 for box in boxes)
    assert all(text.get_window_extent().y0 >= whole.y0 for text in ax.get_xticklabels())


@pytest.mark.parametrize(("show", "autoshow", "times"), [(None, True, 1), (None, False, 0), (True, False, 1)])
def test_show_follows_scanpy(
    annotated: AnnData, monkeypatch: pytest.MonkeyPatch, show: bool | None, autoshow: bool, times: int
) -> None:
    shown: list[None] = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(None))
    before = sc.settings.autoshow  # a property without deleter, which monkeypatch would need
    sc.settings.autoshow = autoshow
    try:
        ax = pl.confusion_matrix(annotated, "truth", show=show)
    finally:
        sc.settings.autoshow = before

    assert len(shown) == times
    assert ax.get_xlabel() == "predicted label"


def test_missing_columns_and_labels_are_named(annotated: AnnData) -> None:
    with pytest.raises(KeyError, match=r"No 'trutj' in `adata.obs`.* Did you mean 'truth'"):
        pl.confusion_matrix(annotated, "trutj", show=False)
    with pytest.raises(KeyError, match=r"No 'other_prediction'.*Run `model.annotate\(adata\)` first"):
        pl.confusion_matrix(annotated, "truth", key="other", show=False)
    with pytest.raises(ValueError, match=r"label in `adata.obs\['truth'\]` and a prediction; found none among 1"):
        pl.confusion_matrix(annotated[6:], "truth", show=False)


def test_clusters_that_arrive_as_floats_are_those_of_the_prediction(annotated: AnnData) -> None:
    annotated.obs["cluster"] = [10, 2, 2, 10, 2, None, 2]  # float64
    annotated.obs["scmpt_prediction"] = pd.Categorical(["10", "2", "10", "10", "2", "2", "Unknown"])
    ax = pl.confusion_matrix(annotated, "cluster", normalize=False, show=False)

    assert [text.get_text() for text in ax.get_yticklabels()] == ["2 (4)", "10 (2)"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["2", "10", "Unknown"]
    np.testing.assert_array_equal(_drawn(ax), [[2, 1, 1], [0, 2, 0]])
