from importlib.util import find_spec

import numpy as np
import pytest

from scmpt_scverse.datasets import pbmc68k_reduced
from scmpt_scverse.metrics import embedding_metrics

CELLS = pbmc68k_reduced()


def test_bad_input_is_refused_before_anything_is_imported() -> None:
    with pytest.raises(ValueError, match=r"found shape \(2, 2\) with NaN or infinite values"):
        embedding_metrics(np.array([[0.0, np.nan], [1.0, 1.0]]), ["B", "T"])
    with pytest.raises(ValueError, match="Expected 2 values in `labels`, one per cell; found 3"):
        embedding_metrics(np.eye(2), ["B", "T", "T"])
    with pytest.raises(ValueError, match="Expected 2 values in `labels`, one per cell; found 1"):
        embedding_metrics(np.eye(2), ["B"])
    with pytest.raises(ValueError, match="at least two different values in `batches`; found 'one'"):
        embedding_metrics(np.eye(2), ["B", "T"], ["one", "one"])


@pytest.mark.slow
@pytest.mark.skipif(find_spec("scib_metrics") is None, reason="needs the extra `scib`")
def test_components_keep_labels_apart_and_noise_does_not() -> None:
    labels = CELLS.obs["bulk_labels"]
    batches = np.arange(CELLS.n_obs) % 2
    components = embedding_metrics(CELLS.obsm["X_pca"], labels, batches)
    noise = embedding_metrics(np.random.default_rng(0).normal(size=(700, 50)), labels, batches)
    assert components.between(0, 1).all()
    for name in ("nmi", "ari", "silhouette_label", "clisi", "graph_connectivity"):
        assert components[name] > noise[name]
    assert components["ilisi"] > 0.8  # the batches are alike
    apart = CELLS.obsm["X_pca"] + 100 * batches[:, None]
    assert embedding_metrics(apart, labels, batches)["ilisi"] < 0.1
    assert embedding_metrics(CELLS.obsm["X_pca"], labels).index.tolist() == components.index.tolist()[:5]
