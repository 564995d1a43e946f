"""The gene symbol of each column of an AnnData, from `var_names` or a column of `.var`, or that of its ortholog."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse._checks import check_key, list_some
from scmpt_scverse.pp._gene_names import GeneNames, read_gene_names
from scmpt_scverse.pp._orthologs import HUMAN, Organism, Orthologs
from scmpt_scverse.pp._species import check_organism, resolved_organism, species_votes

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, StrArray

#: Names that common pipelines use for the column of symbols (scanpy, CELLxGENE, 10x, Seurat exports).
_SYMBOL_COLUMNS = ("feature_name", "gene_symbols", "gene_symbol", "symbol", "gene_name", "gene_names", "hgnc_symbol")
#: Names of columns of `.var` in which pipelines keep Ensembl ids (10x Genomics, CELLxGENE, scanpy).
ID_COLUMNS = ("gene_ids", "feature_id", "ensembl_id", "gene_id")
#: With a smaller share of their genes in the table, data are of another species or named in another way.
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class OrthologColumns:
    """The human gene of each column, one value per column.

    Attributes
    ----------
    names
        The names of the data.
    symbols
        Human symbols, `""` where there is none.
    by_id, by_alias
        Whether the gene was looked up by an Ensembl id, or by a former symbol.
    is_ambiguous
        Whether several human genes are equally good.
    """

    names: GeneNames
    symbols: "StrArray"
    by_id: "BoolArray"
    by_alias: "BoolArray"
    is_ambiguous: "BoolArray"


def gene_names_of(
    adata: "AnnData", gene_symbols: str | None, organism: Organism = HUMAN, *, ids_are_names: bool = False
) -> GeneNames:
    """The gene names of every column of `adata`; arguments and errors as for :func:`gene_symbols_of`.

    With `ids_are_names`, Ensembl ids are used as symbols where there are no symbols.
    """
    names, where = _given_names(adata, gene_symbols)
    organism = resolved_organism(names, organism, where)
    if isinstance(organism, Orthologs):
        # Parsed like a column of `.var` that holds these symbols.
        return read_gene_names(ortholog_columns(adata, gene_symbols, organism).symbols)
    check_organism(names, organism, where)
    if ids_are_names and (by_ids := names.by_ids()) is not None:
        return by_ids
    names.check(where, None if names.has_symbols else _advice(adata.var, gene_symbols, names))
    return names


def gene_symbols_of(adata: "AnnData", gene_symbols: str | None, organism: Organism = HUMAN) -> "StrArray":
    """The symbol of every column of `adata`; `""` where a column has none.

    Parameters
    ----------
    adata
        Cells; only `.var` is read.
    gene_symbols
        Column of `.var` with gene symbols; `None` takes `var_names`.
    organism
        Species of the cells; see :class:`ExpressionReader`.

    Returns
    -------
    Object array of strings, shape `(n_vars,)`. Identifiers of other systems and missing values give `""`. A genome, an
    identifier or a counter attached to a symbol is removed. For species other than human, the symbol of the human
    ortholog, found by id or symbol.

    Raises
    ------
    KeyError
        `gene_symbols` is not a column of `.var`.
    ValueError
        Hardly any column has a symbol, because names are Ensembl ids, probe names, row numbers and the like; names are
        of two species, or of another one than `organism`; or hardly any is in the table of orthologs.
    """
    return gene_names_of(adata, gene_symbols, organism).symbols


def organism_of(adata: "AnnData", gene_symbols: str | None, organism: Organism) -> Organism:
    """The species to read cells as: a named species as its orthologs; "auto" is inferred from names, with a warning."""
    names, where = _given_names(adata, gene_symbols)
    return resolved_organism(names, organism, where)


def species_told(adata: "AnnData", gene_symbols: str | None) -> str:
    """The species inferred from gene names, several joined by "and"; `""` where none can be inferred."""
    votes = species_votes(_given_names(adata, gene_symbols)[0])
    return " and ".join(votes.several) or (votes.main if votes.is_sure else "")


def ortholog_columns(
    adata: "AnnData", gene_symbols: str | None, orthologs: Orthologs, gene_ids: str | None = None
) -> OrthologColumns:
    """The human gene of each column: by Ensembl id where one is known, else by symbol, else by former symbol.

    Parameters
    ----------
    adata
        Cells; only `.var` is read.
    gene_symbols
        Column of `.var` with symbols, ids, or both; `None` takes `var_names`.
    orthologs
        Orthologs of the species.
    gene_ids
        Column of `.var` with Ensembl ids; `None` looks for one that pipelines write, such as `gene_ids`, or for ids
        among the names.

    Raises
    ------
    KeyError
        A column does not exist.
    ValueError
        Names are of two species or of another one, or hardly any of them is in the table.
    """
    names, where = _given_names(adata, gene_symbols)
    check_organism(names, orthologs, where)
    ids = _ids(adata, names, gene_ids, orthologs)
    current = [orthologs.current(symbol) for symbol in names.symbols]
    found = [
        orthologs.by_id.get(identifier) or orthologs.by_symbol.get(symbol, ())
        for identifier, symbol in zip(ids, current, strict=True)
    ]
    n_found = sum(map(bool, found))
    if n_found < _LEAST_SHARE * len(found):
        raise ValueError(
            f"Expected {orthologs.organism} genes in `{where}`; found {n_found} of {len(found)} in the table of "
            f"orthologs, and names such as {list_some(names.given, limit=4)}. For human cells leave `organism=` out; "
            "else pass `gene_symbols=` with the column of symbols or Ensembl ids, or the right `organism=`."
        )
    by_id = np.array([identifier in orthologs.by_id for identifier in ids], dtype=bool)
    return OrthologColumns(
        names,
        np.array([orthologs.chosen(humans) for humans in found], dtype=object),
        by_id,
        ~by_id & (np.array(current, dtype=object) != names.symbols),
        np.array([len(humans) > 1 for humans in found], dtype=bool),
    )


def _given_names(adata: "AnnData", gene_symbols: str | None) -> tuple[GeneNames, str]:
    if gene_symbols is None:
        return read_gene_names(adata.var_names.astype(object)), "adata.var_names"
    check_key(gene_symbols, adata.var.columns, "adata.var")
    return read_gene_names(adata.var[gene_symbols].astype(object)), f"adata.var[{gene_symbols!r}]"


def _ids(adata: "AnnData", names: GeneNames, gene_ids: str | None, orthologs: Orthologs) -> list[str]:
    """The Ensembl id of each column, `""` or anything else where none is known."""
    if gene_ids is not None:
        check_key(gene_ids, adata.var.columns, "adata.var")
        columns = [gene_ids]
    else:
        columns = [each for each in ID_COLUMNS if each in adata.var]
    read = [list(map(_without_version, names.given))]
    for column in columns:
        found = read_gene_names(adata.var[column].astype(object))
        check_organism(found, orthologs, f"adata.var[{column!r}]")
        read.append(list(map(_without_version, found.given)))
    # The column with the most known ids: a column of that name may hold something else.
    return max(reversed(read), key=lambda values: sum(value in orthologs.by_id for value in values))


def _without_version(identifier: str) -> str:
    return identifier.split(".")[0]


def _advice(var: "pd.DataFrame", gene_symbols: str | None, names: GeneNames) -> str:
    """Which column to read instead, or what to do with the identifiers."""
    for column in _SYMBOL_COLUMNS:
        is_other = column in var.columns and column != gene_symbols
        if is_other and read_gene_names(var[column].astype(object)).has_symbols:
            return f"Pass `gene_symbols={column!r}`."
    columns = f"Pass `gene_symbols=` with the column of `adata.var` that holds symbols; found {list_some(var.columns)}."
    system = Counter(names.systems).most_common(1)
    return f"{system[0][0].advice} {columns}".strip() if system else columns
