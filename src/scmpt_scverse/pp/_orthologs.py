"""Human orthologs of the genes of another species: tables that come with this package, and those of users."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import pandas as pd

from scmpt_scverse._checks import check_choice, check_key, did_you_mean, list_some, type_name
from scmpt_scverse._labels import label_text
from scmpt_scverse.pp._identifier_systems import certain_system

if TYPE_CHECKING:
    from scmpt_scverse._types import StrPath

#: Species without a table: human genes, symbols of any species unchanged, and a species inferred from the names.
HUMAN, NATIVE, AUTO = "human", "native", "auto"

_BUNDLED = Path(__file__).parent / "bundled"
#: Columns of a table: id, symbol and former symbols of the gene, and the symbol of the human gene.
_ID, _GENE, _ALIASES, _HUMAN_GENE = "gene_id", "gene", "aliases", "human_gene"
#: Separates former symbols in a table, as in those of HGNC, MGI and NCBI.
_BETWEEN = "|"
_CHOICES = ("drop", "best")
#: Largest share of rows of a user's table in which the human gene may be an identifier instead of a symbol.
_FEW = 0.5


@dataclass(frozen=True)
class Orthologs:
    """Human orthologs of the genes of a species; made by :meth:`of`.

    Two objects with the same content are equal and have the same hash, however they were made.

    Attributes
    ----------
    organism
        Name of the species.
    by_id, by_symbol
        Ensembl id or symbol to human symbols: one, or several equally good ones in alphabetical order.
    aliases
        Former symbol to the current one, unless it is now the symbol of a gene, or was that of several.
    ambiguous
        What happens to a gene with several equally good human genes: `"drop"` leaves it out, `"best"` takes the first
        one in alphabetical order.
    """

    organism: str
    by_id: Mapping[str, tuple[str, ...]] = field(hash=False)  # mappings have no hash; equality looks at them
    by_symbol: Mapping[str, tuple[str, ...]] = field(hash=False)
    aliases: Mapping[str, str] = field(hash=False)
    ambiguous: Literal["drop", "best"] = "drop"

    @classmethod
    def of(
        cls,
        organism: str,
        table: "pd.DataFrame | StrPath | None" = None,
        *,
        ambiguous: Literal["drop", "best"] = "drop",
    ) -> Self:
        """The orthologs of a species, from the table in this package or from your own.

        Parameters
        ----------
        organism
            Name of the species: `"mouse"`, or any other with a `table`.
        table
            A DataFrame or a `.csv` or `.tsv` file, also with `.gz`, with columns `gene` (symbol), `human_gene` (symbol)
            and, if known, `gene_id` (Ensembl) and `aliases` (former symbols, separated by `|`). A gene with several
            human genes has a row for each.
        ambiguous
            What happens to a gene with several human genes: `"drop"` leaves it out, `"best"` takes the first one in
            alphabetical order.

        Raises
        ------
        FileNotFoundError
            `table` is a path without a file.
        KeyError
            The table has no column `gene` or `human_gene`.
        TypeError
            `organism` is not a name, or `table` is neither a DataFrame nor a path.
        ValueError
            `organism` is blank, `"human"`, `"native"` or `"auto"`, or there is no table for it; the table is empty or
            `human_gene` holds mostly identifiers; or `ambiguous` is unknown.

        Examples
        --------
        >>> import pandas as pd
        >>> from scmpt_scverse import pp
        >>> pig = pd.DataFrame({"gene": ["CD3D", "CD8B"], "human_gene": ["CD3D", "CD8B"]})
        >>> pp.Orthologs.of("pig", pig).organism
        'pig'
        """
        check_choice(ambiguous, _CHOICES, "ambiguous")
        if not isinstance(organism, str):
            raise TypeError(f"Expected the name of a species as `organism`; found {organism!r}. Pass a text.")
        if not organism.strip():
            raise ValueError(f"Expected the name of a species as `organism`; found {organism!r}. Name the species.")
        if table is None:
            if organism not in organisms():
                raise _unknown(organism)
            given = _bundled(organism)
            return cls(organism, given.by_id, given.by_symbol, given.aliases, ambiguous)
        if organism in (HUMAN, NATIVE, AUTO):
            raise ValueError(
                f"Expected the name of another species beside `table=`; found organism={organism!r}, which is read "
                "without orthologs. Pass the species of the table."
            )
        return cls(organism, *_maps(_read(table)), ambiguous)

    @cached_property
    def label(self) -> str:
        """Name for provenance: the species, a digest unless the table is from this package, and `"best"` if chosen."""
        parts = [self.organism]
        if not self._is_bundled:
            content = repr((sorted(self.by_id.items()), sorted(self.by_symbol.items()), sorted(self.aliases.items())))
            parts.append(hashlib.sha256(content.encode()).hexdigest()[:12])
        return " ".join([*parts, *([] if self.ambiguous == "drop" else [self.ambiguous])])

    @cached_property
    def _is_bundled(self) -> bool:
        """Whether the table equals the one that comes with this package."""
        if self.organism not in organisms():
            return False
        bundled = _bundled(self.organism)
        maps = (self.by_id, bundled.by_id), (self.by_symbol, bundled.by_symbol), (self.aliases, bundled.aliases)
        return all(ours is theirs or ours == theirs for ours, theirs in maps)

    def current(self, symbol: str) -> str:
        """The current symbol of a gene, given its current or a former symbol."""
        return symbol if symbol in self.by_symbol else self.aliases.get(symbol, symbol)

    def chosen(self, humans: tuple[str, ...]) -> str:
        """The human gene to use out of several, `""` for none."""
        return humans[0] if len(humans) == 1 or (humans and self.ambiguous == "best") else ""

    def state(self) -> dict[str, Any]:
        """As plain values; a table that comes with this package is not included."""
        plain: dict[str, Any] = {"organism": self.organism, "ambiguous": self.ambiguous}
        if self._is_bundled:
            return plain
        maps = {"by_id": self.by_id, "by_symbol": self.by_symbol}
        tables = {name: {key: list(humans) for key, humans in each.items()} for name, each in maps.items()}
        return {**plain, **tables, "aliases": dict(self.aliases)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`state`."""
        if "by_symbol" not in state:
            return cls.of(state["organism"], ambiguous=state["ambiguous"])
        by_id, by_symbol = (
            {key: tuple(humans) for key, humans in state[name].items()} for name in ("by_id", "by_symbol")
        )
        return cls(state["organism"], by_id, by_symbol, dict(state["aliases"]), state["ambiguous"])


#: "human", "native", "auto", a species whose orthologs come with this package, or a table of orthologs.
Organism: TypeAlias = str | Orthologs


def organisms() -> list[str]:
    """Species whose orthologs come with this package."""
    return sorted(path.name.removeprefix("orthologs_").split(".")[0] for path in _BUNDLED.glob("orthologs_*.tsv.gz"))


def checked_organism(organism: Organism) -> Organism:
    """The orthologs of a species given by name; "human", "native" and "auto" unchanged.

    Raises
    ------
    TypeError
        `organism` is neither a string nor :class:`Orthologs`.
    ValueError
        There is no table for the species.
    """
    if isinstance(organism, Orthologs) or organism in (HUMAN, NATIVE, AUTO):
        return organism
    if not isinstance(organism, str):
        raise TypeError(
            f"Expected the name of a species, or `pp.Orthologs`, as `organism`; found {type_name(organism)}. Pass "
            f"one of {list_some([HUMAN, *organisms(), AUTO, NATIVE])}, or `pp.Orthologs.of(name, table)`."
        )
    return Orthologs.of(organism)


def organism_label(organism: Organism) -> str:
    """The species, as provenance records it."""
    return organism.label if isinstance(organism, Orthologs) else organism


def _unknown(organism: str) -> ValueError:
    known = [HUMAN, *organisms()]
    return ValueError(
        f"Expected a species with a table of orthologs, {list_some(known)}; found organism={organism!r}."
        f"{did_you_mean(organism, known)} Pass `pp.Orthologs.of({organism!r}, table)` with a table of the columns "
        "'gene', 'human_gene' and, where ids are known, 'gene_id'."
    )


@lru_cache(maxsize=2)
def _bundled(organism: str) -> Orthologs:
    table = pd.read_csv(_BUNDLED / f"orthologs_{organism}.tsv.gz", sep="\t", keep_default_na=False, dtype=str)
    return Orthologs(organism, *_maps(table))


def _read(table: "pd.DataFrame | StrPath") -> pd.DataFrame:
    """A user's table as text, checked."""
    if isinstance(table, str | os.PathLike):
        path = Path(table)
        if not path.is_file():
            raise FileNotFoundError(f"Expected a table of orthologs at {path}; found no file. Check the path.")
        separator = "," if path.name.removesuffix(".gz").endswith(".csv") else "\t"
        table = pd.read_csv(path, sep=separator, keep_default_na=False, dtype=str)
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"Expected a DataFrame or a file as `table`; found {type_name(table)}. Pass columns {_GENE!r} and "
            f"{_HUMAN_GENE!r}."
        )
    for column in (_GENE, _HUMAN_GENE):
        check_key(column, table.columns, "table", hint=" Each row is a gene and one of its human orthologs.")
    columns = [column for column in (_ID, _GENE, _ALIASES, _HUMAN_GENE) if column in table]
    given = table[columns].astype(object)
    rows = given.where(given.notna(), "").map(lambda value: label_text(value).strip())
    humans = rows.loc[(rows[_HUMAN_GENE] != "") & (rows[_GENE] != ""), _HUMAN_GENE]
    if not len(humans):
        raise ValueError(
            f"Expected genes and their human orthologs in the columns {_GENE!r} and {_HUMAN_GENE!r} of `table`; found "
            "no row with both. Pass a table of orthologs."
        )
    ids = [name for name in humans if certain_system(name) is not None]
    if len(ids) > _FEW * len(humans):
        raise ValueError(
            f"Expected symbols of human genes in `table[{_HUMAN_GENE!r}]`; found identifiers such as "
            f"{list_some(ids, limit=2)}. Pass symbols: models and encoders know genes by these."
        )
    return rows


def _maps(rows: pd.DataFrame) -> "tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]], dict[str, str]]":
    """Maps from ids, from symbols, and from former symbols."""
    rows = rows[rows[_HUMAN_GENE] != ""]
    ids = [name.split(".")[0] for name in rows[_ID]] if _ID in rows else []
    by_symbol = _grouped(rows[_GENE], rows[_HUMAN_GENE])
    aliases: dict[str, set[str]] = {}
    for current, former in zip(rows[_GENE], rows[_ALIASES], strict=True) if _ALIASES in rows else ():
        for name in filter(None, map(str.strip, former.split(_BETWEEN))):
            aliases.setdefault(name, set()).add(current)
    certain = {name: current.pop() for name, current in aliases.items() if len(current) == 1 and name not in by_symbol}
    return _grouped(ids, rows[_HUMAN_GENE]) if ids else {}, by_symbol, certain


def _grouped(names: Iterable[str], humans: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for name, human in zip(names, humans, strict=True):
        if name:
            found.setdefault(name, set()).add(human)
    return {name: tuple(sorted(each)) for name, each in found.items()}
