"""Parse gene names: symbols, what is attached to them, and identifiers of other systems."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse._checks import list_some
from scmpt_scverse._labels import label_text
from scmpt_scverse.pp._identifier_systems import (
    ENSEMBL_GENES,
    NUMBERS,
    ROW_NUMBERS,
    IdentifierSystem,
    certain_system,
    is_plain,
    likely_system,
)
from scmpt_scverse.pp._name_parts import (
    genome_of,
    identifier_of,
    without_counters,
    without_prefix,
    without_transcripts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scmpt_scverse._types import StrArray

_MISSING = frozenset(
    {"", "nan", "NaN", "None", "none", "<NA>", "NA", "N/A", "n/a", "null", "NULL", "?", "-", "---", "."}
)
#: Characters that R and Python write around text, or that spreadsheets leave at its ends.
_AROUND = " \t\r\n\"'\u00a0\ufeff"
#: Above this share of identifiers, the other names are spike-ins, antibodies and the like: too little to read cells by.
_NEARLY_ALL = 0.9
#: Above this share of names without a symbol, a warning: few genes really have none, so symbols were left out.
_MOST = 0.5
#: Share of the names that name a species from which on a second species is more than a transgene.
_SECOND_SPECIES = 0.01
#: Not worth a warning: files usually call a second CD3D `CD3D-1`.
_COUNTER = "a counter"
#: Parts that are recognised only by comparing names, in the order in which they are removed.
_SHARED_PARTS: "dict[str, Callable[[list[str]], list[str]]]" = {
    "a prefix": without_prefix,
    "a transcript number": without_transcripts,
    _COUNTER: without_counters,
}


@dataclass(frozen=True)
class GeneNames:
    """Parsed names of the columns of some data.

    Attributes
    ----------
    given
        The names as text, shape `(n_vars,)`.
    symbols
        Gene symbols, `""` where a name has none, shape `(n_vars,)`.
    systems
        Identifier system to the number of names.
    parts
        Kind of text attached to symbols to the number of names that have it.
    species
        Species to the number of names that state it, and the first of them.
    """

    given: "StrArray"
    symbols: "StrArray"
    systems: Mapping[IdentifierSystem, int]
    parts: Mapping[str, int]
    species: Mapping[str, tuple[int, str]]

    @property
    def n_renamed(self) -> int:
        """Number of names that are longer than their symbol."""
        return int(np.sum((self.symbols != "") & (self.symbols != self.given)))

    def report(self, where: str) -> str | None:
        """A warning about text attached to symbols, or that most names are not symbols; `None` if neither is the case.

        Parameters
        ----------
        where
            Slot of the names, such as `adata.var_names`.
        """
        n_unread = int(np.sum(self.symbols == ""))
        if self.systems and n_unread > _MOST * len(self.given):
            return (
                f"{n_unread} of {len(self.given)} names in `{where}` are no gene symbols but {self.unreadable()}. "
                "These genes are not read. Pass `gene_symbols=` with the column of `adata.var` that holds symbols, or "
                "name all genes by symbol."
            )
        if set(self.parts) <= {_COUNTER} or not self.n_renamed:
            return None
        pairs = [(name, symbol) for name, symbol in zip(self.given, self.symbols, strict=True) if symbol]
        name, symbol = max(pairs, key=lambda pair: len(pair[0]) - len(pair[1]))
        kinds = ", ".join(f"{count} with {kind}" for kind, count in self.parts.items())
        return (
            f"{self.n_renamed} of {len(self.given)} names in `{where}` hold more than a gene symbol ({kinds}). "
            f"Only the symbol is read, such as {symbol!r} in {name!r}."
        )

    def unreadable(self) -> str:
        """The names without a symbol, in words: `Ensembl ids such as 'ENSG00000167286'`."""
        kinds = " and ".join(system.name for system, _ in Counter(self.systems).most_common(2))
        return f"{kinds or 'missing names'} such as {list_some(self.given[self.symbols == ''], limit=3)}"

    @property
    def has_symbols(self) -> bool:
        """Whether at least a tenth of the names are symbols, not counting missing names."""
        n_identifiers, n_symbols = sum(self.systems.values()), int(np.sum(self.symbols != ""))
        return n_symbols > 0 and n_identifiers <= _NEARLY_ALL * (n_identifiers + n_symbols)

    def by_ids(self) -> "GeneNames | None":
        """The same with Ensembl ids, without versions, as symbols; `None` with symbols, or with few Ensembl ids."""
        is_id = [certain_system(name) == ENSEMBL_GENES for name in self.given]
        if self.has_symbols or sum(is_id) <= _NEARLY_ALL * len(is_id):
            return None
        ids = [name.split(".")[0] if is_one else "" for name, is_one in zip(self.given, is_id, strict=True)]
        return replace(self, symbols=_frozen(ids))

    def check(self, where: str, advice: str | None = None) -> None:
        """Raise `ValueError` if these names have hardly any symbols, or are of two species.

        Parameters
        ----------
        where
            Slot of the names, such as `adata.var_names`.
        advice
            What to do about names without symbols; `None` uses the advice for their identifier system.
        """
        if not self.has_symbols:
            if advice is None:
                advice = max(self.systems, key=lambda system: self.systems[system]).advice if self.systems else ""
            raise ValueError(f"Expected gene symbols in `{where}`; found {self.unreadable()}. {advice}".rstrip())
        self.check_species(where)

    def check_species(self, where: str) -> None:
        """Raise `ValueError` if the names state that they are of two species."""
        total = sum(count for count, _ in self.species.values())
        species = [(name, *told) for name, told in self.species.items() if told[0] >= _SECOND_SPECIES * total]
        if len(species) > 1:
            found = " and ".join(f"{count} of {name} such as {example!r}" for name, count, example in species)
            raise ValueError(
                f"Expected genes of one species in `{where}`; found {found}. Keep the cells and the genes of one "
                "species, for instance by the prefix of the genes."
            )


def read_gene_names(names: Iterable[object], *, are_unique: bool = True) -> GeneNames:
    """Parse gene names: remove what is attached to symbols, and recognise identifiers of other systems.

    Parameters
    ----------
    names
        Text, bytes, numbers or missing values, one per column. Pass all columns of the data: some forms are recognised
        by the share of names that have them.
    are_unique
        Whether they are names of columns, which pipelines make unique by counters (`CD3D-1`). In tables of genes,
        such a name is an alias (CTLA-4) or another gene.
    """
    return _read_texts(tuple(map(_text, names)), are_unique)


def read_one_name(name: object) -> "_ReadName":
    """One name, parsed on its own, without comparing it with others."""
    return _read_name(_text(name))


#: The names of the same data are parsed again for every modality of a model.
@lru_cache(maxsize=4)
def _read_texts(given: tuple[str, ...], are_unique: bool) -> GeneNames:
    read = [_read_name(name) for name in given]
    symbols = [name.symbol for name in read]
    parts = Counter(part for name in read for part in name.parts)
    systems = Counter(name.system for name in read if name.system is not None)
    species: dict[str, tuple[int, str]] = {}
    for name, found in zip(given, read, strict=True):
        if found.species is not None:
            count, first = species.get(found.species, (0, name))
            species[found.species] = (count + 1, first)
    for part, shortened in _SHARED_PARTS.items():
        if part == _COUNTER and not are_unique:
            continue
        rests = shortened(symbols)
        parts[part] += sum(rest != symbol for rest, symbol in zip(rests, symbols, strict=True))
        symbols = rests
    likely = likely_system([symbol for symbol in symbols if symbol])
    if likely is not None:
        systems[likely] += sum(symbol != "" for symbol in symbols)
        symbols = [""] * len(symbols)
    if set(systems) == {NUMBERS} and set(given) <= {*_MISSING, *map(str, range(len(given) + 1))}:
        systems = Counter({ROW_NUMBERS: systems[NUMBERS]})
    return GeneNames(_frozen(given), _frozen(symbols), systems, +parts, species)


def _frozen(names: "Sequence[str]") -> "StrArray":
    array = np.array(names, dtype=object)
    array.flags.writeable = False
    return array


@dataclass(frozen=True)
class _ReadName:
    """One name: its symbol or identifier system, what was attached to it, and the species that it states."""

    symbol: str = ""
    system: IdentifierSystem | None = None
    parts: tuple[str, ...] = ()
    species: str | None = None


def _text(name: object) -> str:
    text = label_text(name).strip(_AROUND)
    # Bytes that another program wrote as text.
    return text[2:] if text[:2] in {"b'", 'b"'} else text


def _read_name(name: str) -> _ReadName:
    if is_plain(name) and name not in _MISSING:
        return _ReadName(name)
    parts: tuple[str, ...] = ()
    species = None
    if (genome := genome_of(name)) is not None:
        name, species, parts = genome.rest, genome.species, ("a genome",)
    if name in _MISSING:
        return _ReadName()
    if (system := certain_system(name)) is not None:
        return _ReadName(system=system, species=species)
    if (pair := identifier_of(name)) is None:
        return _ReadName(name, None, parts, species)
    rest = pair.rest.split("|")[0]  # ENSG00000000003|TSPAN6|8eab823, a probe of 10x Genomics
    if rest in _MISSING or certain_system(rest) is not None or identifier_of(rest) is not None:
        return _ReadName(system=certain_system(pair.attached), species=species)
    return _ReadName(rest, None, (*parts, "an identifier"), species or pair.species)
