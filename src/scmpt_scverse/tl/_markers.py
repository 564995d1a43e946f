"""Tables of marker genes: which genes are known for a cell type."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from scmpt_scverse._checks import list_some
from scmpt_scverse._optional import import_optional

if TYPE_CHECKING:
    from scmpt_scverse._types import StrPath

#: What known tables call the columns of cell types and of genes.
_CELL_TYPE_COLUMNS = ("cell_type", "cell type", "cell_name", "cellName", "source")
_GENE_COLUMNS = ("gene", "official gene symbol", "genesymbol", "gene_symbol", "marker", "target")


def marker_sets(markers: "StrPath | pd.DataFrame | Mapping[str, Sequence[str]]") -> dict[str, frozenset[str]]:
    """Cell type to its marker genes.

    Parameters
    ----------
    markers
        `"panglaodb"`, fetched through decoupler from OmniPath; a `.csv` or `.tsv` file; a DataFrame; or cell type to
        genes. A table has a column of cell types and one of genes, under the names that PanglaoDB, CellMarker or
        decoupler give them; of a column `species`, human rows are taken.

    Raises
    ------
    ValueError
        No such columns, or no row.
    FileNotFoundError
        No such file.
    ImportError
        decoupler is not installed.
    """
    if isinstance(markers, Mapping):
        return {str(name): frozenset(map(str, genes)) for name, genes in markers.items()}
    if isinstance(markers, str) and markers.lower() == "panglaodb":
        decoupler = import_optional("decoupler", extra="markers", purpose="Fetching PanglaoDB")
        markers = decoupler.op.resource("PanglaoDB", organism="human")
    if not isinstance(markers, pd.DataFrame):
        path = Path(markers)
        if not path.exists():
            raise FileNotFoundError(f"No table of markers at {path}. Pass a file, a DataFrame, or 'panglaodb'.")
        markers = pd.read_csv(path, sep="," if ".csv" in path.suffixes else "\t")
    cell_type, gene = (_column(markers, names) for names in (_CELL_TYPE_COLUMNS, _GENE_COLUMNS))
    if "species" in markers:
        is_human = markers["species"].astype(str).str.contains("Hs|[Hh]uman", regex=True)
        markers = markers[is_human]
    rows = markers[[cell_type, gene]].dropna()
    if rows.empty:
        raise ValueError("Expected marker genes of human; found none in the table.")
    return {str(name): frozenset(genes.astype(str)) for name, genes in rows.groupby(cell_type)[gene]}


def _column(table: pd.DataFrame, names: Sequence[str]) -> str:
    for name in names:
        if name in table:
            return name
    raise ValueError(
        f"Expected a column called one of {list_some(names)} in the table of markers; "
        f"found {list_some(table.columns)}. Rename it."
    )
