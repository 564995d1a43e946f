"""Which gene a column is: symbols from `var_names` or a column of `.var`, Ensembl ids recognised as what they are."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse._checks import check_key, list_some

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, StrArray

#: Ensembl gene ids of any species, with or without version suffix: ENSG00000156738, ENSMUSG00000026395.7,
#: ENSG00000182378.15_PAR_Y. The symbol ENSA has no digits and is not one.
_ENSEMBL_ID = re.compile(r"^ENS[A-Z]{0,6}G\d{11}(\.\d+)?(_PAR_Y)?$")
#: Names that common pipelines give to the column of symbols (scanpy, CELLxGENE, 10x, Seurat exports).
_SYMBOL_COLUMNS = ("feature_name", "gene_symbols", "gene_symbol", "symbol", "gene_name", "gene_names", "hgnc_symbol")
_MISSING = frozenset({"", "nan", "NaN", "None", "<NA>"})


def is_ensembl_id(name: str) -> bool:
    """Whether `name` is an Ensembl gene id, with or without version suffix."""
    return _ENSEMBL_ID.match(name) is not None


def looks_like_mouse(symbols: "StrArray") -> bool:
    """Whether most symbols are written as those of mouse genes are: `Cd3d`, where the human gene is `CD3D`."""
    return bool(len(symbols)) and sum(map(_is_capitalised, symbols)) > 0.5 * len(symbols)


def _is_capitalised(symbol: str) -> bool:
    return symbol[:1].isupper() and symbol[1:] != symbol[1:].upper() and symbol[1:] == symbol[1:].lower()


def gene_symbols_of(adata: "AnnData", gene_symbols: str | None) -> "StrArray":
    """The symbol of every column of `adata`; `""` where a column has none.

    Parameters
    ----------
    adata
        Cells; only `.var` is read.
    gene_symbols
        Column of `.var` with gene symbols; `None` takes `var_names`.

    Returns
    -------
    Object array of strings, shape `(n_vars,)`. Ensembl ids and missing values give `""`: they have no symbol.

    Raises
    ------
    KeyError
        `gene_symbols` is not a column of `.var`.
    ValueError
        No column has a symbol: all names are Ensembl ids, row numbers or missing.
    """
    if gene_symbols is None:
        values, where = adata.var_names, "adata.var_names"
    else:
        check_key(gene_symbols, adata.var.columns, "adata.var")
        values, where = adata.var[gene_symbols], f"adata.var[{gene_symbols!r}]"
    names = np.array([str(value).strip() for value in values.astype(object)], dtype=object)
    is_ensembl = _where(is_ensembl_id, names)
    is_missing = _where(_MISSING.__contains__, names)
    symbols = np.where(is_ensembl | is_missing, "", names)
    usable = symbols != ""
    if not usable.any():
        kind = "Ensembl ids" if is_ensembl.any() else "missing"
        raise ValueError(_no_symbols(where, kind, names, adata.var, gene_symbols))
    if _where(str.isdecimal, symbols[usable]).all():
        raise ValueError(_no_symbols(where, "numbers, not names", names, adata.var, gene_symbols))
    return symbols


def _where(condition: "Callable[[str], bool]", names: "StrArray") -> "BoolArray":
    return np.fromiter((condition(name) for name in names), dtype=bool, count=len(names))


def _no_symbols(where: str, kind: str, names: "StrArray", var: "pd.DataFrame", gene_symbols: str | None) -> str:
    candidates = [column for column in _SYMBOL_COLUMNS if column in var.columns and column != gene_symbols]
    advice = (
        f"Pass `gene_symbols={candidates[0]!r}`."
        if candidates
        else f"Pass `gene_symbols=` with the column of `adata.var` that holds symbols; found {list_some(var.columns)}."
    )
    return f"Expected gene symbols in `{where}`; found {kind} such as {list_some(names, limit=3)}. {advice}"


@dataclass(frozen=True)
class GeneOverlap:
    """How much of a data set an encoder can read.

    Attributes
    ----------
    n_genes
        Distinct gene symbols in the data.
    n_matched
        Those that the encoder knows.
    expression_fraction
        Median over cells with any expression of the share of a cell's expression in matched genes, in [0, 1].
    n_without_symbol
        Columns with an Ensembl id or no name at all: no encoder reads them.
    n_merged
        Columns summed into another column of the same symbol.
    n_empty_cells
        Cells without expression in any matched gene; their embedding is NaN.
    """

    n_genes: int
    n_matched: int
    expression_fraction: float
    n_without_symbol: int
    n_merged: int
    n_empty_cells: int


def nearest_cause(symbols: "StrArray", known: "BoolArray", vocabulary: frozenset[str]) -> str:
    """Why symbols miss the vocabulary, in words: letter case, version suffixes, or simply other genes."""
    unmatched = symbols[~known]
    in_upper_case = sum(name.upper() in vocabulary for name in unmatched)
    if unmatched.size and in_upper_case > 0.5 * unmatched.size:
        return (
            f"{in_upper_case} of the {unmatched.size} unmatched names match in upper case "
            f"(for instance {list_some(unmatched, limit=3)}): another species, or symbols in lower case"
        )
    without_suffix = sum(name.rsplit(".", 1)[0] in vocabulary for name in unmatched)
    if unmatched.size and without_suffix > 0.5 * unmatched.size:
        return f"{without_suffix} of the {unmatched.size} unmatched names match without their `.N` suffix"
    return f"names such as {list_some(unmatched, limit=5)} are not in the encoder's vocabulary"
