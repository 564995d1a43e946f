"""Genes of the cells' expression, and beside them those of modalities that the user brings, as `activity:CD3D`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scmpt_scverse.encoders import GeneDifferentiable, GeneGates
from scmpt_scverse.explain._rankings import CellAttributions
from scmpt_scverse.pp import GeneExpression

if TYPE_CHECKING:
    from anndata import AnnData
    from torch import Tensor

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray
    from scmpt_scverse.modalities import GeneEncoder, Modalities


class JoinedGenes:
    """The expression of all modalities that can be traced to genes, side by side.

    Parameters
    ----------
    modalities
        What a model reads.
    adata
        Cells with expression.

    Attributes
    ----------
    genes
        Names of all genes; those of a modality that the user brings as `activity:CD3D`.
    of_cells
        Those of the cells' own expression.
    encoders
        Of the modalities, each of which reads its own genes.
    """

    def __init__(self, modalities: "Modalities", adata: "AnnData") -> None:
        reader = modalities.source.reader(adata)
        self._readers = {"": reader}
        self.of_cells: StrArray = reader.genes
        encoders: dict[str, GeneEncoder] = modalities.gene_encoders(reader)
        beside = {
            name: modalities.genes.values(adata, name, modalities.source) for name in modalities.genes.present(adata)
        }
        self._readers |= {name: reader for name, (reader, _) in beside.items()}
        names: list[list[str]] = [list(reader.genes)]
        names += [[f"{name}:{gene}" for gene in each.genes] for name, (each, _) in beside.items()]
        self.genes: StrArray = np.array([gene for some in names for gene in some], dtype=object)
        stops = np.cumsum([len(some) for some in names]).tolist()
        self._columns = {
            name: slice(stop - len(some), stop) for name, some, stop in zip(self._readers, names, stops, strict=True)
        }
        if beside:
            own = {name: values for name, (_, values) in beside.items()}
            encoders = {
                **{name: _part(encoder, self._columns[""], reader.genes) for name, encoder in encoders.items()},
                **{name: _part(own[name], self._columns[name], beside[name][0].genes) for name in own},
            }
        # In the order of the modalities, which is that of all tables.
        self.encoders = {name: encoders[name] for name in modalities.names if name in encoders}

    def take(self, rows: "IntArray") -> GeneExpression:
        """The cells of these ascending row numbers."""
        parts = [reader.take(rows) for reader in self._readers.values()]
        if len(parts) == 1:
            return parts[0]
        matrix = sparse.csr_matrix(sparse.hstack([part.matrix for part in parts]))
        return GeneExpression(matrix, self.genes, parts[0].without_symbol)

    def symbols(self, name: str) -> "StrArray":
        """The gene of every column of a modality that the user brings, `""` where it has none."""
        return self._readers[name].names.symbols

    def split(self, found: CellAttributions) -> dict[str, CellAttributions]:
        """Attributions to the genes of each modality that the user brings, and under `""` to all others."""
        return {
            name: replace(
                found,
                expression=GeneExpression(found.expression.matrix[:, columns], self._readers[name].genes),
                total=found.total[:, columns],
                by_modality=_of_columns(found.by_modality, name, columns, set(self._readers)),
            )
            for name, columns in self._columns.items()
        }


def _of_columns(
    by_modality: Mapping[str, sparse.csr_matrix], name: str, columns: slice, beside: set[str]
) -> dict[str, sparse.csr_matrix]:
    is_of = {each: each == name if name else each not in beside for each in by_modality}
    return {each: scores[:, columns] for each, scores in by_modality.items() if is_of[each]}


def _part(encoder: "GeneEncoder", columns: slice, genes: "StrArray") -> Any:
    kind = _DifferentiablePart if isinstance(encoder, GeneDifferentiable) else _Part
    return kind(encoder, columns, genes)


class _Part:
    """An encoder that reads some columns of an expression as if there were no others.

    Parameters
    ----------
    encoder
        What reads them.
    columns
        Which.
    genes
        What they are called without the name of their modality.
    """

    def __init__(self, encoder: Any, columns: slice, genes: "StrArray") -> None:
        self._encoder, self._columns, self._genes = encoder, columns, genes
        self.vocabulary: frozenset[str] = encoder.vocabulary

    def known_genes(self, genes: "StrArray") -> "BoolArray":
        """Which genes are read, shape `(n_genes,)`."""
        known = np.zeros(len(genes), dtype=bool)
        known[self._columns] = self._encoder.known_genes(self._genes)
        return known

    def fewest_genes(self, n_genes: int) -> int:
        """How many genes it needs to know."""
        return int(self._encoder.fewest_genes(len(self._genes)))

    def prepare(self, expression: GeneExpression) -> Any:
        """What the encoder makes of its columns."""
        return self._encoder.prepare(self._of(expression))

    def encode(self, inputs: Any, **options: Any) -> "FloatArray":
        """As the encoder."""
        rows: FloatArray = self._encoder.encode(inputs, **options)
        return rows

    def _of(self, expression: GeneExpression) -> GeneExpression:
        return GeneExpression(expression.matrix[:, self._columns], self._genes, expression.without_symbol)


class _DifferentiablePart(_Part):
    """An encoder through which gradients reach the genes."""

    def gene_gates(self, expression: GeneExpression, device: Any) -> GeneGates:
        """See :class:`scmpt_scverse.encoders.GeneDifferentiable`."""
        return _MovedGates(self._encoder.gene_gates(self._of(expression), device), self._columns.start)


class _MovedGates(GeneGates):
    """Gates of genes whose columns stand behind others."""

    def __init__(self, gates: GeneGates, start: int) -> None:
        self._gates = gates
        self.genes = np.where(gates.genes >= 0, gates.genes + start, -1)

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneGates.__call__`."""
        return self._gates(gates, cells)
