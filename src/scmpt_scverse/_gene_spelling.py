"""How names of genes are spelled: those of mouse genes, and what spreadsheets make of some symbols."""

import re
from collections.abc import Iterable, Sized

#: What spreadsheets make of MARCHF1, SEPTIN2 and DELEC1.
DATES = r"\d{1,2}-(?:mar|sept?|dec)|(?:mar|sept?|dec)-\d{1,2}|\d{4}-\d\d-\d\d(?:[ T].*)?"
_DATE = re.compile(DATES, re.IGNORECASE)


def is_date(name: str) -> bool:
    """Whether a name is a date that a spreadsheet made of a symbol."""
    return _DATE.fullmatch(name) is not None


def looks_like_mouse(symbols: Iterable[str]) -> bool:
    """Whether most symbols are written as those of mouse genes are: `Cd3d`, where the human gene is `CD3D`."""
    symbols = symbols if isinstance(symbols, Sized) else list(symbols)
    return bool(len(symbols)) and sum(map(is_capitalised, symbols)) > 0.5 * len(symbols)


def is_capitalised(symbol: str) -> bool:
    """Whether a symbol is written as those of mice, rats and frogs are."""
    return symbol[:1].isupper() and symbol[1:] != symbol[1:].upper() and symbol[1:] == symbol[1:].lower()
