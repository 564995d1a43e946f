"""Read expression from AnnData as canonical CSR chunks over gene symbols; never densifies, never writes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._checks import check_key
from scmpt_scverse.pp._gene_names import gene_symbols_of

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import IntArray, StrArray

#: Cells per chunk: about 15 MB of typical counts, and enough cells to sort by length.
CHUNK_SIZE = 2048
#: Layer names that promise raw counts; such a layer is checked for whole numbers.
_COUNT_LAYERS = frozenset({"counts", "raw_counts", "count"})


@dataclass(frozen=True)
class GeneExpression:
    """Expression of some cells over gene symbols: what an encoder reads.

    Attributes
    ----------
    matrix
        Non-negative, finite, canonical CSR without explicit zeros, shape `(n_obs, n_genes)`.
    genes
        Distinct gene symbols of the columns, shape `(n_genes,)`.
    """

    matrix: sparse.csr_matrix
    genes: "StrArray"


class ExpressionReader:
    """Reads the expression matrix of an AnnData in chunks of rows, its columns mapped to distinct gene symbols.

    Columns without a symbol are dropped and columns that share one are summed.

    Parameters
    ----------
    adata
        In memory, a view, or backed; CSR, CSC, dense or dask.
    layer
        Key of `.layers`; `None` reads `.X`. Counts or any transform that keeps zeros and order within a cell.
    gene_symbols
        Column of `.var` with gene symbols; `None` takes `var_names`.
    reference_var_names
        Names in the order that their columns should take (those of a reference); other columns follow in their order.

    Raises
    ------
    KeyError
        `layer` or `gene_symbols` is not there.
    ValueError
        There is no matrix, no cell, or no gene symbol.
    """

    def __init__(
        self,
        adata: "AnnData",
        *,
        layer: str | None = None,
        gene_symbols: str | None = None,
        reference_var_names: "StrArray | None" = None,
    ) -> None:
        if layer is not None:
            check_key(layer, [key for key in adata.layers if key is not None], "adata.layers")
        self._where = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
        self._declares_counts = layer is not None and layer.lower() in _COUNT_LAYERS
        self._raw_hint = " `adata.raw` holds data: `adata.raw.to_adata()` may be what you want." if adata.raw else ""
        self._matrix = _row_sliceable(adata.X if layer is None else adata.layers[layer], self._where)
        self.n_obs: int = adata.n_obs
        if self.n_obs == 0:
            raise ValueError("Expected at least one cell; found an AnnData with 0 observations.")
        symbols = gene_symbols_of(adata, gene_symbols)
        self.genes, self._column_of = _distinct_columns(symbols, _column_order(adata.var_names, reference_var_names))
        self.n_without_symbol = int(np.sum(symbols == ""))
        self.n_merged = len(symbols) - self.n_without_symbol - len(self.genes)
        self._is_identity = np.array_equal(self._column_of, np.arange(len(self.genes)))

    def chunks(self, size: int = CHUNK_SIZE) -> Iterator[GeneExpression]:
        """Yield the cells in order, `size` rows at a time."""
        for start in range(0, self.n_obs, size):
            yield self.rows(start, min(start + size, self.n_obs))

    def rows(self, start: int, stop: int) -> GeneExpression:
        """The cells `start` to `stop`.

        Raises
        ------
        ValueError
            Negative or non-finite values, or fractions in a layer whose name promises counts.
        """
        return self._checked(self._matrix[start:stop])

    def take(self, rows: "IntArray") -> GeneExpression:
        """The cells of these ascending row numbers; raises as :meth:`rows`."""
        if _is_backed_sparse(self._matrix):
            # One read for each run of neighbours, where row numbers would be read one by one.
            is_taken = np.zeros(self.n_obs, dtype=bool)
            is_taken[rows] = True
            return self._checked(self._matrix[is_taken])
        return self._checked(self._matrix[rows])

    def _checked(self, block: Any) -> GeneExpression:
        if hasattr(block, "compute"):  # dask
            block = block.compute()
        if block.dtype == np.float16:  # which scipy's sparse matrices do not have
            block = block.astype(np.float32)
        block = sparse.csr_matrix(block)
        self._check_values(block.data)
        return GeneExpression(self._over_genes(block), self.genes)

    def _over_genes(self, block: sparse.csr_matrix) -> sparse.csr_matrix:
        if self._is_identity:
            block = block.copy() if not block.has_canonical_format or not np.all(block.data) else block
            block.sum_duplicates()
            block.eliminate_zeros()
            return block
        values = (
            block.data if block.data.dtype.kind == "f" else block.data.astype(np.int64)
        )  # sums of uint8 wrap around
        columns = self._column_of[block.indices]
        rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        kept = (columns >= 0) & (values != 0)
        shape = (block.shape[0], len(self.genes))
        # COO to CSR sums the columns that share a symbol.
        mapped = sparse.csr_matrix((values[kept], (rows[kept], columns[kept])), shape=shape)
        mapped.sort_indices()
        return mapped

    def _check_values(self, values: "np.ndarray[Any, Any]") -> None:
        if values.size == 0:
            return
        if not np.isfinite(values).all():
            raise ValueError(
                f"Expected finite expression in `{self._where}`; found NaN or infinite values. "
                "Remove them, or pass `layer=` with counts."
            )
        if values.min() < 0:
            raise ValueError(
                f"Expected non-negative expression in `{self._where}`; found negative values such as "
                f"{values.min():.4g}, as after scaling. Pass `layer=` with counts or log-normalised data."
                f"{self._raw_hint}"
            )
        if self._declares_counts and not np.array_equal(values, np.rint(values)):
            fraction = values[values != np.rint(values)][0]
            raise ValueError(
                f"Expected raw counts in `{self._where}`; found fractions such as {fraction:.4g}, as after "
                "normalisation. Pass the layer that holds counts, or rename this one: log-normalised data is fine "
                "in a layer that does not call itself counts."
            )


def _row_sliceable(matrix: Any, where: str) -> Any:
    """`matrix`, or its CSR form where taking rows of it would be slow (CSC, in memory or on disk)."""
    if matrix is None:
        raise ValueError(f"Expected expression in `{where}`; found nothing. Pass `layer=` with expression values.")
    if getattr(matrix, "format", None) == "csc":
        return (matrix.to_memory() if _is_backed_sparse(matrix) else matrix).tocsr()
    return matrix


def _is_backed_sparse(matrix: Any) -> bool:
    """Whether it is a sparse matrix on disk, as anndata opens it."""
    return hasattr(matrix, "format") and not sparse.issparse(matrix)


def _column_order(var_names: "pd.Index[str]", reference_var_names: "StrArray | None") -> "IntArray":
    if reference_var_names is None:
        return np.arange(len(var_names))
    reference = pd.Index(reference_var_names).drop_duplicates()
    rank = reference.get_indexer(var_names)
    return np.argsort(np.where(rank < 0, len(reference), rank), kind="stable")


def _distinct_columns(symbols: "StrArray", column_order: "IntArray") -> "tuple[StrArray, IntArray]":
    """Distinct symbols in the order of columns, and for each column its index among them, -1 where it has none."""
    index: dict[str, int] = {}
    for name in symbols[column_order]:
        if name != "":
            index.setdefault(name, len(index))
    column_of = np.fromiter((index.get(name, -1) for name in symbols), dtype=np.int64, count=len(symbols))
    return np.array(list(index), dtype=object), column_of
