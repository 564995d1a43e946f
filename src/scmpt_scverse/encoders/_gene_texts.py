"""Tables of texts about genes: symbol to full name, summary or another description."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from scmpt_scverse._checks import list_some
from scmpt_scverse._labels import label_text
from scmpt_scverse.pp import GeneNames, read_gene_names

if TYPE_CHECKING:
    from scmpt_scverse._types import StrArray, StrPath

    GeneTextTable: TypeAlias = StrPath | pd.DataFrame | pd.Series | Mapping[str, str]

#: Given instead of a table: genes are read as their symbols.
SYMBOLS = "symbols"


@dataclass(frozen=True)
class GeneTexts:
    """The text that stands for each gene.

    Attributes
    ----------
    source
        Where the texts come from, for messages and records.
    texts
        Symbol to text; other genes are read as their symbol.
    """

    source: str = SYMBOLS
    texts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, table: "GeneTextTable") -> "GeneTexts":
        """Texts from `"symbols"`, a file, or a table in memory.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The table has fewer than two columns or no text, or identifiers of another kind instead of symbols.
        """
        if isinstance(table, str) and table == SYMBOLS:
            return cls()
        if isinstance(table, pd.DataFrame | pd.Series | Mapping):
            source, (names, texts) = "a table in memory", _texts_of(table)
        else:
            source = str(Path(table).expanduser().resolve())
            names, texts = _texts_of(_read_table(Path(source)))
        if not texts or not names.has_symbols:
            found = names.unreadable() if names.systems else "no text"
            raise ValueError(
                f"Expected gene symbols and texts in the gene texts from {source}; found {found}. The first column "
                "must hold symbols, the last one texts."
            )
        return cls(source, texts)

    @property
    def sha256(self) -> str:
        """Hexadecimal sha256 of the content, independent of order and source."""
        return hashlib.sha256(json.dumps(dict(self.texts), sort_keys=True).encode()).hexdigest()

    def of(self, genes: "StrArray") -> list[str]:
        """What the text encoder reads for each gene: `SYMBOL: text`, or the symbol where there is no text."""
        return [f"{gene}: {self.texts[gene]}" if gene in self.texts else str(gene) for gene in genes]


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a table of gene texts at {path}; there is none. Pass a TSV or CSV file, or 'symbols'."
        )
    separator = "," if ".csv" in path.suffixes else "\t"
    # NAN is a gene, not a missing value.
    return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, na_values=[""])


def _texts_of(table: "pd.DataFrame | pd.Series | Mapping[str, str]") -> "tuple[GeneNames, dict[str, str]]":
    """All gene names; and symbol to text, without missing texts, and with the first text of repeated symbols."""
    if isinstance(table, pd.DataFrame):
        if table.shape[1] < 2:
            raise ValueError(
                "Expected a table of gene texts with symbols in its first column and texts in its last one; found "
                f"{table.shape[1]} columns: {list_some(table.columns)}. A file needs a header; its columns are "
                "separated by tabs, or by commas where its name says `.csv`."
            )
        table = pd.Series(table.iloc[:, -1].to_numpy(), index=table.iloc[:, 0].to_numpy())
    genes = list(table.items())
    names = read_gene_names((gene for gene, _ in genes), are_unique=False)
    texts: dict[str, str] = {}
    for symbol, (_, text) in zip(names.symbols, genes, strict=True):
        written = label_text(text).strip() if isinstance(text, str | bytes) else ""
        if symbol and written:
            texts.setdefault(symbol, written)
    return names, texts
