"""What bars and steps say, on the data of the axes."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.patches import StepPatch

from scmpt_scverse import SCMPT, pl
from scmpt_scverse.pl._figure import group_colours


@pytest.fixture
def annotated(trained: SCMPT, embedded: AnnData) -> AnnData:
    embedded.obsm["X_pca"] = embedded.obsm["X_pca"]
    trained.annotate(embedded)
    return embedded


def test_contributions_are_means_by_label(annotated: AnnData) -> None:
    ax = pl.contributions(annotated, "bulk_labels", show=False)
    table = annotated.obsm["scmpt_contributions"]
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == list(annotated.obs["bulk_labels"].cat.categories)
    for bars, name in zip(ax.containers, table, strict=True):
        means = table[name].groupby(annotated.obs["bulk_labels"].astype(str).to_numpy()).mean()
        np.testing.assert_allclose([bar.get_width() for bar in bars], means[labels])
    plt.close("all")


def test_novelty_shares_sum_to_one(annotated: AnnData) -> None:
    ax = pl.novelty(annotated, "louvain", show=False)
    assert len(ax.patches) == annotated.obs["louvain"].nunique()
    for steps in ax.patches:
        assert isinstance(steps, StepPatch)
        assert np.sum(steps.get_data()[0]) == pytest.approx(1)
    plt.close("all")


def test_not_annotated(embedded: AnnData) -> None:
    for plot in (pl.contributions, pl.novelty):
        with pytest.raises(KeyError, match="Run `model.annotate"):
            plot(embedded, show=False)


def test_groups_are_text_in_the_order_of_categories_and_missing_ones_are_left_out() -> None:
    obs = pd.DataFrame({"cluster": [10, 2, None, 2], "scmpt_novelty": [0.1, 0.2, 0.3, np.nan]}, index=list("abcd"))
    adata = AnnData(np.zeros((4, 1), dtype=np.float32), obs=obs)
    adata.obsm["scmpt_contributions"] = pd.DataFrame({"text": [1.0, 2.0, 9.0, 4.0]}, index=obs.index)
    ax = pl.contributions(adata, "cluster", show=False)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["2", "10"]
    bars: Any = ax.containers[0]
    assert [bar.get_width() for bar in bars] == [3.0, 1.0]
    legend = pl.novelty(adata, "cluster", show=False).get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["2 (1)", "10 (1)"]


def test_groups_of_numbers_keep_the_colours_of_scanpy(annotated: AnnData) -> None:
    cells = annotated.copy()
    numbers = pd.Series([1.0, 2.0, np.nan] * cells.n_obs, index=None)[: cells.n_obs]  # a missing value makes floats
    cells.obs["batch"] = pd.Categorical(numbers)
    cells.uns["batch_colors"] = ["#112233", "#445566"]
    assert group_colours(cells, "batch", ["1", "2"]) == ["#112233", "#445566"]
    assert group_colours(cells, "batch", ["2"]) == ["#445566"]
