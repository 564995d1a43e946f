"""Tables of marker genes: the known markers of each cell type."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from scmpt_scverse._checks import list_some
from scmpt_scverse._labels import label_text
from scmpt_scverse._optional import import_optional

if TYPE_CHECKING:
    from scmpt_scverse._types import StrPath

#: Column names of PanglaoDB, CellMarker and decoupler.
_CELL_TYPE_COLUMNS = ("cell_type", "cell type", "cell_name", "cellName", "source")
_GENE_COLUMNS = ("gene", "official gene symbol", "genesymbol", "gene_symbol", "marker", "target")


def marker_sets(markers: "StrPath | pd.DataFrame | Mapping[str, Sequence[str]]") -> dict[str, frozenset[str]]:
    """The marker genes of each cell type.

    Parameters
    ----------
    markers
        `"panglaodb"`, fetched through decoupler from OmniPath; a `.csv` or `.tsv` file; a DataFrame; or a mapping of
        cell type to genes. A table has a column of cell types and one of genes, named as in PanglaoDB, CellMarker or
        decoupler; if it has a column `species`, only human rows are used.

    Raises
    ------
    ValueError
        A column is missing, or no row is left.
    FileNotFoundError
        The file does not exist.
    ImportError
        decoupler is not installed.
    """
    if isinstance(markers, Mapping):
        return {label_text(name): frozenset(map(str, genes)) for name, genes in markers.items()}
    if isinstance(markers, str) and markers.lower() == "panglaodb":
        decoupler = import_optional("decoupler", extra="markers", purpose="Fetching PanglaoDB")
        markers = decoupler.op.resource("PanglaoDB", organism="human")
    table = markers if isinstance(markers, pd.DataFrame) else _read(Path(markers))
    cell_type, gene = (_column(table, names) for names in (_CELL_TYPE_COLUMNS, _GENE_COLUMNS))
    is_used = table[[cell_type, gene]].notna().all(axis=1)
    if "species" in table:
        is_used &= table["species"].astype(str).str.contains("Hs|[Hh]uman", regex=True)
    rows = table[is_used]
    if rows.empty:
        raise ValueError(
            f"Expected human marker genes; found none in a table of {len(table)} rows. Pass a table with human rows."
        )
    return {label_text(name): frozenset(genes.astype(str)) for name, genes in rows.groupby(cell_type)[gene]}


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise FileNotFoundError(f"No table of markers at {path}. Pass a file, a DataFrame, or 'panglaodb'.")
    return pd.read_csv(path, sep="," if ".csv" in path.suffixes else "\t")


def _column(table: pd.DataFrame, names: Sequence[str]) -> str:
    for name in names:
        if name in table:
            return name
    raise ValueError(
        f"Expected a column called one of {list_some(names)} in the table of markers; "
        f"found {list_some(table.columns)}. Rename it."
    )
