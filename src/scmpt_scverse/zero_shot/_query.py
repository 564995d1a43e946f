"""The cells of a query over the genes of the profiles, read in chunks: once for means, once for scores."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse.modalities import ExpressionFeatures, GeneValues
from scmpt_scverse.pp import looks_like_mouse
from scmpt_scverse.zero_shot._standardisation import Standardisation

if TYPE_CHECKING:
    from scipy import sparse

    from scmpt_scverse._types import BoolArray, FloatArray, StrArray
    from scmpt_scverse.pp import ExpressionReader

#: Fewer cells have no mean to speak of; fewer genes hardly tell types apart, or nothing at all.
_FEW_CELLS, _FEW_GENES, _TOO_FEW_GENES = 50, 100, 10


class Query:
    """Standardised expression of a query.

    Parameters
    ----------
    reader
        Of the cells.
    genes
        Symbols of the profiles, shape `(n_genes,)`.

    Raises
    ------
    ValueError
        The data share too few genes with the profiles, or no gene varies.
    """

    def __init__(self, reader: "ExpressionReader", genes: "StrArray") -> None:
        shared = np.isin(genes, reader.genes)
        if looks_like_mouse(reader.genes):
            raise ValueError(
                f"Expected human gene symbols; found {list_some(reader.genes, limit=4)}: they look like mouse symbols. "
                "Map them to their human orthologs."
            )
        if shared.sum() < _TOO_FEW_GENES:
            raise ValueError(
                f"Expected at least {_TOO_FEW_GENES} of the {len(genes)} genes that the model knows; found "
                f"{shared.sum()} among the {len(reader.genes)} of the data: {list_some(reader.genes, limit=5)}. "
                "Pass `gene_symbols=` with the column of `.var` that holds symbols, or data with more genes."
            )
        features = ExpressionFeatures(genes, np.zeros(len(genes), dtype=np.float32), is_linear=False)
        self._values = GeneValues(reader, features, len(genes))
        self._reader = reader
        self.n_obs = reader.n_obs
        self.standardisation = Standardisation.of(self.chunks())
        #: Genes that scores rest on, shape `(n_genes,)`.
        self.is_used: BoolArray = shared & self.standardisation.varies
        if self.is_used.sum() < _TOO_FEW_GENES:
            raise ValueError(
                f"Expected genes whose expression differs between cells; found {self.is_used.sum()}. Pass cells "
                "of several types."
            )

    def chunks(self) -> "Iterator[sparse.csr_matrix]":
        """Log-normalised expression over the genes of the profiles, cells in order."""
        for chunk in self._reader.chunks():
            yield self._values.prepare(chunk).values

    def scores(self, profiles: "FloatArray") -> "FloatArray":
        """Scores of the cells for profiles `(n_profiles, n_genes)`; NaN for a cell that expresses none of the genes.

        Returns
        -------
        Shape `(n_obs, n_profiles)`; see :meth:`Standardisation.scores`.
        """
        profiles = profiles * self.is_used
        parts = []
        for matrix in self.chunks():
            scores = self.standardisation.scores(matrix, profiles)
            scores[np.diff(matrix.indptr) == 0] = np.nan
            parts.append(scores)
        return np.vstack(parts)

    def warn_if_small(self) -> None:
        """Warn of few genes or cells."""
        n_used = int(self.is_used.sum())
        if n_used < _FEW_GENES:
            warn_user(f"Labels rest on {n_used} genes only, and may be wrong.")
        if self.n_obs < _FEW_CELLS:
            warn_user(
                f"Cells are compared with the mean of the query, which has {self.n_obs} cells only. Annotate them "
                "together with others of the same study."
            )
