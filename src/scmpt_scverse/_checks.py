"""Input checks; the one place where error sentences are shaped: what was wrong, what was found, what to do."""

import sys
import warnings
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_HERE = Path(__file__).parent


def list_some(values: Iterable[object], limit: int = 8) -> str:
    """The first few values for an error sentence: `'a', 'b', ... (12 in all)`."""
    texts = [repr(str(value)) for value in values]
    if not texts:
        return "none"
    if len(texts) <= limit:
        return ", ".join(texts)
    return f"{', '.join(texts[:limit])}, ... ({len(texts)} in all)"


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest choice, or nothing."""
    nearest = get_close_matches(name, list(choices), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def check_choice(value: str, choices: Sequence[str], argument: str) -> None:
    """Raise `ValueError` unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(
            f"Unknown `{argument}={value!r}`. Choose one of {list_some(choices)}.{did_you_mean(str(value), choices)}"
        )


def check_key(key: str, present: Iterable[str], where: str, *, hint: str = "") -> None:
    """Raise `KeyError` unless `key` is among the `present` keys of `where` (for instance `adata.obs`)."""
    keys = [str(name) for name in present]
    if key not in keys:
        raise KeyError(f"No {key!r} in `{where}`; found {list_some(keys)}.{did_you_mean(key, keys)}{hint}")


def check_cells(adata: object, *, mudata_ok: bool = False) -> None:
    """Raise `TypeError` unless `adata` is an AnnData, or where `mudata_ok`, a MuData."""
    from anndata import AnnData

    if isinstance(adata, AnnData):
        return
    from mudata import MuData

    if isinstance(adata, MuData):
        if mudata_ok:
            return
        advice = f"Pass one of its modalities, {list_some(adata.mod)}: `mdata[...]`."
    elif isinstance(adata, str | PathLike):
        advice = "Read the file first: `anndata.read_h5ad(path)`."
    else:
        advice = "Put expression into `AnnData(X)`, with gene symbols as `var_names`."
    raise TypeError(f"Expected an AnnData{' or a MuData' if mudata_ok else ''}; found {type_name(adata)}. {advice}")


def check_table(table: object, columns: Iterable[str], argument: str, source: str) -> "pd.DataFrame":
    """`table`; `TypeError` unless it is a DataFrame, `KeyError` unless it has the columns that `source` gives."""
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"Expected a DataFrame as `{argument}`; found {type_name(table)}. Pass what {source} returns.")
    for column in columns:
        check_key(column, table.columns, argument, hint=f" Pass what {source} returns.")
    return table


def type_name(value: object) -> str:
    """The type of a value, as errors name it."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def check_positive(value: object, argument: str) -> None:
    """Raise `ValueError` unless `value` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"`{argument}` must be a whole number of at least 1; found {value!r}.")


def check_share(value: object, argument: str) -> None:
    """Raise `ValueError` unless `value` is a number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"`{argument}` must be a share from 0 to 1; found {value!r}.")


def check_name(name: str, argument: str) -> None:
    """Raise `ValueError` unless `name` can be part of a key: HDF5 has no slash in keys, scvi-tools and torch no dot."""
    if not isinstance(name, str) or not name or "/" in name or "." in name:
        raise ValueError(
            f"`{argument}` names something that is written, so it must be a text without slash and dot; found {name!r}."
        )


def warn_user(message: str) -> None:
    """A `UserWarning` that points at the caller's line, however deep in this package it arises."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and Path(frame.f_code.co_filename).is_relative_to(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level + 1)
