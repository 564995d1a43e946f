"""Merge marker gene tables: types with the same meaning become one, and weights count how many rows agree."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_choice, list_some
from scmpt_scverse.knowledge._cell_ontology import CellOntology, cell_ontology
from scmpt_scverse.knowledge._gene_finder import GeneFinder
from scmpt_scverse.knowledge._mapping import term_of
from scmpt_scverse.knowledge._marker_columns import MARKER_COLUMNS
from scmpt_scverse.knowledge._marker_rows import organism_by_spelling
from scmpt_scverse.knowledge._markers import read_markers
from scmpt_scverse.knowledge._normal_form import normal_form

if TYPE_CHECKING:
    from scmpt_scverse._types import StrPath

#: A type counts as one of a tissue if at least this share of its rows is from that tissue.
_MIN_SHARE = 0.8


def merge_markers(
    tables: "StrPath | pd.DataFrame | Iterable[StrPath | pd.DataFrame | Mapping[str, Sequence[str]]]",
    *,
    by: Literal["term", "name"] = "term",
    genes: Iterable[str] | None = None,
    ontology: CellOntology | None = None,
) -> pd.DataFrame:
    """One table of marker genes from several.

    Parameters
    ----------
    tables
        Each as :func:`read_markers` takes or gives it.
    by
        Types that are merged: those with the same Cell Ontology term (`"term"`; by name where there is none), or with
        the same normalised name, up to case, plural and word order (`"name"`).
    genes
        Gene symbols of a data set. Rows of its organism get its spelling, and proteins become their genes: `CD20`
        becomes MS4A1, `CD3` becomes CD3D, CD3E and CD3G. Other names stay as they are.
    ontology
        As in :func:`map_labels`; used for `by="term"` only.

    Returns
    -------
    One row per type, gene and organism; types in alphabetical order, genes by decreasing weight. Columns as in
    :func:`read_markers`, with

    `type`
        Name of the term, or the most frequent spelling.
    `weight`
        `log1p(n)`, where `n` is the number of rows for the pair with a positive weight minus the number with a negative
        one; `-log1p(-n)` if `n` is negative. Pairs with `n = 0` are left out.
    `source`, `tissue`
        All that occur, separated by `"; "`.
    `term`
        Cell Ontology id; missing where there is none, and with `by="name"`.

    Raises
    ------
    ValueError
        `tables` is empty, `by` is unknown, or no table names any of `genes`; and as in :func:`read_markers`.
    FileNotFoundError
        As in :func:`read_markers`.
    ImportError
        As in :func:`read_markers` and :func:`cell_ontology`.
    """
    check_choice(by, ("term", "name"), "by")
    given = [tables] if isinstance(tables, pd.DataFrame | Mapping | str | PathLike) else list(tables)
    if not given:
        raise ValueError("Expected at least one table of markers in `tables`; found none. Pass a list of tables.")
    rows = pd.concat([read_markers(table) for table in given], ignore_index=True)
    if genes is not None:
        rows = _as_symbols(rows, genes)
    types = _types(rows, ontology or cell_ontology()) if by == "term" else _types_by_name(rows)
    rows = rows.drop(columns="term", errors="ignore").join(types, on="type")
    groups = rows.groupby(["key", "organism", "gene"], sort=True)
    rows["group"] = groups.ngroup()
    merged = groups.agg(type=("name", "first"), term=("term", "first"), group=("group", "first")).reset_index()
    agreement = np.sign(rows["weight"]).groupby(rows["group"]).sum().reindex(merged["group"]).to_numpy()
    merged["weight"] = np.sign(agreement) * np.log1p(np.abs(agreement))
    for column in ("source", "tissue"):
        values = _all_values(rows, column).reindex(merged["group"])
        # An object column rather than an array, from which pandas 3 would infer text and turn None into NaN.
        merged[column] = values.astype(object).where(values.notna(), None).set_axis(merged.index)
    merged = merged[merged["weight"] != 0]
    merged = merged.sort_values(["type", "organism", "weight", "gene"], ascending=[True, True, False, True])
    return merged[[*MARKER_COLUMNS, "term"]].reset_index(drop=True)


def _as_symbols(rows: pd.DataFrame, genes: Iterable[str]) -> pd.DataFrame:
    finder = GeneFinder(genes)
    organism = organism_by_spelling(pd.Series(list(finder), dtype=object))
    is_same = rows["organism"] == organism
    found = {name: list(finder.symbols(name)) for name in rows.loc[is_same, "gene"].unique()}
    if not any(found.values()):
        raise ValueError(
            f"Expected symbols of {organism} genes that the tables name, such as "
            f"{list_some(rows['gene'].unique(), limit=3)}, in `genes`; found {list_some(sorted(finder), limit=3)}. "
            "Pass gene symbols, and a table of the same organism."
        )
    symbols = {name: symbols or [name] for name, symbols in found.items()}
    replaced = rows["gene"].map(symbols).where(is_same, rows["gene"])
    return rows.assign(gene=replaced).explode("gene", ignore_index=True)


def _types_by_name(rows: pd.DataFrame) -> pd.DataFrame:
    """For every spelling of a type: the key by which it is merged, its name, and an empty term."""
    spellings = rows["type"].value_counts(sort=False).rename("n").to_frame()
    spellings["key"] = [normal_form(text) or text for text in spellings.index]
    spellings = spellings.reset_index(names="type").sort_values(["n", "type"], ascending=[False, True])
    spellings["name"] = spellings.groupby("key")["type"].transform("first")
    return spellings.set_index("type")[["key", "name"]].assign(term=None)


def _types(rows: pd.DataFrame, ontology: CellOntology) -> pd.DataFrame:
    """As `_types_by_name`, but merged by term: the one that the rows give most often, else the one found by name."""
    types = _types_by_name(rows)
    tissues = types["key"].map(_main_tissues(rows["tissue"], rows["type"].map(types["key"])))
    terms = pd.Series(
        [term_of(text, ontology, None if pd.isna(tissue) else tissue) for text, tissue in tissues.items()],
        index=types.index,
        dtype=object,
    )
    if "term" in rows:
        given = rows[rows["term"].isin(list(ontology.terms))]
        most = given.groupby("type")["term"].agg(lambda column: column.value_counts().sort_index().idxmax())
        terms = most.reindex(types.index).where(lambda column: column.notna(), terms)
    found = terms.notna()
    types.loc[found, "key"] = terms[found]
    types.loc[found, "name"] = [ontology.terms[identifier].name for identifier in terms[found]]
    return types.assign(term=terms.where(found, None))


def _main_tissues(tissues: pd.Series, keys: pd.Series) -> pd.Series:
    """The tissue of each type that is found in hardly any other, such as the pancreas for `Alpha cells`."""
    named = tissues.dropna().str.split(";").str[0]
    shares = named.groupby(keys.reindex(named.index)).value_counts(normalize=True)
    main = shares[shares >= _MIN_SHARE].reset_index(level=-1)
    return main[named.name]


def _all_values(rows: pd.DataFrame, column: str) -> pd.Series:
    """For each group, the distinct values of a column, joined by `; `; groups without any are left out."""
    values = rows.loc[rows[column].notna(), ["group", column]].drop_duplicates()
    is_repeated = values["group"].duplicated(keep=False)
    several = (
        values[is_repeated]
        .groupby("group")[column]
        .agg(lambda texts: "; ".join(dict.fromkeys(part for text in texts for part in text.split("; "))))
    )
    return pd.concat([values[~is_repeated].set_index("group")[column], several]).astype(object)
