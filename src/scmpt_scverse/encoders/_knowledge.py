"""A cell as its similarity to the gene profiles of all cell types that a text model knows."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from scmpt_scverse._checks import check_positive, check_share
from scmpt_scverse._hardware import resolve_device, resolve_precision
from scmpt_scverse._saved_files import damaged, read_model, undamaged
from scmpt_scverse.encoders._base import Encoder
from scmpt_scverse.encoders._gene_gates import ExpressedGenes, GeneGates
from scmpt_scverse.module import TextAlignment
from scmpt_scverse.pp import log_normalised_cells

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, Precision, StrArray, StrPath
    from scmpt_scverse.pp import GeneExpression

#: Part of every fingerprint; raise it whenever the same model gives different embeddings.
_PREPROCESSING_VERSION = 1
#: Class whose saved models hold profiles; its name is written in them.
_TEXT_MODEL = "SCMMGPT"
#: Cells that are made dense at a time: 20 MB.
_CELLS_AT_ONCE = 1024


@dataclass(frozen=True)
class DirectedCells:
    """Cells as unit vectors over the genes of the profiles.

    Attributes
    ----------
    matrix
        Log-normalised expression divided by its L2 norm, float32 CSR of shape `(n_obs, n_genes)`. Rows have norm 1;
        that of a cell without any of the genes is empty.
    """

    matrix: sparse.csr_matrix

    def __len__(self) -> int:
        return int(self.matrix.shape[0])


class KnowledgeEncoder(Encoder):
    """Scores of a cell for all cell types of a text model, from what texts and marker tables say about its genes.

    A :class:`scmpt_scverse.SCMMGPT` has a gene profile for each type that it was trained on, written by its text tower
    and from marker tables. An embedding holds one score per type. It uses no statistics of the query, so a cell has
    the same scores alone and among others.

    Parameters
    ----------
    folder
        Folder of a saved :class:`scmpt_scverse.SCMMGPT`.
    name
        Name for slots; `None` takes `"knowledge"`.
    model
        Another such folder, read instead of `folder`: `encoders.get("knowledge", model="my_text_model")`.
    min_genes, min_expression
        See :class:`Encoder`. Marker genes hold a quarter to a half of the expression in most cells.

    Raises
    ------
    FileNotFoundError
        There is no saved model.
    ValueError
        The files are damaged or hold a model of another class, or an option is out of range.

    Notes
    -----
    The score of cell `c` for type `t` is the sum over genes `g` of `x[c, g] * p[t, g]`. The direction `x` is expression
    after division by the cell's sum, multiplication by 10,000 and `log(1 + x)` (log-normalised data are used as they
    are), divided by its L2 norm over the genes of the profiles. The profile `p` is the sum of the unit profile that the
    tower writes and the unit profile of the markers, each divided by its scale; the model's third part, the ridge, is
    left out, and a type without markers has the tower alone, times `sqrt(3 / 2)`. So gene `g` contributes
    `x[c, g] * p[t, g]`.

    Examples
    --------
    >>> from scmpt_scverse import datasets, encoders, tl
    >>> adata = datasets.pbmc68k_reduced()
    >>> encoder = encoders.get("knowledge")
    >>> tl.embed(adata, encoder, progress=False)
    >>> len(encoder.types) == adata.obsm["X_knowledge"].shape[1]
    True
    """

    modality: Literal["text"] = "text"

    def __init__(
        self,
        folder: "StrPath",
        *,
        name: str | None = None,
        model: "StrPath | None" = None,
        min_genes: int | None = None,
        min_expression: float = 0.1,
    ) -> None:
        if min_genes is not None:
            check_positive(min_genes, "min_genes")
        check_share(min_expression, "min_expression")
        self.folder = Path(folder if model is None else model).expanduser()
        self.name = name or "knowledge"
        self.min_genes = min_genes
        self.min_expression = min_expression
        content, self._arrays = read_model(self.folder, "", ("genes", "types"), class_name=_TEXT_MODEL)
        with undamaged(self.folder, ValueError):
            self.genes: StrArray = np.array([str(gene) for gene in content["genes"]], dtype=object)
            #: Names of the types, in the order of the scores.
            self.types: tuple[str, ...] = tuple(str(each) for each in content["types"]["names"])
            #: Gene profile of each type, float32 of shape `(n_types, n_genes)`.
            self.profiles = _profiles(TextAlignment.from_arrays(self._arrays))
        if self.profiles.shape != (len(self.types), len(self.genes)):
            raise damaged(self.folder, "its profiles do not fit its types and genes")
        if not all(np.isfinite(values).all() for values in self._arrays.values()):
            raise damaged(self.folder, "it holds values that are not finite")
        self.embedding_dim = len(self.types)

    @property
    def options(self) -> dict[str, int | float | str]:
        """The folder that was read, and the number of types."""
        return {"model": str(self.folder), "n_types": len(self.types)}

    @property
    def vocabulary(self) -> frozenset[str]:
        """The genes of the profiles."""
        return frozenset(self.genes)

    def known_genes(self, genes: "StrArray") -> "BoolArray":
        """Which genes the profiles have, shape `(n_genes,)`."""
        return np.asarray(pd.Index(genes).isin(self.genes))

    def prepare(self, expression: "GeneExpression") -> DirectedCells:
        """The unit vector of each cell over the genes of the profiles."""
        return DirectedCells(self._directions(expression, self._columns(expression.genes)))

    def encode(
        self,
        inputs: DirectedCells,
        *,
        batch_size: "int | Literal['auto']" = "auto",
        device: str = "auto",
        precision: "Precision" = "auto",
    ) -> "FloatArray":
        """See :meth:`Encoder.encode`; profiles are rounded to `precision`, and products are computed in float32."""
        if batch_size != "auto":
            check_positive(batch_size, "batch_size")
        size = _CELLS_AT_ONCE if batch_size == "auto" else batch_size
        target = resolve_device(device)
        matrix = inputs.matrix
        # Only genes that some cell expresses: most data have only some of the genes.
        expressed = np.unique(matrix.indices)
        matrix = matrix[:, expressed]
        profiles = torch.from_numpy(self.profiles[:, expressed])
        profiles = profiles.to(target, resolve_precision(precision, target)).float()
        embeddings = self._empty_embedding(len(inputs))
        for start in range(0, len(inputs), size):
            cells = torch.from_numpy(matrix[start : start + size].toarray()).to(target)  # (batch, n_genes)
            embeddings[start : start + size] = (cells @ profiles.T).cpu().numpy()
        embeddings[np.diff(matrix.indptr) == 0] = np.nan
        return embeddings

    def gene_gates(self, expression: "GeneExpression", device: "torch.device") -> GeneGates:
        """See :class:`scmpt_scverse.encoders.GeneDifferentiable`; a gene with gate 0 adds nothing; norms stay."""
        columns = self._columns(expression.genes)
        return _GatedDirections(self._directions(expression, columns), columns, self.profiles, device)

    def _columns(self, genes: "StrArray") -> "IntArray":
        """Column of the data for each gene of the profiles, -1 where it is missing; shape `(n_genes,)`."""
        columns: IntArray = pd.Index(genes).get_indexer(self.genes)
        return columns

    def _directions(self, expression: "GeneExpression", columns: "IntArray") -> sparse.csr_matrix:
        """Unit vectors of cells, shape `(n_obs, n_genes)`."""
        there = np.flatnonzero(columns >= 0)
        pick = sparse.csr_matrix(
            (np.ones(len(there), dtype=np.float32), (columns[there], there)),
            shape=(len(expression.genes), len(self.genes)),
        )
        values = sparse.csr_matrix(log_normalised_cells(expression.matrix) @ pick)
        values.sort_indices()  # so that sums run in one order
        lengths = np.sqrt(np.asarray(values.power(2).sum(axis=1)).ravel())
        values.data /= np.repeat(lengths, np.diff(values.indptr))
        return values

    def _compute_fingerprint(self) -> str:
        digest = hashlib.sha256(json.dumps([_PREPROCESSING_VERSION, self.genes.tolist(), self.types]).encode())
        for name in sorted(self._arrays):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(self._arrays[name], dtype=np.float32).tobytes())
        return digest.hexdigest()


class _GatedDirections(GeneGates):
    """Scores of cells whose genes are turned down, without rescaling the cells to norm 1.

    Parameters
    ----------
    directions
        Unit vectors of all cells, shape `(n_cells, n_genes)`.
    columns
        Column of the expression for each gene.
    profiles
        Shape `(n_types, n_genes)`.
    device
        Where to compute.
    """

    def __init__(
        self, directions: sparse.csr_matrix, columns: "IntArray", profiles: "FloatArray", device: "torch.device"
    ) -> None:
        expressed = ExpressedGenes(directions)
        self.genes = np.where(expressed.is_gene, columns[expressed.columns], -1)
        values = np.zeros(expressed.columns.shape, dtype=np.float32)
        values[expressed.is_gene] = directions.data
        self._values = torch.from_numpy(values).to(device)
        # Where a cell has fewer genes than others, 0 is added to the first gene.
        self._genes = torch.from_numpy(expressed.columns.clip(min=0)).to(device)
        self._profiles = torch.from_numpy(profiles).to(device)

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneGates.__call__`."""
        values = self._values[cells] * gates
        of_genes = values.new_zeros(len(cells), self._profiles.shape[1]).scatter_add(1, self._genes[cells], values)
        return of_genes @ self._profiles.T


def _profiles(alignment: TextAlignment) -> "FloatArray":
    """The profile of every registered type over all genes, float32."""
    every = np.ones(len(alignment.axes), dtype=bool)
    known = alignment.type_markers @ alignment.axes.T
    parts = alignment.parts(alignment.type_texts, known, every)
    return (parts["tower"] + parts["markers"]).astype(np.float32)
