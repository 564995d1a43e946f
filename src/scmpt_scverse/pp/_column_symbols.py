"""Which gene each column of an AnnData is: symbols from `var_names` or a column of `.var`."""

from collections import Counter
from typing import TYPE_CHECKING

from scmpt_scverse._checks import check_key, list_some
from scmpt_scverse.pp._gene_names import GeneNames, read_gene_names

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scmpt_scverse._types import StrArray

#: Names that common pipelines give to the column of symbols (scanpy, CELLxGENE, 10x, Seurat exports).
_SYMBOL_COLUMNS = ("feature_name", "gene_symbols", "gene_symbol", "symbol", "gene_name", "gene_names", "hgnc_symbol")


def gene_names_of(adata: "AnnData", gene_symbols: str | None) -> GeneNames:
    """The gene names of every column of `adata`; arguments and errors as for :func:`gene_symbols_of`."""
    if gene_symbols is None:
        values, where = adata.var_names, "adata.var_names"
    else:
        check_key(gene_symbols, adata.var.columns, "adata.var")
        values, where = adata.var[gene_symbols], f"adata.var[{gene_symbols!r}]"
    names = read_gene_names(values.astype(object))
    names.check(where, None if names.has_symbols else _advice(adata.var, gene_symbols, names))
    return names


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
    Object array of strings, shape `(n_vars,)`. Identifiers of other systems and missing values give `""`: they have no
    symbol. A genome, an identifier or a counter attached to a symbol is left out.

    Raises
    ------
    KeyError
        `gene_symbols` is not a column of `.var`.
    ValueError
        Hardly any column has a symbol, because names are Ensembl ids, probe names, row numbers and the like; or names
        are of two species.
    """
    return gene_names_of(adata, gene_symbols).symbols


def _advice(var: "pd.DataFrame", gene_symbols: str | None, names: GeneNames) -> str:
    """Which other column to read, or what to do with the identifiers."""
    for column in _SYMBOL_COLUMNS:
        is_other = column in var.columns and column != gene_symbols
        if is_other and read_gene_names(var[column].astype(object)).has_symbols:
            return f"Pass `gene_symbols={column!r}`."
    columns = f"Pass `gene_symbols=` with the column of `adata.var` that holds symbols; found {list_some(var.columns)}."
    system = Counter(names.systems).most_common(1)
    return f"{system[0][0].advice} {columns}".strip() if system else columns
