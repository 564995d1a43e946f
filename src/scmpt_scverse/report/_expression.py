"""Expression of the drawn cells: genes that are higher in a group than elsewhere, and genes to colour cells by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._checks import check_key
from scmpt_scverse.pp import CHUNK_SIZE, NATIVE, ExpressionReader, Organism, are_linear, log_normalised

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray

#: Fewer cells have no spread of their own to speak of; that of the other cells stands for it.
_FEW_CELLS = 3
_SMALLEST = 1e-9
#: Standard errors by which a gene has to be higher in a group than in the other cells.
_LEAST_DIFFERENCE = 3.0


@dataclass(frozen=True)
class GroupMoments:
    """Log-normalised expression of groups of cells.

    Attributes
    ----------
    genes
        Symbols, shape `(n_genes,)`.
    n_cells
        Cells of each group, shape `(n_groups,)`.
    sums, squares
        Shape `(n_groups, n_genes)`.
    """

    genes: "StrArray"
    n_cells: "IntArray"
    sums: "FloatArray"
    squares: "FloatArray"

    def higher_genes(self, group: int, n_genes: int) -> list[str]:
        """Genes that are higher in a group than in the other cells by a t-test of Welch, best first."""
        n, n_rest = self.n_cells[group], self.n_cells.sum() - self.n_cells[group]
        if not n or not n_rest:
            return []
        mean, variance = _moments(self.sums[group], self.squares[group], n)
        rest_mean, rest_variance = _moments(
            self.sums.sum(axis=0) - self.sums[group], self.squares.sum(axis=0) - self.squares[group], n_rest
        )
        variance = variance if n >= _FEW_CELLS else rest_variance
        difference = (mean - rest_mean) / np.sqrt(variance / n + rest_variance / n_rest + _SMALLEST)
        best = np.argsort(-difference, kind="stable")[:n_genes]
        return [str(self.genes[gene]) for gene in best if difference[gene] >= _LEAST_DIFFERENCE]

    def variable_genes(self, n_genes: int) -> list[str]:
        """Genes whose variance over all cells is the largest, largest first."""
        _, variance = _moments(self.sums.sum(axis=0), self.squares.sum(axis=0), max(1, self.n_cells.sum()))
        return [str(self.genes[gene]) for gene in np.argsort(-variance, kind="stable")[:n_genes] if variance[gene] > 0]


class CellExpression:
    """Log-normalised expression of some cells, read in chunks and never dense as a whole.

    Parameters
    ----------
    adata
        All cells.
    layer, gene_symbols, organism
        Where expression and symbols are, and of which species.
    rows
        Which cells, ascending, shape `(n_cells,)`.
    """

    def __init__(
        self,
        adata: "AnnData",
        rows: "IntArray",
        *,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: Organism = NATIVE,
    ) -> None:
        reader = ExpressionReader(adata, layer=layer, gene_symbols=gene_symbols, organism=organism)
        self.genes = reader.genes
        self._column_names = [str(name) for name in adata.var_names]
        self._reader, self._rows = reader, rows
        step = max(1, -(-len(rows) // CHUNK_SIZE))
        self._is_linear = are_linear([reader.take(rows[::step]).matrix])  # cells from everywhere

    def moments(self, codes: "IntArray", n_groups: int) -> GroupMoments:
        """Sums over groups; `codes` has the group of each cell, shape `(n_cells,)`."""
        sums, squares = (np.zeros((n_groups, len(self.genes))) for _ in range(2))
        for start, matrix in self._chunks():
            own = codes[start : start + matrix.shape[0]]
            members = sparse.csr_matrix(
                (np.ones(len(own), dtype=np.float32), (own, np.arange(len(own)))), shape=(n_groups, len(own))
            )
            sums += (members @ matrix).toarray()
            squares += (members @ matrix.power(2)).toarray()
        return GroupMoments(self.genes, np.bincount(codes, minlength=n_groups), sums, squares)

    def values(self, genes: Sequence[str]) -> "FloatArray":
        """Expression of a few genes, shape `(n_cells, n_genes)`."""
        columns = pd.Index(self.genes).get_indexer(pd.Index(genes, dtype=object))
        chunks = [matrix[:, columns].toarray() for _, matrix in self._chunks()]
        values: FloatArray = np.concatenate([np.empty((0, len(columns)), dtype=np.float32), *chunks])
        return values

    def symbols_of(self, names: Sequence[str]) -> list[str]:
        """The symbols that are meant: themselves, or those of columns of these names; `KeyError` for other names."""
        of_column = dict(zip(self._column_names, self._reader.names.symbols, strict=True))
        known = set(self.genes)
        symbols = [name if name in known else of_column.get(name, "") for name in names]
        for name, symbol in zip(names, symbols, strict=True):
            if symbol not in known:
                check_key(
                    name, self.genes, "the genes of these cells", hint=" Pass `gene_symbols=` if it is in `.var`."
                )
        return symbols

    def _chunks(self) -> "Iterator[tuple[int, sparse.csr_matrix]]":
        for start in range(0, len(self._rows), CHUNK_SIZE):
            matrix = self._reader.take(self._rows[start : start + CHUNK_SIZE]).matrix
            yield start, log_normalised(matrix, is_linear=self._is_linear)


def _moments(sums: "FloatArray", squares: "FloatArray", n: int) -> "tuple[FloatArray, FloatArray]":
    """Mean and variance."""
    mean = sums / n
    return mean, np.maximum(squares / n - mean**2, 0)
