"""Forms of cell sentences, by name."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._checks import check_choice
from scmpt_scverse.pp._cell_sentence import CellSentences, rank_genes, sentences_of
from scmpt_scverse.pp._gene_names import read_gene_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from scmpt_scverse._types import FloatArray, StrPath
    from scmpt_scverse.pp._expression import GeneExpression

_Form: TypeAlias = "Callable[[GeneExpression, int | None, pd.Series | None], CellSentences]"

#: Words for expression: below the median of a cell's expressed genes, above it, and in the top tenth.
_LEVELS = ("low", "high", "very high")
_QUANTILES = (0.5, 0.9)
#: What the second column of the gene table holds, for the forms that need a table.
TABLE_OF = {"tfidf": "the share of cells that express it", "full_names": "its full name"}


def sentences_in_form(
    form: str, expression: "GeneExpression", max_genes: int | None, table: pd.Series | None = None
) -> CellSentences:
    """The cell sentences of one chunk.

    In every form, index `i` belongs to gene `i % n_genes`.

    Parameters
    ----------
    form
        `"ranked"`; `"binned"`, every gene followed by a word for its expression; `"tfidf"`, ordered by expression times
        one minus the logarithm of the share of cells that express the gene; or `"full_names"`.
    expression
        The cells.
    max_genes
        Most genes per sentence; `None` for no limit.
    table
        Gene to the value named in :data:`TABLE_OF`. Genes that are missing from it are treated like the rarest one
        (`"tfidf"`) or keep their symbol (`"full_names"`).
    """
    found: CellSentences = _FORMS[form](expression, max_genes, table)
    return found


def read_table(path: "StrPath", form: str) -> pd.Series:
    """A gene table from a `.csv` or `.tsv` file: symbols in the first column, values in the second."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"`sentence={form!r}` needs a table of each gene and {TABLE_OF[form]}; none at {path}.")
    columns = pd.read_csv(path, sep="," if ".csv" in Path(path).suffixes else "\t", usecols=[0, 1]).dropna()
    names = read_gene_names(columns.iloc[:, 0], are_unique=False)
    names.check(str(path))
    table = pd.Series(columns.iloc[:, 1].to_numpy(), index=names.symbols)
    table = table[(table.index != "") & ~table.index.duplicated()]
    if form == "tfidf" and not (pd.api.types.is_numeric_dtype(table) and table.between(0, 1).all()):
        raise ValueError(f"Expected shares from 0 to 1 in the second column of {path}; found other values.")
    return table


def check_form(form: str, table: "StrPath | None") -> None:
    """Raise `ValueError` for an unknown form, or one whose table is missing."""
    check_choice(form, FORMS, "sentence")
    if form in TABLE_OF and table is None:
        raise ValueError(
            f"`sentence={form!r}` needs `sentence_table=`: a file with each gene and {TABLE_OF[form]}, in two columns."
        )


def _ranked(expression: "GeneExpression", max_genes: int | None, table: pd.Series | None) -> CellSentences:
    return sentences_of(expression, max_genes)


def _binned(expression: "GeneExpression", max_genes: int | None, table: pd.Series | None) -> CellSentences:
    matrix, n_genes = expression.matrix, len(expression.genes)
    level = np.concatenate([np.empty(0, dtype=np.int64), *map(_levels, np.split(matrix.data, matrix.indptr[1:-1]))])
    level_of = sparse.csr_matrix((level + 1, matrix.indices, matrix.indptr), shape=matrix.shape)
    indptr, ranked = rank_genes(matrix, max_genes)
    cell = np.repeat(np.arange(matrix.shape[0]), np.diff(indptr))
    words = ranked + n_genes * (np.asarray(level_of[cell, ranked]).ravel() - 1) if len(ranked) else ranked
    return CellSentences(indptr, words, np.concatenate([_with_word(expression.genes, word) for word in _LEVELS]))


def _levels(values: "FloatArray") -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    if not len(values):
        return np.empty(0, dtype=np.int64)
    return np.searchsorted(np.quantile(values, _QUANTILES), values, side="right").astype(np.int64)


def _with_word(
    genes: "np.ndarray[tuple[int], np.dtype[np.object_]]", word: str
) -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
    return np.array([f"{gene} {word}" for gene in genes], dtype=object)


def _tfidf(expression: "GeneExpression", max_genes: int | None, table: pd.Series | None) -> CellSentences:
    assert table is not None
    smallest = max(float(table[table > 0].min()), 1e-6)
    share = table.reindex(expression.genes).fillna(smallest).clip(lower=smallest).to_numpy(dtype=np.float64)
    weighted = sparse.csr_matrix(expression.matrix @ sparse.diags(1 - np.log(share)))  # a gene of every cell stays
    weighted.sort_indices()  # a product leaves columns unordered, and ties are broken by column
    return CellSentences(*rank_genes(weighted, max_genes), expression.genes)


def _full_names(expression: "GeneExpression", max_genes: int | None, table: pd.Series | None) -> CellSentences:
    assert table is not None
    names = [str(table.get(gene, gene)) for gene in expression.genes]
    return CellSentences(*rank_genes(expression.matrix, max_genes), np.array(names, dtype=object))


_FORMS: "dict[str, _Form]" = {"ranked": _ranked, "binned": _binned, "tfidf": _tfidf, "full_names": _full_names}
FORMS = tuple(_FORMS)
