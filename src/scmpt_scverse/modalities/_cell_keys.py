"""Numbers by which cells are known again: in copies, subsets and other orders, and under other names."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse.pp import CHUNK_SIZE, csr_block, row_sliceable

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy import sparse

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.modalities._source import ExpressionSource

#: A cell that expresses so many genes shares their values with no other cell by chance.
_RICH_GENES = 50


def content_keys(adata: "AnnData", source: "ExpressionSource") -> "IntArray":
    """A number for each cell, from what it expresses of which gene, whatever its name; uint64 of shape `(n_obs,)`.

    0 for a cell that expresses few genes: others may express the same by chance.
    """
    matrix = _matrix(adata, source)
    if matrix is None or not adata.n_obs:
        return np.zeros(adata.n_obs, dtype=np.uint64)
    genes = pd.util.hash_array(np.asarray(adata.var_names, dtype=object), categorize=False)
    contents = []
    for start in range(0, adata.n_obs, CHUNK_SIZE):
        block = csr_block(matrix[start : start + CHUNK_SIZE], "adata.X")
        nonzero = np.concatenate([[0], np.cumsum(block.data != 0)])  # a stored zero is no expressed gene
        is_rich = nonzero[block.indptr[1:]] - nonzero[block.indptr[:-1]] >= _RICH_GENES
        contents.append(np.where(is_rich, _content_keys(block, genes), np.uint64(0)))
    return np.concatenate(contents)


def cell_keys(adata: "AnnData", source: "ExpressionSource") -> "IntArray":
    """A number for each cell, from its name and from what it expresses; uint64 of shape `(n_obs,)`.

    It is the same however often the data were copied, cut or shuffled, with genes in another order or stored in another
    way. Other cells that happen to have the same names (`"0"`, `"1"`, ...) have other numbers.
    """
    keys: IntArray = pd.util.hash_array(np.asarray(adata.obs_names, dtype=object), categorize=False)
    matrix = _matrix(adata, source)
    if matrix is None or not adata.n_obs:
        return keys
    contents = [
        _content_keys(csr_block(matrix[start : start + CHUNK_SIZE], "adata.X"))
        for start in range(0, adata.n_obs, CHUNK_SIZE)
    ]
    return _mixed(keys ^ np.concatenate(contents))


def _matrix(adata: "AnnData", source: "ExpressionSource") -> Any:
    """The expression that tells cells apart, in a form whose rows can be taken; `None` where there is none."""
    matrix = adata.X if source.layer is None or source.layer not in adata.layers else adata.layers[source.layer]
    return None if matrix is None else row_sliceable(matrix, "adata.X")


def _content_keys(block: "sparse.csr_matrix", genes: "IntArray | None" = None) -> "IntArray":
    """A number for the values of each row, whatever their order; zeros do not count.

    `genes` are numbers of the columns; with them, it matters which gene has which value.
    """
    values = block.data.astype(np.float32)
    bits = values.view(np.uint32).astype(np.uint64)
    numbers = np.where(
        values != 0, _mixed(bits if genes is None else _mixed(bits) ^ genes[block.indices]), np.uint64(0)
    )
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(numbers, dtype=np.uint64)])  # overflow wraps around
    return sums[block.indptr[1:]] - sums[block.indptr[:-1]]


def _mixed(numbers: "IntArray") -> "IntArray":
    """Numbers spread over all 64 bits, each always to the same one (splitmix64)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
