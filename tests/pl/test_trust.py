"""What bars and steps say, on the data of the axes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData
from matplotlib.patches import StepPatch

from scmpt_scverse import SCMPT, pl


@pytest.fixture
def annotated(trained: SCMPT, embedded: AnnData) -> AnnData:
    embedded.obsm["X_pca"] = embedded.obsm["X_pca"]
    trained.annotate(embedded)
    return embedded


def test_contributions_are_means_by_label(annotated: AnnData) -> None:
    ax = pl.contributions(annotated, "bulk_labels", show=False)
    table = annotated.obsm["scmpt_contributions"]
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == sorted(annotated.obs["bulk_labels"].astype(str).unique())
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
