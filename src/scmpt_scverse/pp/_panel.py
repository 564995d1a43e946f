"""Find the genes of a panel in a reference."""

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_no_cells, list_some, type_name, warn_user
from scmpt_scverse._labels import label_text
from scmpt_scverse.pp._column_symbols import ID_COLUMNS
from scmpt_scverse.pp._gene_names import GeneNames, read_gene_names
from scmpt_scverse.pp._gene_overlap import nearest_cause
from scmpt_scverse.pp._identifier_systems import ENSEMBL_GENES
from scmpt_scverse.pp._orthologs import Orthologs

if TYPE_CHECKING:
    from scmpt_scverse._types import StrArray

_ENSEMBL = re.compile(ENSEMBL_GENES.pattern, re.IGNORECASE)
#: Cells are read by relative expression, which a single gene does not have.
_FEWEST_GENES = 2
#: Values of a column that are checked to see whether it holds Ensembl ids.
_N_TRIED = 100
#: How the warning about genes that a reference lacks begins.
NOT_IN_REFERENCE = "Not all of `genes` are in the reference"


def panel_symbols(
    genes: Iterable[object], var: pd.DataFrame | None, symbols: "StrArray", orthologs: Orthologs | None = None
) -> "StrArray":
    """The genes of a panel that a reference has, as its symbols and in its order.

    Parameters
    ----------
    genes
        Names as in data: symbols with or without what pipelines attach to them, or Ensembl ids.
    var
        `.var` of the reference: Ensembl ids are looked up in its names and in columns such as `gene_ids`. `None` looks
        up no ids.
    symbols
        Symbol of each column of the reference, `""` for none, shape `(n_vars,)`.
    orthologs
        Orthologs that the reference is read through, if it is not human: `genes` may then name its own genes or their
        human orthologs.

    Returns
    -------
    Distinct symbols, shape `(n_genes,)`.

    Raises
    ------
    TypeError
        `genes` is not a list of names.
    ValueError
        It is empty, fewer than two of its genes are in the reference, or more match only in upper case than match.

    Warns
    -----
    UserWarning
        Some of the genes are not in the reference.
    """
    check_no_cells(genes, "genes", advice="the names of its genes, such as `query.var_names`")
    if isinstance(genes, str | bytes | pd.DataFrame) or not isinstance(genes, Iterable):
        raise TypeError(
            f"Expected a list of gene names as `genes`; found {type_name(genes)}. Pass one such as `query.var_names`."
        )
    names = read_gene_names(genes)
    if not len(names.given):
        raise ValueError("Expected at least two genes in `genes`; found none. Pass names such as `query.var_names`.")
    known = pd.Index(symbols[symbols != ""]).unique()
    if orthologs is not None:
        names = read_gene_names(_human_names(names, orthologs, frozenset(known)))
    ids = {} if var is None else _symbols_by_id(var, symbols)
    wanted = only_symbols(names, known)
    for place in np.flatnonzero(wanted == ""):
        wanted[place] = ids.get(_identifier(names.given[place]), names.symbols[place])
    is_known = known.get_indexer(wanted) >= 0
    panel: StrArray = known[known.isin(wanted[is_known])].to_numpy(dtype=object)
    missing = pd.Index(names.given[~is_known]).unique()
    n_in_upper_case = sum(name.upper() in known for name in wanted[~is_known])
    # A few genes in the spelling of another species match by chance.
    if len(panel) < _FEWEST_GENES or n_in_upper_case > max(len(panel), len(missing) / 2):
        if not names.has_symbols and not len(panel):
            cause = f"they are {names.unreadable()}"
        elif len(missing):
            cause = nearest_cause(wanted, is_known, frozenset(known), where="the reference")
        else:
            cause = "the list is too short"
        raise ValueError(
            f"Expected at least {_FEWEST_GENES} genes in `genes` that the reference has, in its spelling; found "
            f"{len(panel)} of {len(panel) + len(missing)}. Nearest cause: {cause}. Pass names as the reference has "
            f"them, such as {list_some(known, 3)}."
        )
    if len(missing):
        warn_user(
            f"{NOT_IN_REFERENCE}: {len(missing)} of {len(missing) + len(panel)} are not, such as "
            f"{list_some(missing, 5)}. The model reads the other {len(panel)}."
        )
    return panel


def _human_names(names: GeneNames, orthologs: Orthologs, known: frozenset[str]) -> list[str]:
    """The human gene of each name; names that are human genes already, or have none, are unchanged."""
    found = []
    for given, symbol in zip(names.given, names.symbols, strict=True):
        own = orthologs.by_id.get(str(given).split(".")[0]) or orthologs.by_symbol.get(orthologs.current(symbol), ())
        found.append(symbol if symbol in known else orthologs.chosen(own) or given)
    return found


def only_symbols(names: GeneNames, wanted: Collection[str]) -> "StrArray":
    """The symbols of the wanted columns, `""` for the others.

    A name that is wanted as given is used as given: in a panel of HLA genes only, `HLA-` is not a prefix to remove.
    """
    index = pd.Index(wanted)
    symbols = np.where(index.get_indexer(names.given) >= 0, names.given, names.symbols)
    only: StrArray = np.where(index.get_indexer(symbols) >= 0, symbols, "").astype(object)
    return only


def _identifier(name: object) -> str:
    """An Ensembl id without its version; `""` for any other name."""
    text = label_text(name).strip()
    return text.split(".")[0].upper() if _ENSEMBL.fullmatch(text) else ""


def _holds_ids(column: "pd.Series") -> bool:
    """Whether a column holds Ensembl ids, whatever it is called: most of its first values are such ids."""
    if column.dtype.kind in "biufcmM":
        return False
    some = column.dropna().head(_N_TRIED)
    return len(some) > 0 and sum(map(bool, map(_identifier, some))) > len(some) / 2


def _symbols_by_id(var: pd.DataFrame, symbols: "StrArray") -> dict[str, str]:
    """The symbol of each Ensembl id in `.var` of a reference."""
    named = [column for column in ID_COLUMNS if column in var]
    others = [column for column in var if column not in named and _holds_ids(var[column])]
    columns = [var.index, *(var[column] for column in [*others, *named])]
    pairs = {
        _identifier(name): symbol for names in columns for name, symbol in zip(names, symbols, strict=True) if symbol
    }
    pairs.pop("", None)
    return pairs
