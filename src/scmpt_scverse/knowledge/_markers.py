"""Tables of marker genes from any source, in one tidy form."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from scmpt_scverse._labels import label_text
from scmpt_scverse._optional import import_optional
from scmpt_scverse.knowledge._marker_columns import find_columns
from scmpt_scverse.knowledge._marker_files import read_table
from scmpt_scverse.knowledge._marker_rows import tidy_rows

if TYPE_CHECKING:
    from scmpt_scverse._types import StrPath


def read_markers(
    markers: "StrPath | pd.DataFrame | Mapping[str, Sequence[str]]", *, columns: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """A table of marker genes in tidy form.

    Parameters
    ----------
    markers
        A `.csv`, `.tsv`, `.txt` or `.gmt` file, also with `.gz`; an `.xlsx` file; a DataFrame; or a mapping of cell
        type to genes. Columns are recognised as in the exports of PanglaoDB, CellMarker, ScType, CellTypist's
        encyclopedia, Azimuth, decoupler, scanpy and Seurat. A table cell may hold several genes, separated by commas,
        semicolons or bars.
    columns
        Column of the tidy form to column of the table, for columns that are not recognised. `"negative"` stands for
        genes that a type does not express, `"term"` for Cell Ontology ids.

    Returns
    -------
    One row per mention of a gene, in the order of the table, with the columns

    `type`, `gene`
        As written there, without surrounding whitespace.
    `weight`
        1 where the table has none; negative for genes that the type does not express.
    `source`
        Where the table has none: the name of the file without its extension, `"table"` or `"mapping"`.
    `organism`
        Whose gene symbols these are: `"human"`, `"mouse"`, or another organism as written in the table. Where the
        table does not say, the spelling decides (`Cd3d` or `CD3D`). PanglaoDB rows for both have human symbols.
    `tissue`
        From coarse to fine, separated by `"; "`; missing where the table has none.
    `term`
        Cell Ontology id; only if the table has ids.

    Raises
    ------
    ValueError
        The format of the file or a key of `columns` is unknown, a column is missing, a weight is not a finite number,
        or no row has a type and a gene.
    KeyError
        `columns` names a column that the table does not have.
    FileNotFoundError
        The file does not exist.
    ImportError
        The file is a spreadsheet, and openpyxl, from the extra `markers`, is not installed.

    Warns
    -----
    UserWarning
        Types without a gene, and genes that are dates, into which spreadsheets turn some symbols, are left out.

    Examples
    --------
    >>> from scmpt_scverse import knowledge
    >>> knowledge.read_markers({"B cell": ["CD79A", "MS4A1"]})[["type", "gene", "weight"]]
         type   gene  weight
    0  B cell  CD79A     1.0
    1  B cell  MS4A1     1.0
    """
    table, source = _table_of(markers)
    table = table.loc[:, ~table.columns.duplicated()].reset_index(drop=True)
    return tidy_rows(table, find_columns(table, columns), source)


def panglaodb() -> pd.DataFrame:
    """The markers of PanglaoDB, fetched from OmniPath through decoupler.

    PanglaoDB's own export, once downloaded, is read by :func:`read_markers` without a network.

    Returns
    -------
    A table in the tidy form of :func:`read_markers`.

    Raises
    ------
    ImportError
        decoupler, from the extra `markers`, is not installed.
    """
    decoupler = import_optional("decoupler", extra="markers", purpose="Fetching PanglaoDB")
    return read_markers(decoupler.op.resource("PanglaoDB", organism="human")).assign(source="PanglaoDB")


def marker_sets(markers: "StrPath | pd.DataFrame | Mapping[str, Sequence[str]]") -> dict[str, frozenset[str]]:
    """The genes that each cell type expresses.

    Parameters
    ----------
    markers
        As :func:`read_markers` takes them, or `"panglaodb"`. If there are human rows, only those are used.

    Returns
    -------
    Cell type to its gene symbols, without genes of negative weight.

    Raises
    ------
    ValueError, FileNotFoundError, ImportError
        As in :func:`read_markers` and :func:`panglaodb`.
    """
    is_panglaodb = isinstance(markers, str) and markers.lower() == "panglaodb"
    rows = panglaodb() if is_panglaodb else read_markers(markers)
    is_human = rows["organism"] == "human"
    rows = rows[(is_human | ~is_human.any()) & ~(rows["weight"] < 0)]
    return {name: frozenset(genes) for name, genes in rows.groupby("type")["gene"]}


def _table_of(markers: "StrPath | pd.DataFrame | Mapping[str, Sequence[str]]") -> tuple[pd.DataFrame, str]:
    """The table as given, and the `source` of its rows where it names none."""
    if isinstance(markers, pd.DataFrame):
        return markers, "table"
    if isinstance(markers, Mapping):
        pairs = [
            (label_text(name), gene)
            for name, genes in markers.items()
            for gene in ([genes] if isinstance(genes, str) else genes or [None])
        ]
        return pd.DataFrame(pairs, columns=["type", "gene"], dtype=object), "mapping"
    path = Path(markers)
    return read_table(path), path.name.split(".")[0]
