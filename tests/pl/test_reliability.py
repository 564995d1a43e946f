from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmpt_scverse import pl


@pytest.fixture
def annotated() -> AnnData:
    obs = pd.DataFrame(
        {
            "truth": pd.Categorical(["B", "B", "T", "T", None, "B"]),
            "scmpt_prediction": pd.Categorical(["B", "T", "T", "T", "B", "Unknown"]),
            "scmpt_confidence": [0.95, 0.55, 0.91, 0.58, 0.99, np.nan],
        },
        index=[f"cell{i}" for i in range(6)],
    )
    return AnnData(np.zeros((6, 1), dtype=np.float32), obs=obs)


def test_bars_are_accuracies_of_labelled_cells(annotated: AnnData) -> None:
    ax = pl.reliability_diagram(annotated, "truth", n_bins=10, show=False)

    bars: list[Any] = list(ax.patches)
    assert [(bar.get_x(), bar.get_height()) for bar in bars] == [(0.5, 0.5), (0.9, 1.0)]
    points = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(points, [[0.565, 0.5], [0.93, 1.0]])
    assert ax.get_title() == "4 cells"


def test_clusters_that_arrive_as_floats_are_those_of_the_prediction(annotated: AnnData) -> None:
    annotated.obs["cluster"] = [1, 2, 2, 2, None, 1]  # float64
    annotated.obs["scmpt_prediction"] = pd.Categorical(["1", "1", "2", "1", "1", "Unknown"])
    ax = pl.reliability_diagram(annotated, "cluster", n_bins=10, show=False)
    np.testing.assert_allclose(np.asarray(ax.collections[0].get_offsets()), [[0.565, 0.0], [0.93, 1.0]])


def test_what_is_missing_is_named(annotated: AnnData) -> None:
    with pytest.raises(KeyError, match=r"No 'mine_prediction' in `adata.obs`.* Run `model.annotate\(adata\)` first."):
        pl.reliability_diagram(annotated, "truth", key="mine")
    with pytest.raises(ValueError, match="found none among 1"):
        pl.reliability_diagram(annotated[4:5].copy(), "truth")
