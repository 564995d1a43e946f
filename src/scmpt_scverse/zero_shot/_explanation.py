"""Which genes, and which part of a profile, a score comes from: it is linear in the standardised cell."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._checks import did_you_mean, list_some
from scmpt_scverse._labels import label_text
from scmpt_scverse.zero_shot._matching import matching_candidates

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray
    from scmpt_scverse.pp import GeneExpression
    from scmpt_scverse.zero_shot._annotate import Refine
    from scmpt_scverse.zero_shot._candidates import Candidates
    from scmpt_scverse.zero_shot._query import Query
    from scmpt_scverse.zero_shot._text_model import TextModel


@dataclass(frozen=True)
class GeneShares:
    """What each gene adds to the score of one label in each of some cells.

    Attributes
    ----------
    expression
        Of the cells; its genes are the columns of all shares.
    is_used
        Genes that scores rest on, shape `(n_genes,)`.
    by_part
        `"tower"`, `"ridge"` and `"markers"`, each of shape `(n_cells, n_genes)`; a row sums to what the part adds to
        the score.
    """

    expression: "GeneExpression"
    is_used: "BoolArray"
    by_part: dict[str, sparse.csr_matrix]

    @property
    def total(self) -> sparse.csr_matrix:
        """Shares in the score; a row sums to it."""
        return sum(self.by_part.values(), sparse.csr_matrix(next(iter(self.by_part.values())).shape))

    @property
    def scores(self) -> "FloatArray":
        """The scores, shape `(n_cells,)`."""
        return np.asarray(self.total.sum(axis=1)).ravel()


def gene_shares(
    query: "Query", parts: "Mapping[str, FloatArray]", genes: "StrArray", rows: "IntArray", labels: "IntArray"
) -> GeneShares:
    r"""Shares of genes in scores.

    Parameters
    ----------
    query
        All cells of the query.
    parts
        Of the profiles of all labels, as :meth:`scmpt_scverse.module.TextAlignment.parts` gives them.
    genes
        Symbols of the profiles, shape `(n_genes,)`.
    rows
        Cells to explain, ascending, shape `(n_cells,)`.
    labels
        Row of the profile that is explained in each of them, shape `(n_cells,)`.

    Notes
    -----
    The score of a cell for a profile :math:`w` is :math:`\sum_g z_g w_g / |z|` with the standardised expression
    :math:`z`, so the share of a gene is :math:`z_g w_g / |z|`. A gene that a cell does not express has
    :math:`z_g < 0`, and counts in favour of a label whose profile has it below 0.
    """
    expression, matrix = query.take(rows)
    standardised = query.standardisation.dense(matrix).astype(np.float64)
    direction = standardised / query.standardisation.lengths(matrix)[:, None]
    used = np.flatnonzero(query.is_used)
    columns = pd.Index(expression.genes).get_indexer(genes[used])
    shape = (len(rows), len(expression.genes))
    by_part = {}
    for name, weights in parts.items():
        shares = direction[:, used] * weights[labels][:, used]
        places = np.tile(columns, len(rows)), np.arange(len(rows) + 1) * len(columns)
        found = sparse.csr_matrix((shares.ravel(), *places), shape=shape)
        found.sort_indices()
        by_part[name] = found
    is_used = np.zeros(len(expression.genes), dtype=bool)
    is_used[columns] = True
    return GeneShares(expression, is_used, by_part)


def checked_label(label: str | None, candidates: "Candidates") -> str | None:
    """The candidate that a label to explain means, in any words; `ValueError` where it is none, or the only one."""
    names = list(candidates.names)
    label = None if label is None else label_text(label)
    if label is not None and label not in names:
        meant = matching_candidates([label], candidates)[label]
        label = names[meant[0]] if len(meant) == 1 else label
    if label is not None and label not in names:
        raise ValueError(
            f"Expected one of the labels to choose from, {list_some(names)}; found {label!r}."
            f"{did_you_mean(label, names)} Pass it in `labels=`, too."
        )
    if len(names) < 2:
        raise ValueError(
            f"Expected at least two labels, so that one can be put above another; found {list_some(names)}. Pass "
            "`labels=` with others that the cell may be."
        )
    return label


def explained_cell(
    model: "TextModel",
    query: "Query",
    candidates: "Candidates",
    row: int,
    label: str | None,
    refine: "Refine",
    *,
    name: str,
) -> pd.DataFrame:
    """See :meth:`scmpt_scverse.SCMMGPT.explain_cell`; the cell is in a row of the query, and called `name`.

    `label` is what :func:`checked_label` gives.
    """
    names = list(candidates.names)
    parts = model.parts(query, candidates)
    matrix = query.take(np.array([row]))[1]
    if matrix.nnz == 0:
        raise ValueError(
            f"Expected a cell that expresses genes which the model knows; {name!r} expresses none. Choose another cell."
        )
    if label is None:
        label = names[model.probabilities(query, candidates, refine)[row].argmax()]
    code = names.index(label)
    by_label = pd.DataFrame(
        {part: query.standardisation.scores(matrix, weights)[0] for part, weights in parts.items()}, index=names
    )
    others = by_label.drop(index=label)
    runner_up = str(others.sum(axis=1).idxmax())
    margin = by_label.loc[label] - by_label.loc[runner_up]
    shares = gene_shares(query, parts, model.genes, np.array([row]), np.array([code]))
    columns = {"total": shares.total, **shares.by_part, "value": shares.expression.matrix}
    table = pd.DataFrame(
        {column: np.asarray(values.todense()).ravel() for column, values in columns.items()},
        index=pd.Index(shares.expression.genes.astype(object), name="gene"),
    )
    table = table[shares.is_used].sort_values("total", ascending=False, kind="stable")
    difference = float(by_label.loc[label].sum())
    table.attrs.update(
        label=label,
        difference=difference,
        completeness_error=abs(float(table["total"].sum()) - difference) / max(abs(difference), 1e-12),
        by_part=by_label.loc[label].to_dict(),
        runner_up=runner_up,
        margin_by_part=margin.to_dict(),
        decided_by=str(margin.idxmax()),
    )
    return table
