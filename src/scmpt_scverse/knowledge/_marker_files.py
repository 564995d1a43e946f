"""Read a file of marker genes into a table, whatever its format."""

import gzip
import re
from io import StringIO
from pathlib import Path

import pandas as pd

from scmpt_scverse._checks import list_some
from scmpt_scverse._optional import import_optional

_SPREADSHEET = ".xlsx"
_DELIMITED = (".csv", ".tsv", ".txt", ".tab")
_SEPARATORS = "\t,;"
_WEIGHTED_GENE = re.compile(r"([^,]+),\s*([-+]?[\d.]+(?:e[-+]?\d+)?)", re.IGNORECASE)


def read_table(path: Path) -> pd.DataFrame:
    """The table in a file, unchanged.

    Raises
    ------
    ValueError
        The extension is unknown, or the file holds no table.
    FileNotFoundError
        The file does not exist.
    ImportError
        The file is a spreadsheet, and openpyxl is not installed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No table of markers at {path}. Pass a file, a DataFrame, or a mapping.")
    is_compressed = path.suffix.lower() == ".gz"
    ending = Path(path.stem if is_compressed else path.name).suffix.lower()
    if ending == _SPREADSHEET and not is_compressed:
        import_optional("openpyxl", extra="markers", purpose="Reading a spreadsheet")
        return pd.read_excel(path)
    if ending != ".gmt" and ending not in _DELIMITED:
        raise ValueError(
            f"Expected a table of markers in one of the formats {list_some([*_DELIMITED, '.gmt', _SPREADSHEET])}, "
            f"text formats also compressed (.gz); found {path.name!r}. Rename or convert it, or pass a DataFrame."
        )
    content = gzip.decompress(path.read_bytes()) if is_compressed else path.read_bytes()
    text = _decoded(content)
    if not text.strip():
        raise ValueError(f"Expected a table of markers; found an empty file, {path.name!r}. Pass another.")
    return _gene_sets(text) if ending == ".gmt" else _delimited(text)


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")  # with or without a byte order mark
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")  # what Excel writes in Western locales


def _delimited(text: str) -> pd.DataFrame:
    """A table with a header; the separator is the one that occurs most often in the header."""
    header = text.lstrip().split("\n", 1)[0]
    return pd.read_csv(StringIO(text), sep=max(_SEPARATORS, key=header.count), dtype=object, skipinitialspace=True)


def _gene_sets(text: str) -> pd.DataFrame:
    """Gene sets, one per line: name, description, and genes, each possibly followed by a comma and a weight."""
    rows: list[tuple[str, str, str | None]] = []
    for line in filter(str.strip, text.split("\n")):
        name, *described = line.rstrip("\r").split("\t")
        for gene in described[1:] or [""]:
            weighted = _WEIGHTED_GENE.fullmatch(gene)
            rows.append((name, weighted[1], weighted[2]) if weighted else (name, gene, None))
    return pd.DataFrame(rows, columns=["type", "gene", "weight"], dtype=object)
