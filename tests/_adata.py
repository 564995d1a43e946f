"""What tests know about the real cells, and how to see that nothing of an AnnData was lost."""

import numpy as np
import pandas as pd
from anndata import AnnData

from scmpt_scverse import pp

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


def as_mouse(cells: AnnData) -> AnnData:
    """Human cells under the names of the mouse orthologs of their genes; genes without one are left out."""
    of_human: dict[str, str] = {}
    for gene, humans in pp.Orthologs.of("mouse").by_symbol.items():
        for human in humans if len(humans) == 1 else ():
            of_human.setdefault(human, gene)
    is_kept = cells.var_names.isin(list(of_human))
    names = pd.Index([of_human[name] for name in cells.var_names[is_kept]])
    mouse = AnnData(cells.X[:, is_kept].copy(), cells.obs.copy(), pd.DataFrame(index=names))
    mouse.obsm.update({key: np.asarray(values) for key, values in cells.obsm.items()})
    return mouse
