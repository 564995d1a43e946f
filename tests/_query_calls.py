"""Every method of SCMPT that takes cells, called on some."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from tests._adata import LABELS_KEY

from scmpt_scverse import SCMPT, ablation


def novelty(model: SCMPT, adata: AnnData, here: dict[str, Any]) -> pd.Series:
    model.annotate(adata, **here)
    return adata.obs["scmpt_novelty"]


def embedding(model: SCMPT, adata: AnnData, here: dict[str, Any]) -> np.ndarray:
    model.embed(adata, progress=False, **here)
    return np.asarray(adata.obsm["X_minilm"])


def scores(model: SCMPT, adata: AnnData, here: dict[str, Any]) -> pd.DataFrame:
    model.rank_attributions(adata, groupby=LABELS_KEY, method="random", n_cells_per_group=2, progress=False, **here)
    return pd.DataFrame(adata.uns["scmpt_attributions"]["scores"])


#: Every method that takes cells.
CALLS: dict[str, Callable[[Any, AnnData, dict[str, Any]], Any]] = {
    "predict": lambda model, adata, here: model.predict(adata, soft=True, **here),
    "predict some": lambda model, adata, here: model.predict(adata, [3, 1], **here),
    "predict_sets": lambda model, adata, here: model.predict_sets(adata, **here),
    "latent": lambda model, adata, here: model.get_latent_representation(adata, **here),
    "evaluate": lambda model, adata, here: model.evaluate(adata, baselines=("pca_knn",), **here),
    "evaluate_per_class": lambda model, adata, here: model.evaluate_per_class(adata, **here),
    "is_training_cell": lambda model, adata, here: model.is_training_cell(adata, **here),
    "annotate": novelty,
    "embed": embedding,
    "explain_cell": lambda model, adata, here: model.explain_cell(
        adata, adata.obs_names[3], method="occlusion", **here
    ),
    "counterfactual": lambda model, adata, here: model.counterfactual(
        adata, adata.obs_names[3], method="random", max_genes=3, **here
    ),
    "rank_attributions": scores,
    "deletion_curves": lambda model, adata, here: model.deletion_curves(
        adata, methods=("random",), n_cells=3, counts=(0, 5), progress=False, **here
    ),
    "cross_validate": lambda model, adata, here: model.cross_validate(
        adata, n_splits=2, baselines=("majority",), modalities_alone=False, **here
    ),
    "advise": lambda model, adata, here: model.advise(adata, max_cells=40, n_splits=2, **here).sort_index(),
    "ablation": lambda model, adata, here: ablation.run(
        model, adata, [ablation.WithoutModality("counts")], n_replicates=1, progress=False, **here
    ),
}


def assert_same(found: Any, expected: Any, *, atol: float) -> None:
    """Tables, columns or arrays that agree."""
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, atol=atol)
    elif isinstance(expected, pd.Series):
        pd.testing.assert_series_equal(found, expected, atol=atol)
    elif expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, atol=atol)
    else:
        assert found.tolist() == expected.tolist()
