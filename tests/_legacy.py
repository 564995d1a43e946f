"""Files as anndata before 0.7 wrote them: tables and `.obsm` as one compound array each, categories in `.uns`."""

from pathlib import Path

import h5py
import numpy as np
from anndata import AnnData


def write_legacy(adata: AnnData, path: Path, *, labels_key: str) -> None:
    """Write `.X`, gene names, one column of labels and all of `.obsm`."""
    labels = adata.obs[labels_key].cat
    obs = np.zeros(adata.n_obs, dtype=[("index", "S40"), (labels_key, "i1"), ("n_counts", "f4")])
    obs["index"], obs[labels_key], obs["n_counts"] = adata.obs_names.to_numpy(dtype="S40"), labels.codes, 1.0
    var = np.zeros(adata.n_vars, dtype=[("index", "S40"), ("n_cells", "i4")])
    var["index"] = adata.var_names.to_numpy(dtype="S40")
    obsm = np.zeros(adata.n_obs, dtype=[(key, "f4", values.shape[1:]) for key, values in adata.obsm.items()])
    for key, values in adata.obsm.items():
        obsm[key] = values
    matrix = adata.X.tocsr()
    with h5py.File(path, "w") as file:
        file["obs"], file["var"], file["obsm"] = obs, var, obsm
        x = file.create_group("X")
        x.attrs["h5sparse_format"], x.attrs["h5sparse_shape"] = "csr", np.array(matrix.shape)
        x["data"], x["indices"], x["indptr"] = matrix.data, matrix.indices, matrix.indptr
        categories = np.array(labels.categories, dtype=object)
        file.create_group("uns")[f"{labels_key}_categories"] = categories.astype(h5py.string_dtype())
