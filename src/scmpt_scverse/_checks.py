"""Input checks; the one place where error sentences are shaped: what was wrong, what was found, what to do."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from numbers import Integral, Real


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


def check_positive(value: object, argument: str) -> None:
    """Raise `ValueError` unless `value` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"`{argument}` must be a whole number of at least 1; found {value!r}.")


def check_share(value: object, argument: str) -> None:
    """Raise `ValueError` unless `value` is a number in [0, 1]."""
    if not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"`{argument}` must be a share from 0 to 1; found {value!r}.")


def check_name(name: str, argument: str) -> None:
    """Raise `ValueError` unless `name` can be part of a key: HDF5 has no slash in keys, scvi-tools and torch no dot."""
    if not isinstance(name, str) or not name or "/" in name or "." in name:
        raise ValueError(
            f"`{argument}` names something that is written, so it must be a text without slash and dot; found {name!r}."
        )
