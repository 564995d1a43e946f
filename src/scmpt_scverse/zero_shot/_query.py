"""The cells of a query over the genes of the profiles, read in chunks: once for means, once for scores."""

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse.modalities import ExpressionFeatures, GeneValues
from scmpt_scverse.module import Standardisation
from scmpt_scverse.pp import ExpressionScale

if TYPE_CHECKING:
    from scipy import sparse

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray
    from scmpt_scverse.pp import ExpressionReader, GeneExpression

#: Fewer cells have no mean to speak of; fewer genes hardly tell types apart, or nothing at all.
_FEW_CELLS, _FEW_GENES, _TOO_FEW_GENES = 50, 100, 10
#: Share of the background in what cells are compared with. On the training studies, each left out, macro F1 of raw
#: scores was .764 for 0, .802 for .25, .824 for .5, .822 for .75 and .809 for 1, the gain where one type is frequent.
BACKGROUND_SHARE = 0.5


class Query:
    """Standardised expression of a query.

    Parameters
    ----------
    reader
        Of the cells.
    genes
        Symbols of the profiles, shape `(n_genes,)`.
    background
        Means that do not depend on the query.
    share
        See :meth:`against`.

    Raises
    ------
    ValueError
        The data share too few genes with the profiles, or no gene varies.
    """

    def __init__(
        self,
        reader: "ExpressionReader",
        genes: "StrArray",
        background: Standardisation | None = None,
        share: float = 0.0,
    ) -> None:
        shared = pd.Index(genes).isin(reader.genes)  # numpy compares each with each
        if shared.sum() < _TOO_FEW_GENES:
            raise ValueError(
                f"Expected at least {_TOO_FEW_GENES} of the {len(genes)} genes that the model knows; found "
                f"{shared.sum()} among the {len(reader.genes)} of the data: {list_some(reader.genes, limit=5)}. "
                "Pass `gene_symbols=` with the column of `.var` that holds symbols, or data with more genes."
            )
        features = ExpressionFeatures(genes, np.zeros(len(genes), dtype=np.float32), ExpressionScale(is_linear=False))
        self._values = GeneValues(reader, features, len(genes))
        self._reader = reader
        self.n_obs = reader.n_obs
        self._shared = shared
        is_readable = []

        def noted() -> "Iterator[sparse.csr_matrix]":
            for matrix in self.chunks():
                is_readable.append(_expressing(matrix))
                yield matrix

        self.own = Standardisation.of(noted())
        #: Cells that express any gene of the profiles, shape `(n_obs,)`; of others nothing can be said.
        self.is_readable: BoolArray = np.concatenate(is_readable)
        self._compare(background or self.own, share if background else 0.0)

    def against(self, background: Standardisation, share: float) -> Self:
        """The same cells, compared with a mean between their own and that of the background.

        Parameters
        ----------
        background
            Mean and scale of each gene, over other studies.
        share
            Of the background, in [0, 1]. With 0, a cell is described by how it differs from the query, so its most
            frequent type has no profile of its own; with 1, a cell is judged by itself, and by what differs between
            studies, too.
        """
        other = copy.copy(self)
        other._compare(background, share)
        return other

    def _compare(self, background: Standardisation, share: float) -> None:
        self.share = share
        # A gene that is 0 in all cells may not have been measured, so only judging cells by themselves takes it.
        is_known = background.varies if share == 1 else self.own.varies
        #: Genes that scores rest on, shape `(n_genes,)`.
        self.is_used: BoolArray = self._shared & is_known
        self.standardisation = self.own.toward(background, share).of_genes(self.is_used)
        if self.is_used.sum() < _TOO_FEW_GENES:
            raise ValueError(
                f"Expected genes whose expression differs between cells; found {self.is_used.sum()}. Pass cells "
                "of several types, or set `model.background = 1` to judge each by itself."
            )

    def chunks(self) -> "Iterator[sparse.csr_matrix]":
        """Log-normalised expression over the genes of the profiles, cells in order."""
        for chunk in self._reader.chunks():
            yield self._values.prepare(chunk).values

    def take(self, rows: "IntArray") -> "tuple[GeneExpression, sparse.csr_matrix]":
        """Some cells, of ascending row numbers: their expression as it is, and as :meth:`chunks` gives it."""
        expression = self._reader.take(rows)
        return expression, self._values.prepare(expression).values

    def scores(self, profiles: "FloatArray") -> "FloatArray":
        """Scores of the cells for profiles `(n_profiles, n_genes)`; NaN for a cell that expresses none of the genes.

        Returns
        -------
        float32, shape `(n_obs, n_profiles)`; see :meth:`Standardisation.scores`.
        """
        return self.map(self.scorer(profiles))

    def scorer(self, profiles: "FloatArray") -> "Callable[[sparse.csr_matrix], FloatArray]":
        """:meth:`scores` of one chunk of cells, in the dtype of the profiles."""
        score = self.standardisation.scorer(profiles * self.is_used)

        def scores_of(matrix: "sparse.csr_matrix") -> "FloatArray":
            scores = score(matrix)
            scores[~_expressing(matrix)] = np.nan
            return scores

        return scores_of

    def map(self, function: "Callable[[sparse.csr_matrix], FloatArray]") -> "FloatArray":
        """What a function makes of each chunk, for all cells; float32, one row per cell."""
        found: FloatArray = np.empty(0, dtype=np.float32)
        start = 0
        for matrix in self.chunks():
            part = function(matrix)
            if not start:
                found = np.empty((self.n_obs, *part.shape[1:]), dtype=np.float32)
            found[start : start + len(part)] = part
            start += len(part)
        return found

    def warn_if_small(self) -> None:
        """Warn of few genes or cells."""
        n_used = int(self.is_used.sum())
        if n_used < _FEW_GENES:
            warn_user(f"Labels rest on {n_used} genes only, and may be wrong.")
        if self.n_obs < _FEW_CELLS and self.share < 1:
            warn_user(
                f"Cells are compared, in part, with the mean of the query, which has {self.n_obs} cells only. Annotate "
                "them together with others of the same study, or set `model.background = 1` to judge each by itself."
            )


def _expressing(matrix: "sparse.csr_matrix") -> "BoolArray":
    """Which cells express any of the genes, shape `(n_obs,)`."""
    expressing: BoolArray = np.diff(matrix.indptr) > 0
    return expressing
