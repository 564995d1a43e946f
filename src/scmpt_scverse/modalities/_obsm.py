"""An embedding that the user brings: read from `.obsm` and checked."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._checks import check_key, list_some
from scmpt_scverse.modalities._mudata import modality_of
from scmpt_scverse.modalities._rows import finite_rows
from scmpt_scverse.pp import CHUNK_SIZE, csr_block, row_sliceable

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, StrArray


def embedding_columns(adata: "AnnData", key: str) -> "StrArray":
    """Names or numbers of the columns of `adata.obsm[key]`; raises as :func:`finite_embedding`."""
    part = modality_of(adata, key)
    if part is not None and part.n_vars and _is_finite_sparse(part.X, f"mdata[{key!r}].X"):
        return np.array([str(name) for name in part.var_names], dtype=object)  # without a dense copy
    width, stored = finite_embedding(adata, key).shape[1], adata.obsm[key]
    return np.array([str(name) for name in stored] if isinstance(stored, pd.DataFrame) else range(width), dtype=object)


def finite_embedding(adata: "AnnData", key: str, columns: "StrArray | None" = None) -> "FloatArray":
    """`adata.obsm[key]` as float32 of shape `(n_obs, dim)`; `KeyError` or `ValueError` where it cannot be used.

    `columns` are those of the training data; a DataFrame is brought into their order. A row of NaN alone is a cell
    without an embedding, as `anndata.concat` makes them; values that are missing beside others are refused.
    """
    check_key(key, adata.obsm.keys(), "adata.obsm")
    stored = adata.obsm[key]
    if isinstance(stored, pd.DataFrame) and columns is not None and isinstance(columns[0], str):
        stored = stored.set_axis(stored.columns.astype(str), axis=1)
        missing = [name for name in columns if name not in stored]
        if missing:
            raise ValueError(
                f"`adata.obsm[{key!r}]` has no columns {list_some(missing)}, which the model was trained on; found "
                f"{list_some(stored.columns)}. Pass the embedding that the model was trained on."
            )
        stored = stored[list(dict.fromkeys(columns))]
        if not stored.columns.is_unique or len(set(columns)) < len(columns):
            repeated = [*stored.columns[stored.columns.duplicated()], *columns[pd.Index(columns).duplicated()]]
            raise ValueError(
                f"Expected columns of different names in `adata.obsm[{key!r}]`; found several called "
                f"{list_some(dict.fromkeys(repeated))}. Make names unique, in the training data and in queries "
                "(`var_names_make_unique()` of a modality)."
            )
        stored = stored[list(columns)]
    values = stored.toarray() if hasattr(stored, "toarray") else np.asarray(stored)
    if values.ndim != 2 or values.shape[1] == 0 or values.dtype.kind not in "fiub":
        raise ValueError(
            f"Expected numbers of shape (n_obs, dim) in `adata.obsm[{key!r}]`; found shape {values.shape} of "
            f"{values.dtype}. Pass an embedding with one row per cell."
        )
    if columns is not None and values.shape[1] != len(columns):
        raise ValueError(
            f"`adata.obsm[{key!r}]` has {values.shape[1]} columns; the model was made for {len(columns)}. "
            "Pass the embedding that the model was trained on."
        )
    broken = ~finite_rows(values)
    absent = ~finite_rows(values, any_value=True) if broken.any() else broken
    if columns is not None or not absent.all():  # training data that have none at all are no training data
        broken &= ~absent
    if broken.any():
        raise ValueError(
            f"Expected finite values in `adata.obsm[{key!r}]`; found NaN or infinite ones in {int(broken.sum())} of "
            f"{len(values)} cells, such as {list_some(adata.obs_names[broken], limit=3)}. Remove these cells, or "
            "fix the values."
        )
    values = values.astype(np.float32, copy=False)
    return values if values.flags.writeable else values.copy()  # torch warns of arrays that it could write to


def _is_finite_sparse(matrix: Any, where: str) -> bool:
    """Whether a matrix is sparse, in memory or in a file, and finite; of a file, some cells at a time."""
    if sparse.issparse(matrix):
        return bool(np.isfinite(matrix.data).all())
    if not hasattr(matrix, "format"):
        return False
    matrix = row_sliceable(matrix, where)
    starts = range(0, matrix.shape[0], CHUNK_SIZE)
    return all(np.isfinite(csr_block(matrix[start : start + CHUNK_SIZE], where).data).all() for start in starts)
