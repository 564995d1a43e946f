"""Recognise the columns of marker gene tables in the forms in which such tables are published."""

import re
from collections.abc import Mapping

import pandas as pd

from scmpt_scverse._checks import check_choice, check_key, list_some

#: Columns of the tidy form, in order.
MARKER_COLUMNS = ("type", "gene", "weight", "source", "organism", "tissue")
#: Recognised column names, most specific first, reduced to lower-case letters and digits. They are those of PanglaoDB,
#: CellMarker 1 and 2, ScType, CellTypist's encyclopedia, Azimuth, decoupler, scanpy and Seurat.
_NAMES = {
    "type": (
        "type",
        "lowhierarchycelltypes",
        "cellname",
        "expandedlabel",
        "celltype",
        "label",
        "cluster",
        "group",
    ),
    "gene": (
        "gene",
        "officialgenesymbol",
        "genesymbol",
        "genesymbolmore1",
        "curatedmarkers",
        "marker",
        "markers",
        "symbol",
        "target",
        "genes",
        "names",
    ),
    "negative": ("genesymbolmore2", "negativemarkers", "negativegenes"),
    "weight": ("weight", "scores", "score", "avglog2fc", "avglogfc", "logfoldchanges"),
    "source": ("source",),
    "organism": ("organism", "species", "speciestype", "ncbitaxid"),
    "tissue": ("tissue", "organ", "tissueclass", "tissuetype"),
    "term": ("term", "cellontologyid", "oboontologyid"),
}


def find_columns(table: pd.DataFrame, given: Mapping[str, str] | None) -> dict[str, list[str]]:
    """For each column of the tidy form, the column of the table that holds it; several for tissues, coarse to fine.

    `"negative"` is the column of genes that a type does not express, `"term"` that of Cell Ontology ids.

    Raises
    ------
    KeyError
        `given` names a column that the table does not have.
    ValueError
        `given` is for an unknown column of the tidy form, or there is no column of types or of genes.
    """
    given = given or {}
    for name, column in given.items():
        check_choice(name, list(_NAMES), "columns")
        check_key(column, table.columns, "the table of markers")
    by_form: dict[str, str] = {}
    for column in table.columns:
        by_form.setdefault(re.sub(r"[^a-z0-9]", "", str(column).lower()), column)
    found = {
        name: [given[name]] if name in given else [by_form[form] for form in forms if form in by_form]
        for name, forms in _NAMES.items()
    }
    if not found["type"] and "source" in by_form:  # a network as decoupler uses it: source, target, weight
        found["type"], found["source"] = [by_form["source"]], []
    for name in ("type", "gene"):
        if not found[name]:
            raise ValueError(
                f"Expected a column called one of {list_some(_NAMES[name], limit=20)} in the table of markers; "
                f"found {list_some(table.columns)}. Pass `columns={{{name!r}: ...}}`, or rename it."
            )
    if "cellname" in by_form and "term" not in given:  # CellMarker: its ids are often of a parent or another type
        found["term"] = []
    n_used = {name: len(columns) if name == "tissue" else 1 for name, columns in found.items()}
    return {name: columns[: n_used[name]] for name, columns in found.items() if columns}
