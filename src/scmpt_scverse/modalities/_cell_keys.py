"""Numbers by which cells are known again: in copies, subsets and other orders, and under other names."""

from collections.abc import Iterator
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
    if not _has_matrix(adata, source):
        return np.zeros(adata.n_obs, dtype=np.uint64)
    genes = pd.util.hash_array(np.asarray(adata.var_names, dtype=object), categorize=False)
    if (columns := source.read_columns(adata)) is not None:
        genes = genes[columns]
    contents = []
    for block in _blocks(adata, source):
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
    if not _has_matrix(adata, source):
        return keys
    return _mixed(keys ^ np.concatenate([_content_keys(block) for block in _blocks(adata, source)]))


def _has_matrix(adata: "AnnData", source: "ExpressionSource") -> bool:
    """Whether there is expression that tells cells apart."""
    return adata.n_obs > 0 and _matrix(adata, source) is not None


def _matrix(adata: "AnnData", source: "ExpressionSource") -> Any:
    return adata.X if source.layer is None or source.layer not in adata.layers else adata.layers[source.layer]


def _blocks(adata: "AnnData", source: "ExpressionSource") -> "Iterator[sparse.csr_matrix]":
    """Expression of the cells over the genes that are read, so that cells are the same with more genes and without."""
    matrix, columns = row_sliceable(_matrix(adata, source), "adata.X"), source.read_columns(adata)
    for start in range(0, adata.n_obs, CHUNK_SIZE):
        block = csr_block(matrix[start : start + CHUNK_SIZE], "adata.X")
        yield block if columns is None else block[:, columns]


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
