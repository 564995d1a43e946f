"""Expression itself as a modality: log-normalised values of the genes that vary most among the training cells."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from scmpt_scverse._checks import list_some
from scmpt_scverse.encoders import ExpressedGenes, GeneGates
from scmpt_scverse.pp import CHUNK_SIZE, ExpressionScale, are_linear

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray
    from scmpt_scverse.pp import ExpressionReader, GeneExpression

#: A gene that fewer training cells express is noise.
_MIN_CELLS = 3


class PreparedExpression:
    """Expression of some cells over the genes of a model, dense only where it is asked for.

    Parameters
    ----------
    values
        Log-normalised, shape `(n_obs, n_genes)`.
    is_measured
        Which genes the data have, shape `(n_genes,)`.
    fill
        Value of the others: the mean of the training cells, so that they say nothing; shape `(n_genes,)`.
    is_readable
        Which cells express any gene of the data, shape `(n_obs,)`; of others nothing is known, and their rows are NaN.
    """

    def __init__(
        self,
        values: sparse.csr_matrix,
        is_measured: "BoolArray",
        fill: "FloatArray",
        is_readable: "BoolArray",
    ) -> None:
        self.values = values
        self.is_readable = is_readable
        self._absent = np.flatnonzero(~is_measured)
        self._fill = fill[self._absent].astype(np.float32)

    def __len__(self) -> int:
        n_obs: int = self.values.shape[0]
        return n_obs

    def __getitem__(self, rows: "IntArray") -> "FloatArray":
        """Dense float32 rows, shape `(n_rows, n_genes)`."""
        dense: FloatArray = self.values[np.asarray(rows)].toarray()
        dense[:, self._absent] = self._fill
        dense[~self.is_readable[rows]] = np.nan
        return dense

    def unexpressed(self) -> "FloatArray":
        """The row of a cell that expresses no gene, shape `(n_genes,)`."""
        row = np.zeros(self.values.shape[1], dtype=np.float32)
        row[self._absent] = self._fill
        return row


class ExpressionRows:
    """Expression of cells over the genes of a model, read from the data where it is asked for, and not kept.

    Parameters
    ----------
    values
        Which genes are read, and how.
    reader
        Of the data.
    rows
        Row numbers of the cells; `None` takes all.
    """

    def __init__(self, values: "GeneValues", reader: "ExpressionReader", rows: "IntArray | None") -> None:
        self._values, self._reader, self._rows = values, reader, rows
        self.shape: tuple[int, int] = (reader.n_obs if rows is None else len(rows), values.width)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: "IntArray") -> "FloatArray":
        """Dense float32 rows, shape `(n_rows, n_genes)`; NaN for cells that express no gene of the data."""
        expression, places = self._taken(np.asarray(rows))
        return self._values.prepare(expression)[places]

    @cached_property
    def is_readable(self) -> "BoolArray":
        """Which cells express any gene of the data, shape `(n_obs,)`."""
        if self._rows is None:
            return np.concatenate([expressing_cells(chunk.matrix) for chunk in self._reader.chunks()])
        readable = np.zeros(len(self), dtype=bool)
        for start in range(0, len(self), CHUNK_SIZE):
            some = np.arange(start, min(start + CHUNK_SIZE, len(self)))
            expression, places = self._taken(some)
            readable[some] = expressing_cells(expression.matrix)[places]
        return readable

    def _taken(self, rows: "IntArray") -> "tuple[GeneExpression, IntArray]":
        """Some cells in the order of the data, and where among them each of `rows` is."""
        wanted = rows if self._rows is None else self._rows[rows]
        ascending, places = np.unique(wanted, return_inverse=True)
        if len(ascending) and ascending[-1] - ascending[0] + 1 == len(ascending):  # one read of a file
            return self._reader.rows(int(ascending[0]), int(ascending[-1]) + 1), places
        return self._reader.take(ascending), places


@dataclass(frozen=True)
class ExpressionFeatures:
    """Which genes expression is read of, and how; decided on the training cells and kept with the model.

    Attributes
    ----------
    genes
        Symbols, most variable first, shape `(n_genes,)`.
    fill
        Mean log-normalised expression of the training cells, shape `(n_genes,)`.
    scale
        Of the values. Where training data are neither counts nor logarithms (TPM, RPKM, values divided by cell volume),
        every cell is log-normalised. Else a cell of whole numbers or large values counts as counts and is
        log-normalised, and one of small fractions counts as logarithms. Each cell is judged by its own values, so
        its prediction does not depend on the cells beside it.
    """

    genes: "StrArray"
    fill: "FloatArray"
    scale: ExpressionScale

    @classmethod
    def fit(cls, reader: "ExpressionReader", rows: "IntArray", n_genes: int, *, is_panel: bool = False) -> Self:
        """From some cells: the at most `n_genes` genes that vary most and that three of the cells express."""
        is_linear = are_linear(_chunks(reader, rows))
        scale = ExpressionScale(is_linear)
        if is_panel:
            scale = ExpressionScale.of_panel(_chunks(reader, rows), is_linear=is_linear)
        sums, squares, n_expressing = (np.zeros(len(reader.genes)) for _ in range(3))
        for matrix in _chunks(reader, rows):
            values = scale(matrix)
            sums += np.asarray(values.sum(axis=0, dtype=np.float64)).ravel()
            squares += np.asarray(values.power(2).sum(axis=0, dtype=np.float64)).ravel()
            n_expressing += values.getnnz(axis=0)
        means = sums / len(rows)
        variances = squares / len(rows) - means**2
        variances[n_expressing < min(_MIN_CELLS, len(rows))] = 0
        order = np.argsort(-variances, kind="stable")[:n_genes]
        chosen = order[variances[order] > 0]
        return cls(reader.genes[chosen], means[chosen].astype(np.float32), scale)

    def state(self) -> dict[str, Any]:
        """All that there is, as plain values and arrays."""
        return {"genes": self.genes.tolist(), "fill": self.fill, "scale": asdict(self.scale)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`state`."""
        scale = ExpressionScale(**state["scale"])
        return cls(np.array(state["genes"], dtype=object), np.asarray(state["fill"]), scale)


class GeneValues:
    """Reads the expression of one data set, and follows its genes, as an encoder does with its own.

    It is no :class:`scmpt_scverse.encoders.Encoder`: what it gives depends on the training data of a model.

    Parameters
    ----------
    reader
        Of the data.
    features
        What to read.
    width
        Number of features; those beyond `features` are 0.

    Raises
    ------
    ValueError
        The data have none of the genes.
    """

    vocabulary: frozenset[str] = frozenset()

    def __init__(self, reader: "ExpressionReader", features: ExpressionFeatures, width: int) -> None:
        columns = pd.Index(reader.genes).get_indexer(features.genes)
        self._is_measured: BoolArray = columns >= 0
        if not self._is_measured.any():
            raise ValueError(
                f"Expected expression of some of the {len(features.genes)} genes that the model was trained on; found "
                f"none of them among {list_some(reader.genes)}. Pass `gene_symbols=` with the column of `.var` that "
                "holds gene symbols, or data with gene symbols."
            )
        self._features, self._columns, self.width = features, columns, width
        # A feature for each gene of the model; those that the data do not have are empty.
        measured = np.flatnonzero(self._is_measured)
        self._pick = sparse.csr_matrix(
            (np.ones(len(measured), dtype=np.float32), (columns[measured], measured)), shape=(len(reader.genes), width)
        )

    def known_genes(self, genes: "StrArray") -> "BoolArray":
        """Which gene symbols are read, shape `(n_genes,)`."""
        return np.asarray(pd.Index(genes).isin(self._features.genes))

    def fewest_genes(self, n_genes: int) -> int:
        """One: the values of the others are those of the mean training cell."""
        return 1

    def prepare(self, expression: "GeneExpression") -> PreparedExpression:
        """Values of the cells; the genes are those of the reader."""
        values = self._features.scale(expression.matrix)
        is_readable = expressing_cells(expression.matrix)
        return PreparedExpression(values @ self._pick, self._is_measured, self._features.fill, is_readable)

    def encode(self, inputs: Any, **_: Any) -> "FloatArray":
        """Dense float32, shape `(n_obs, width)`, from what :meth:`prepare` gives; NaN for cells without expression."""
        rows: FloatArray = inputs[np.arange(len(inputs))]
        return rows

    def gene_gates(self, expression: "GeneExpression", device: "torch.device") -> GeneGates:
        """See :class:`scmpt_scverse.encoders.GeneDifferentiable`; a gene at 0 is not expressed."""
        return _GatedValues(self.prepare(expression), self._columns, device)

    def read(self, reader: "ExpressionReader", rows: "IntArray | None") -> ExpressionRows:
        """Values of some cells in the order of `rows`; `None` takes all."""
        return ExpressionRows(self, reader, rows)


class _GatedValues(GeneGates):
    """Values that are multiplied by their gates.

    Parameters
    ----------
    rows
        Of all cells.
    columns
        Where the expression has the gene of each feature.
    device
        Where to compute.
    """

    def __init__(self, rows: PreparedExpression, columns: "IntArray", device: "torch.device") -> None:
        expressed = ExpressedGenes(rows.values)
        self.genes = np.where(expressed.is_gene, columns[expressed.columns], -1)
        values = np.zeros(expressed.columns.shape, dtype=np.float32)
        values[expressed.is_gene] = rows.values.data
        self._values = torch.from_numpy(values).to(device)
        # Where a cell has fewer genes than others, 0 is added to the first feature.
        self._features = torch.from_numpy(expressed.columns.clip(min=0)).to(device)
        self._unexpressed = torch.from_numpy(rows.unexpressed()).to(device)

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneGates.__call__`."""
        start = self._unexpressed.expand(len(cells), -1)
        return start.scatter_add(1, self._features[cells], self._values[cells] * gates)


def expressing_cells(matrix: sparse.csr_matrix) -> "BoolArray":
    """Which cells express anything, shape `(n_obs,)`; a matrix of :class:`scmpt_scverse.pp.GeneExpression`."""
    return np.asarray(np.diff(matrix.indptr) > 0)


def _chunks(reader: "ExpressionReader", rows: "IntArray") -> Iterator[sparse.csr_matrix]:
    """Expression of some of the cells."""
    is_taken = np.zeros(reader.n_obs, dtype=bool)
    is_taken[rows] = True
    done = 0
    for chunk in reader.chunks():
        some = is_taken[done : done + chunk.matrix.shape[0]]
        done += len(some)
        if some.any():
            yield chunk.matrix[some]
