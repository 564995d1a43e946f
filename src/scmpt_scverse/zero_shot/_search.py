"""How well a text fits cells, beside how well any other text does."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.module import TextAlignment
    from scmpt_scverse.zero_shot._query import Query


def search_scores(
    query: "Query", alignment: "TextAlignment", text: "FloatArray", markers: "FloatArray"
) -> "FloatArray":
    """Share of the texts of registered types that fit a cell less well than the text that is searched for.

    Parameters
    ----------
    query
        The cells.
    alignment
        Writes profiles.
    text
        Centred embedding, shape `(dim,)`; zeros for a text that only names genes.
    markers
        Profile of the genes that the text names, shape `(n_genes,)`; zeros if none.

    Returns
    -------
    In [0, 1], shape `(n_obs,)`: near 1 where no registered type fits as well, about 0.5 where the text says nothing of
    the cell; NaN for a cell that cannot be read.
    """
    others = alignment.profiles(alignment.type_texts, alignment.type_markers @ alignment.axes.T, query.is_used)
    wanted = alignment.profiles(text[None], markers[None], query.is_used)
    score = query.scorer(np.vstack([wanted, others]))

    def share_below(matrix: "sparse.csr_matrix") -> "FloatArray":
        scores = score(matrix)
        share: FloatArray = (scores[:, 1:] < scores[:, :1]).mean(axis=1)
        return np.where(np.isfinite(scores[:, 0]), share, np.nan)

    return query.map(share_below)
