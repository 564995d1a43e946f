"""What tests know about the real cells, and how to see that nothing of an AnnData was lost."""

import numpy as np
from anndata import AnnData

#: The label column of `pbmc68k_reduced`.
LABELS_KEY = "bulk_labels"


def snapshot(adata: AnnData) -> dict[str, object]:
    """Everything in an AnnData that a user could miss, as comparable values."""
    matrix = adata.X if isinstance(adata.X, np.ndarray) or adata.X is None else adata.X.toarray()
    return {
        "X": None if matrix is None else matrix.tobytes(),
        "obs": {column: adata.obs[column].astype(str).tolist() for column in adata.obs},
        "var": {column: adata.var[column].astype(str).tolist() for column in adata.var},
        "obsm": {key: np.asarray(adata.obsm[key]).tobytes() for key in adata.obsm},
        "uns": sorted(adata.uns),
        "names": (adata.obs_names.tolist(), adata.var_names.tolist()),
    }
