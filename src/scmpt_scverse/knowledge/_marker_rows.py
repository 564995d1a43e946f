"""Rows of a table of marker genes in the tidy form: one mention of one gene per row."""

import re
from collections.abc import Callable
from functools import reduce

import numpy as np
import pandas as pd

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse._gene_spelling import is_date, looks_like_mouse
from scmpt_scverse._labels import label_text
from scmpt_scverse.knowledge._marker_columns import MARKER_COLUMNS

#: Separators of genes within one cell of a table; brackets group subunits in CellMarker.
_BETWEEN_GENES = re.compile(r"///|[,;|\[\]]")
#: Not genes: missing values as text.
_NO_GENE = re.compile(r"|n/?a|N/?A|nan|NaN|none|None|null|NULL|-|\.")  # NAN is a gene
_HUMAN = re.compile(r"\b(?:hs|human|homo sapiens|9606)\b", re.IGNORECASE)
_MOUSE = re.compile(r"\b(?:mm|mouse|mus musculus|10090)\b", re.IGNORECASE)
_TERM = re.compile(r"CL[:_](\d{7})")


def no_rows() -> pd.DataFrame:
    """A table of markers without rows."""
    columns = {name: pd.Series(dtype=float if name == "weight" else object) for name in MARKER_COLUMNS}
    return pd.DataFrame(columns)


def tidy_rows(table: pd.DataFrame, found: dict[str, list[str]], source: str) -> pd.DataFrame:
    """The tidy rows of a table.

    Parameters
    ----------
    table
        The table as it was read.
    found
        Its columns, from :func:`~scmpt_scverse.knowledge._marker_columns.find_columns`.
    source
        `source` of the rows where the table names none.

    Returns
    -------
    As in :func:`read_markers`.

    Raises
    ------
    ValueError
        As in :func:`read_markers`.

    Warns
    -----
    UserWarning
        As in :func:`read_markers`.
    """
    weights = _weights(table[found["weight"][0]]) if "weight" in found else pd.Series(1.0, index=table.index)
    tissues = [_texts(table[column]) for column in found.get("tissue", [])]
    rows = pd.DataFrame(
        {
            "type": _per_value(table[found["type"][0]], lambda value: " ".join(label_text(value).split())),
            "gene": _texts(table[found["gene"][0]]),
            "weight": weights,
            "source": _texts(table[found["source"][0]]).replace("", source) if "source" in found else source,
            "organism": _organisms(table, found),
            "tissue": reduce(_joined, tissues) if tissues else "",
        }
    )
    if "term" in found:
        rows["term"] = _per_value(table[found["term"][0]], _first_term)
    if "negative" in found:
        negative = rows.assign(gene=_texts(table[found["negative"][0]]), weight=-weights.abs())
        rows = pd.concat([rows, negative]).sort_index(kind="stable").reset_index(drop=True)
    rows = _with_genes(_one_gene_per_row(rows), len(table))
    is_unnamed = rows["organism"] == ""
    if is_unnamed.any():
        rows.loc[is_unnamed, "organism"] = organism_by_spelling(rows["gene"])
    optional = [column for column in ("tissue", "term") if column in rows]
    rows[optional] = rows[optional].astype(object).mask(rows[optional] == "", None)
    return rows


def _per_value(column: pd.Series, function: Callable[[object], str]) -> pd.Series:
    """The function applied to every value, once per distinct one; `""` where the value is missing."""
    codes, values = pd.factorize(column.to_numpy(dtype=object))
    texts = np.array([*map(function, values), ""], dtype=object)
    return pd.Series(texts[codes], index=column.index, dtype=object)


def _texts(column: pd.Series) -> pd.Series:
    return _per_value(column, lambda value: label_text(value).strip())


def _joined(coarse: pd.Series, fine: pd.Series) -> pd.Series:
    """`Pancreas; Pancreatic islet`, or just one of them where both are the same or the other is missing."""
    return coarse.where((coarse == fine) | (fine == ""), (coarse + "; " + fine).str.removeprefix("; "))


def _weights(column: pd.Series) -> pd.Series:
    """Numbers, 1 where missing."""
    weights = pd.to_numeric(column, errors="coerce").astype(float)
    wrong = column[(column.notna() & weights.isna()) | np.isinf(weights)]
    if len(wrong):
        raise ValueError(
            f"Expected finite numbers as weights of markers in the column {column.name!r}; found "
            f"{list_some(wrong.unique())}. Correct them, or name another column with `columns={{'weight': ...}}`."
        )
    return weights.fillna(1.0)


def _organisms(table: pd.DataFrame, found: dict[str, list[str]]) -> pd.Series:
    """`"human"`, `"mouse"`, another name as written, or `""` where the table does not say."""
    if "organism" in found:
        return _per_value(table[found["organism"][0]], _organism)
    if {"human", "mouse"} <= set(table.columns):  # decoupler's PanglaoDB
        is_human, is_mouse = (_texts(table[name]).str.lower().isin(["true", "1"]) for name in ("human", "mouse"))
        return pd.Series(np.select([is_human, is_mouse], ["human", "mouse"], ""), index=table.index, dtype=object)
    return pd.Series("", index=table.index, dtype=object)


def _organism(value: object) -> str:
    text = label_text(value).strip()
    if _HUMAN.search(text):  # also `Mm Hs`: the symbols are human
        return "human"
    return "mouse" if _MOUSE.search(text) else "" if text.isdigit() else text


def organism_by_spelling(genes: pd.Series) -> str:
    """`"mouse"` if most symbols are spelled as mouse genes are (`Cd3d`), else `"human"`."""
    return "mouse" if looks_like_mouse(genes.unique()) else "human"


def _first_term(value: object) -> str:
    found = _TERM.search(label_text(value))
    return f"CL:{found[1]}" if found else ""


def _one_gene_per_row(rows: pd.DataFrame) -> pd.DataFrame:
    is_list = _are(rows["gene"], _BETWEEN_GENES.search)
    if not is_list.any():
        return rows
    lists = rows[is_list]
    split = lists.assign(gene=[_BETWEEN_GENES.split(text) for text in lists["gene"]]).explode("gene")
    split["gene"] = _texts(split["gene"])
    return pd.concat([rows[~is_list], split]).sort_index(kind="stable")


def _are(column: pd.Series, matches: Callable[[str], object]) -> pd.Series:
    """Whether each text matches."""
    codes, texts = pd.factorize(column.to_numpy(dtype=object))
    return pd.Series(np.array([bool(matches(text)) for text in texts])[codes], index=column.index)


def _with_genes(rows: pd.DataFrame, n_given: int) -> pd.DataFrame:
    """The rows with a type and a gene; warns of types without a gene and of genes that are dates."""
    has_gene = ~_are(rows["gene"], _NO_GENE.fullmatch)
    are_dates = _are(rows["gene"], is_date)
    kept = rows[(rows["type"] != "") & has_gene & ~are_dates].reset_index(drop=True)
    if kept.empty:
        raise ValueError(
            f"Expected rows with a cell type and a gene in the table of markers; found none in {n_given} rows. "
            "Check which columns were meant, and pass `columns=`."
        )
    without = sorted(set(rows["type"]) - set(kept["type"]) - {""})
    left_out = [f"{list_some(without)} have no gene"] if without else []
    if are_dates.any():
        left_out.append(
            f"{list_some(rows['gene'][are_dates].unique())} are dates, which spreadsheets make of some symbols"
        )
    if left_out:
        warn_user(f"Left out of the table of markers: {'; '.join(left_out)}.")
    return kept
