import numpy as np
import pytest
from anndata import AnnData
from sklearn.datasets import make_blobs
from tests._adata import LABELS_KEY

from scmpt_scverse import metrics


def test_separable_labels_are_read_and_shuffled_ones_are_not() -> None:
    features, labels = make_blobs(200, n_features=5, centers=4, cluster_std=0.5, random_state=0)
    names = np.array(list("abcd"))[labels]

    assert metrics.linear_probe(features, names) > 0.99
    assert metrics.linear_probe(features, np.random.default_rng(0).permutation(names)) < 0.4


def test_scale_of_features_does_not_matter_and_folds_do(pbmc: AnnData) -> None:
    components, labels = pbmc.obsm["X_pca"][:, :10], pbmc.obs[LABELS_KEY]
    score = metrics.linear_probe(components, labels)

    assert metrics.linear_probe(components * 1000 + 5, labels) == pytest.approx(score, abs=0.01)
    assert metrics.linear_probe(components, labels) == score
    assert metrics.linear_probe(components, labels, seed=1) != score


def test_rare_and_missing_labels_are_refused() -> None:
    features = np.arange(20.0).reshape(10, 2)
    with pytest.raises(ValueError, match=r"at least 5 cells each; found {'a': 7, 'b': 3}. Leave rare labels out"):
        metrics.linear_probe(features, ["a"] * 7 + ["b"] * 3)
    with pytest.raises(ValueError, match="at least two labels"):
        metrics.linear_probe(features, ["a"] * 10)
    with pytest.raises(ValueError, match="found 1 missing of 10"):
        metrics.linear_probe(features, ["a"] * 5 + ["b"] * 4 + [None])
