"""Infer the species from gene names, to refuse cells of another species than stated."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse._gene_spelling import is_capitalised
from scmpt_scverse.pp._gene_names import GeneNames, read_gene_names
from scmpt_scverse.pp._identifier_systems import is_plain
from scmpt_scverse.pp._name_parts import species_of_id
from scmpt_scverse.pp._orthologs import AUTO, HUMAN, NATIVE, Organism, Orthologs, checked_organism, organisms

if TYPE_CHECKING:
    from scmpt_scverse._types import StrArray

_MOUSE, _RAT = "mouse", "rat"
#: Share of the names that indicate a species, and least number, from which on a second species is no transgene.
_SECOND_SHARE, _SECOND_NAMES = 0.05, 2
#: Up to this share of capitalised symbols, symbols are taken as human without a check: C1orf43 is capitalised, too.
_FEW_CAPITALISED = 0.03
#: Least share of the names that must indicate a species.
_LEAST_TOLD = 0.1
#: Symbols that only rats or only mice have; they share most others.
_RAT_SIGNS = re.compile(r"RT1-\w+|RGD\d{6,}|AABR0\d+.*|NEWGENE-?_?\d+|AY172581.*")
_MOUSE_SIGNS = re.compile(r"Gm\d{3,}|\w+Rik\d?|H2-\w+|H2bc\d+|BC\d{6}")


@dataclass(frozen=True)
class SpeciesVotes:
    """How many names indicate which species.

    Attributes
    ----------
    counts
        Species to the number of names that indicate it, largest first.
    examples
        Species to up to three of these names.
    n_names
        Number of names that are symbols or indicate a species.
    """

    counts: dict[str, int]
    examples: dict[str, list[str]]
    n_names: int

    @property
    def main(self) -> str:
        """The species that most names indicate; `""` if there is none."""
        return next(iter(self.counts), "")

    @property
    def is_sure(self) -> bool:
        """Whether enough names indicate this species."""
        return bool(self.main) and self.counts[self.main] >= _LEAST_TOLD * self.n_names

    @property
    def several(self) -> list[str]:
        """The species, if there are two or more with enough names; otherwise empty."""
        least = max(_SECOND_NAMES, _SECOND_SHARE * sum(self.counts.values()))
        found = [species for species, count in self.counts.items() if count >= least]
        return found if len(found) > 1 else []

    def words(self, species: str) -> str:
        """What was found for a species, for error messages."""
        names = list_some(self.examples[species])
        return f"{self.counts[species]} of {self.n_names} names are of {species} genes, such as {names}"


def species_votes(names: GeneNames, *, symbols: bool = True) -> SpeciesVotes:
    """The species that names indicate, by genomes and ids; with `symbols`, also by symbols of one species only."""
    return _votes(tuple(names.given), symbols)


@lru_cache(maxsize=8)
def _votes(given: tuple[str, ...], symbols: bool) -> SpeciesVotes:
    names = read_gene_names(given)
    told = _told_by_symbols(names.symbols) if symbols else {}
    examples: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    n_names = 0
    for name, symbol in zip(names.given, names.symbols, strict=True):
        species = (None if is_plain(name) else species_of_id(name)) or told.get(symbol)
        n_names += bool(symbol) or species is not None
        if species is not None:
            counts[species] += 1
            examples.setdefault(species, []).append(name)
    return SpeciesVotes(dict(counts.most_common()), {each: found[:3] for each, found in examples.items()}, n_names)


def _told_by_symbols(symbols: "StrArray") -> dict[str, str]:
    """Symbol to species, for symbols of mice or humans only; rats instead of mice if rat-only symbols prevail."""
    distinct = dict.fromkeys(symbol for symbol in symbols if symbol)
    of_mouse = Orthologs.of(_MOUSE)
    of_human = _human_symbols()
    told = {}
    n_rat = n_mouse = 0
    for symbol in distinct:
        is_mouse, is_human = symbol in of_mouse.by_symbol or symbol in of_mouse.aliases, symbol in of_human
        if is_mouse != is_human:
            told[symbol] = _MOUSE if is_mouse else HUMAN
        n_rat += _RAT_SIGNS.fullmatch(symbol) is not None
        n_mouse += _MOUSE_SIGNS.fullmatch(symbol) is not None
    if n_rat >= _SECOND_NAMES and n_rat > n_mouse:
        told = {symbol: _RAT if species == _MOUSE else species for symbol, species in told.items()}
    return told


@lru_cache(maxsize=1)
def _human_symbols() -> frozenset[str]:
    return frozenset(human for humans in Orthologs.of(_MOUSE).by_symbol.values() for human in humans)


def check_organism(names: GeneNames, organism: Organism, where: str) -> None:
    """Refuse names of two species, or of another species than expected.

    Parameters
    ----------
    names
        Gene names.
    organism
        The expected species, not "auto".
    where
        Slot of the names, such as `adata.var_names`.

    Raises
    ------
    ValueError
        Names indicate two species, or another one.
    """
    if organism == NATIVE:
        return
    names.check_species(where)
    # Symbols are compared only for human and mouse: other animals spell theirs like one of these.
    expected = organism.organism if isinstance(organism, Orthologs) else HUMAN
    by_symbols = expected == _MOUSE or (expected == HUMAN and _may_be_of_others(names.symbols))
    votes = species_votes(names, symbols=by_symbols)
    if expected == HUMAN and votes.main not in ("", HUMAN):  # some names say so: look at the symbols of all
        votes = species_votes(names)
    if votes.several:
        raise ValueError(
            f"Expected genes of one species in `{where}`; found that "
            f"{' and '.join(map(votes.words, votes.several))}. Keep the cells and the genes of one species, for "
            "instance by the prefix of the genes."
        )
    if not votes.is_sure or votes.main == expected or (expected not in (HUMAN, _MOUSE) and votes.main != HUMAN):
        return
    raise ValueError(
        f"Expected {expected} genes in `{where}`; found that {votes.words(votes.main)}. {_advice(votes.main)}"
    )


def _may_be_of_others(symbols: "StrArray") -> bool:
    """Whether more symbols than usual are capitalised; if not, human data need no lookup in the mouse table."""
    n_symbols = sum(map(bool, symbols))
    return sum(map(is_capitalised, symbols)) > _FEW_CAPITALISED * n_symbols


def _advice(species: str) -> str:
    if species == HUMAN:
        return (
            'For human cells leave `organism=` out, or pass `organism="human"`; for others, pass the symbols of their '
            "own genes, since symbols in upper case are no orthologs."
        )
    if species in organisms():
        return (
            f'Pass `organism="{species}"` to read them through their human orthologs (`--organism {species}` on the '
            'command line), or `organism="native"` to read symbols as they are.'
        )
    return (
        f'Pass `organism=pp.Orthologs.of("{species}", table)` with a table of orthologs (`--orthologs FILE` on the '
        'command line), or `organism="native"` to read symbols as they are.'
    )


def resolved_organism(names: GeneNames, organism: Organism, where: str) -> Organism:
    """The species to read names as; for "auto" the one that they indicate, with a warning that says why.

    Raises
    ------
    TypeError, ValueError
        As :func:`checked_organism`; for "auto" also if names indicate no species, two, or one without a table.
    """
    if organism != AUTO:
        return checked_organism(organism)
    votes = species_votes(names)
    choices = [HUMAN, *organisms()]
    if votes.several:
        check_organism(names, Orthologs.of(_MOUSE), where)
    if not votes.is_sure:
        raise ValueError(
            f"Expected names in `{where}` that tell of a species, for `organism='auto'`; found such as "
            f"{list_some(names.given, limit=3)}. Pass the species: one of {list_some(choices)}, or "
            "`pp.Orthologs.of(name, table)`."
        )
    if votes.main not in choices:
        raise ValueError(
            f"Expected a species with a table of orthologs, {list_some(choices)}, for `organism='auto'`; found that "
            f"{votes.words(votes.main)}. {_advice(votes.main)}"
        )
    shared = " Rats share most symbols with mice." if votes.main == _MOUSE else ""
    warn_user(f"`organism='auto'` took {votes.main!r}: {votes.words(votes.main)}, in `{where}`.{shared}")
    return checked_organism(votes.main)
