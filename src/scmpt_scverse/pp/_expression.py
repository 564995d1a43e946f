"""Read expression from AnnData as canonical CSR chunks over gene symbols; never densifies, never writes."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._checks import check_key, list_some, warn_user
from scmpt_scverse.pp._column_symbols import gene_names_of, organism_of
from scmpt_scverse.pp._orthologs import HUMAN, Organism, Orthologs, organism_label
from scmpt_scverse.pp._panel import only_symbols
from scmpt_scverse.pp._stored_matrix import csr_block, is_backed_sparse, row_sliceable
from scmpt_scverse.pp._stored_scale import StoredScale

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.pp._gene_names import GeneNames

#: Cells per chunk: about 15 MB for typical counts, and enough cells to sort by length.
CHUNK_SIZE = 2048
#: Cells from which the scale is inferred: runs of consecutive cells, spread over the data, each run read at once.
_N_RUNS, _CELLS_PER_RUN = 8, 32


@dataclass(frozen=True)
class GeneExpression:
    """Expression of some cells over gene symbols: what an encoder reads.

    Attributes
    ----------
    matrix
        Non-negative, finite, canonical CSR without explicit zeros, shape `(n_obs, n_genes)`.
    genes
        Distinct gene symbols of the columns, shape `(n_genes,)`.
    without_symbol
        Each cell's expression in columns without a symbol, shape `(n_obs,)`; `None` if there is no such column.
    """

    matrix: sparse.csr_matrix
    genes: "StrArray"
    without_symbol: "FloatArray | None" = None


class ExpressionReader:
    """Reads the expression matrix of an AnnData in chunks of rows, its columns mapped to distinct gene symbols.

    Columns without a symbol are dropped and columns that share one are summed. Logarithms of counts are converted back
    to counts. Cells that were scaled to a common total are rescaled: log values to natural logarithms at 10,000 per
    cell, linear values to a million per cell (see :class:`StoredScale`).

    Parameters
    ----------
    adata
        In memory, a view, backed, lazy, or on a GPU (cupy); CSR, CSC, dense or dask; real numbers of any dtype.
    layer
        Key of `.layers`; `None` reads `.X`. Counts or any transform that keeps zeros and order within a cell.
    gene_symbols
        Column of `.var` with gene symbols; `None` uses `var_names`.
    organism
        Species of the cells: `"human"`; `"mouse"`; `"auto"`, inferred from the names, with a warning that says why;
        :class:`scmpt_scverse.pp.Orthologs` for others; or `"native"`, symbols of any species unchanged. For species
        other than human, genes get the symbols of their human orthologs, as :func:`scmpt_scverse.pp.map_orthologs`
        finds them.
    reference_genes
        Gene symbols in the order that their columns should have (those of a reference); other columns follow in their
        own order.
    only_genes
        Gene symbols to read, such as those of a panel; other columns are ignored, as if the data did not have them.
        `None` reads all.
    usual_scale
        Scale of a model's training data, for data with too few cells to infer their own.
    ids_are_names
        Use Ensembl ids as gene names where there are no symbols.

    Raises
    ------
    KeyError
        `layer` or `gene_symbols` does not exist.
    TypeError
        The expression is not a matrix, or `organism` is neither a string nor :class:`Orthologs`.
    ValueError
        There is no matrix, it does not hold numbers, there are no cells or hardly any gene symbols; genes are of two
        species, or of another one than `organism`; `organism` is unknown; or none of `only_genes` is in the data.

    Warns
    -----
    UserWarning
        Something is attached to symbols, as in `GRCh38_CD3D`; most names are not symbols; or `organism="auto"`.
    """

    def __init__(
        self,
        adata: "AnnData",
        *,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: Organism = HUMAN,
        reference_genes: "StrArray | None" = None,
        only_genes: "StrArray | None" = None,
        usual_scale: StoredScale | None = None,
        ids_are_names: bool = False,
    ) -> None:
        if layer is not None:
            check_key(layer, [key for key in adata.layers if key is not None], "adata.layers")
        self.where = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
        self._raw_hint = " `adata.raw` holds data: `adata.raw.to_adata()` may be what you want." if adata.raw else ""
        self._matrix = row_sliceable(adata.X if layer is None else adata.layers[layer], self.where, self._raw_hint)
        self._usual_scale = usual_scale
        self.n_obs: int = adata.n_obs
        if self.n_obs == 0:
            raise ValueError("Expected at least one cell; found an AnnData with 0 observations.")
        organism = organism_of(adata, gene_symbols, organism)
        #: The species, as provenance records it.
        self.organism = organism_label(organism)
        #: Whether columns stand for the human orthologs of their genes.
        self.is_translated = isinstance(organism, Orthologs)
        self.names = gene_names_of(adata, gene_symbols, organism, ids_are_names=ids_are_names)
        where = "adata.var_names" if gene_symbols is None else f"adata.var[{gene_symbols!r}]"
        if (report := self.names.report(where)) is not None:
            warn_user(report)
        symbols = self.names.symbols
        if only_genes is not None:
            symbols = only_symbols(self.names, only_genes)
            _check_some(symbols, only_genes, self.names, where)
        self.genes, self._column_of = _distinct_columns(symbols, _column_order(symbols, reference_genes))
        n_unread = int(np.sum(symbols == ""))
        self.n_merged = len(symbols) - n_unread - len(self.genes)
        # Columns outside the panel do not count as expression that cannot be read.
        self.n_without_symbol = n_unread if only_genes is None else 0
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
            Negative or non-finite values.
        """
        return self._checked(self._matrix[start:stop])

    def take(self, rows: "IntArray") -> GeneExpression:
        """The cells with these row numbers, which must ascend; raises as :meth:`rows`."""
        if is_backed_sparse(self._matrix):
            # A mask reads each run of consecutive rows at once; row numbers would be read one by one.
            is_taken = np.zeros(self.n_obs, dtype=bool)
            is_taken[rows] = True
            return self._checked(self._matrix[is_taken])
        return self._checked(self._matrix[rows])

    def _checked(self, block: Any) -> GeneExpression:
        block = self._valid(block)
        if self.scale is not None:
            block = self.scale(block)
        without_symbol = self._without_symbol(block) if self.n_without_symbol else None
        return GeneExpression(self._over_genes(block), self.genes, without_symbol)

    def _valid(self, block: Any) -> sparse.csr_matrix:
        block = csr_block(block, self.where)
        self._check_columns(block)
        if not block.has_canonical_format:  # entries of one place are one value, whose scale is judged
            integers = block.data.dtype.kind != "f"
            block = block.astype(np.int64) if integers else block.copy()  # sums of uint8 wrap around
            block.sum_duplicates()
        self._check_values(block.data)
        return block

    @cached_property
    def scale(self) -> StoredScale | None:
        """How stored values are converted, inferred once from some cells and all their genes; `None` keeps them."""
        starts = np.linspace(0, max(0, self.n_obs - _CELLS_PER_RUN), _N_RUNS).astype(int)
        stops = np.minimum(starts + _CELLS_PER_RUN, self.n_obs)
        starts = np.maximum(starts, np.concatenate([[0], stops[:-1]]))  # each cell once
        runs = [(start, stop) for start, stop in zip(starts, stops, strict=True) if start < stop]
        some = []
        for start, stop in runs:
            with suppress(ValueError):  # raised later, when these cells are read
                some.append(self._valid(self._matrix[start:stop]))
        found, usual = StoredScale.of(some), self._usual_scale
        return usual if found is None and usual is not None and some and usual.is_of(some) else found

    def _without_symbol(self, block: sparse.csr_matrix) -> "FloatArray":
        sums: FloatArray = block @ (self._column_of < 0).astype(np.float64)
        return sums

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
        kept = (columns >= 0) & (values != 0)
        starts = np.concatenate([[0], np.cumsum(kept)])[block.indptr]
        mapped = sparse.csr_matrix((values[kept], columns[kept], starts), shape=(block.shape[0], len(self.genes)))
        mapped.sum_duplicates()  # columns that share a symbol
        return mapped

    def _check_columns(self, block: sparse.csr_matrix) -> None:
        """Refuse column numbers out of range, as in a damaged file: scipy would read and write beyond its arrays."""
        indices = block.indices
        if indices.size and not 0 <= indices.min() <= indices.max() < block.shape[1]:
            raise ValueError(
                f"Expected a valid sparse matrix in `{self.where}`; found column {indices.max()} of {block.shape[1]}. "
                "The file is damaged: copy or write it again."
            )

    def _check_values(self, values: "np.ndarray[Any, Any]") -> None:
        if values.size == 0:
            return
        if not np.isfinite(values).all():
            raise ValueError(
                f"Expected finite expression in `{self.where}`; found NaN or infinite values. "
                "Remove them, or pass `layer=` with counts."
            )
        if values.min() < 0:
            raise ValueError(
                f"Expected non-negative expression in `{self.where}`; found negative values such as "
                f"{values.min():.4g}, as after scaling. Pass `layer=` with counts or log-normalised data."
                f"{self._raw_hint}"
            )


def _check_some(symbols: "StrArray", wanted: "StrArray", names: "GeneNames", where: str) -> None:
    """Raise `ValueError` if none of the wanted genes is in the data."""
    if not (symbols != "").any():
        raise ValueError(
            f"Expected some of the {len(wanted)} genes that are read, such as {list_some(wanted, 3)}, in `{where}`; "
            f"found none of them among {list_some(names.symbols[names.symbols != ''], 3)}. Pass `gene_symbols=` with "
            "the column of `adata.var` that holds their symbols, or data with these genes."
        )


def _column_order(symbols: "StrArray", reference_genes: "StrArray | None") -> "IntArray":
    if reference_genes is None:
        return np.arange(len(symbols))
    reference = pd.Index(reference_genes).drop_duplicates()
    rank = reference.get_indexer(symbols)
    return np.argsort(np.where(rank < 0, len(reference), rank), kind="stable")


def _distinct_columns(symbols: "StrArray", column_order: "IntArray") -> "tuple[StrArray, IntArray]":
    """Distinct symbols in column order, and the index of each column among them, -1 for a column without a symbol."""
    index: dict[str, int] = {}
    for name in symbols[column_order]:
        if name != "":
            index.setdefault(name, len(index))
    column_of = np.fromiter((index.get(name, -1) for name in symbols), dtype=np.int64, count=len(symbols))
    return np.array(list(index), dtype=object), column_of
