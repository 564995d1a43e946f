"""Input checks; the one place where error sentences are shaped: what was wrong, what was found, what to do."""

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from math import isfinite
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray

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
    if not len(choices):
        raise ValueError(f"Expected a choice for `{argument}={value!r}`; found none. Pass data that is not empty.")
    if value not in choices:
        raise ValueError(
            f"Unknown `{argument}={value!r}`. Choose one of {list_some(choices)}.{did_you_mean(str(value), choices)}"
        )


def check_key(key: str, present: Iterable[str], where: str, *, hint: str = "") -> None:
    """Raise `KeyError` unless `key` is among the `present` keys of `where` (for instance `adata.obs`)."""
    keys = [str(name) for name in present]
    if key not in keys:
        raise KeyError(f"No {key!r} in `{where}`; found {list_some(keys)}.{did_you_mean(str(key), keys)}{hint}")


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


def check_table(
    table: object, columns: Iterable[str], argument: str, source: str, *, numbers: Iterable[str] = ()
) -> "pd.DataFrame":
    """`table`, its columns of Python numbers as arrays; an error unless it has the columns that `source` gives.

    Raises
    ------
    TypeError
        It is not a DataFrame, or a column of `numbers` holds something else.
    KeyError
        It does not have one of `columns` or `numbers`.
    ValueError
        Two columns have one name.
    """
    import pandas as pd

    advice = f" Pass what {source} returns."
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"Expected a DataFrame as `{argument}`; found {type_name(table)}.{advice}")
    for column in (*columns, *numbers):
        check_key(str(column), table.columns, argument, hint=advice)
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise ValueError(
            f"Expected columns of different names in `{argument}`; found {list_some(twice)} twice.{advice}"
        )
    found: pd.DataFrame = table.infer_objects()
    texts = [column for column in numbers if not pd.api.types.is_numeric_dtype(found[column])]
    if texts:
        raise TypeError(
            f"Expected numbers in `{argument}[{texts[0]!r}]`; found {found[texts[0]].dtype} values such as "
            f"{list_some(found[texts[0]].iloc[:1])}. Convert the column with `pandas.to_numeric`."
        )
    return found


def check_no_cells(
    values: object,
    argument: str,
    *,
    advice: str = "what it holds, such as `adata.obs['cell_type']` or `adata.obsm['X_pca']`",
) -> None:
    """Raise `TypeError` for an AnnData or a MuData where an array or a column is expected.

    `advice` completes the sentence "Pass ...".
    """
    if hasattr(values, "obsm") and hasattr(values, "obs"):
        raise TypeError(f"Expected an array or a column as `{argument}`; found {type_name(values)}. Pass {advice}.")


def checked_numbers(values: object, argument: str, *, ndim: int) -> "FloatArray":
    """Numbers as doubles, in an array of `ndim` dimensions; NaN where one is missing or masked.

    Raises
    ------
    TypeError
        `values` is, or holds, something else than numbers.
    ValueError
        It has another number of dimensions, or rows of different lengths.
    """
    import numpy as np
    import pandas as pd

    check_no_cells(values, argument)
    advice = f"Pass {'a table' if ndim == 2 else 'a column'} of numbers: a NumPy array, or one of pandas."
    if hasattr(values, "toarray"):  # a sparse matrix
        values = values.toarray()
    try:
        is_masked = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
        array = np.asarray(values.to_numpy() if isinstance(values, pd.DataFrame | pd.Series | pd.Index) else values)
        if array.dtype == object:
            array = np.where(pd.isna(array), np.nan, array)
            is_number = all(isinstance(value, Real) for value in array.flat)
            array = array.astype(np.float64) if is_number else array
    except (ValueError, RuntimeError, TypeError) as error:  # rows of different lengths; tensors that are not free
        why = str(error).rstrip(".")
        raise ValueError(f"Expected numbers in `{argument}`; found {type_name(values)}: {why}. {advice}") from error
    if array.dtype.kind not in "biuf":
        example = f" such as {str(array.flat[0])!r}" if array.ndim and array.size else ""
        raise TypeError(
            f"Expected numbers in `{argument}`; found {type_name(values)} of {array.dtype} values{example}. {advice}"
        )
    if array.ndim != ndim:
        raise ValueError(f"Expected {ndim} dimensions in `{argument}`; found shape {array.shape}. {advice}")
    array = array.astype(np.float64)
    return array if is_masked is None else np.where(is_masked, np.nan, array)


def check_same_cells(first: object, second: object, arguments: tuple[str, str]) -> None:
    """Raise `ValueError` where two columns or tables of equal length name other cells, or in another order.

    Arrays name none, and neither does an index that only counts rows.
    """
    import pandas as pd

    if not isinstance(first, pd.DataFrame | pd.Series) or not isinstance(second, pd.DataFrame | pd.Series):
        return
    names, others = (list(map(str, each.index)) for each in (first, second))
    if names == others or len(names) != len(others):
        return
    is_reordered = sorted(names) == sorted(others)
    counted = list(map(str, range(len(names))))
    if counted in (names, others) and not is_reordered:
        return
    row = next(row for row in range(len(names)) if names[row] != others[row])
    one, other = arguments
    found = "the same names in another order" if is_reordered else "other names"
    raise ValueError(
        f"Expected the same cells in `{one}` and `{other}`, in the same order; found {found}, such as {names[row]!r} "
        f"beside {others[row]!r}. Pass `{other}` with `.loc[names]` in the order of `{one}`, or arrays "
        "(`.to_numpy()`) if the rows are in the same order."
    )


def type_name(value: object) -> str:
    """The type of a value, as errors name it."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def check_positive(value: object, argument: str) -> None:
    """Raise `ValueError` unless `value` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"`{argument}` must be a whole number of at least 1; found {value!r}.")


def check_seed(value: object) -> None:
    """Raise `ValueError` unless `value` can be a seed: a whole number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise ValueError(f"`seed` must be a whole number of at least 0; found {value!r}.")


def check_number(value: object, argument: str, *, above: float | None = None, least: float = 0.0) -> None:
    """Raise `ValueError` unless `value` is a finite number of at least `least`, or where given, above `above`."""
    is_number = not isinstance(value, bool) and isinstance(value, Real) and isfinite(number := float(value))
    if not is_number or (number < least if above is None else number <= above):
        bound = f"at least {least:g}" if above is None else f"above {above:g}"
        raise ValueError(f"`{argument}` must be {bound}; found {value!r}.")


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


def is_of_machine(error: BaseException) -> bool:
    """Whether an error is about the memory or the depth of calls, so that no file that is being read is at fault."""
    if isinstance(error, MemoryError | RecursionError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)  # of PyTorch, on the processor


@contextmanager
def errors_named(name: str) -> Iterator[None]:
    """Say of which of several files or objects an error is; no name, no change."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        if not name:
            raise
        kind = KeyError if isinstance(error, KeyError) else ValueError  # it is the file that has the wrong type
        raise kind(f"{name}: {error.args[0] if error.args else error}") from error


def warn_user(message: str) -> None:
    """A `UserWarning` that points at the caller's line, however deep in this package it arises."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and Path(frame.f_code.co_filename).is_relative_to(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level + 1)


def rows_of(
    adata: "AnnData", indices: "Sequence[int] | IntArray | BoolArray | None", argument: str = "indices"
) -> "IntArray":
    """Row numbers from an argument: whole numbers, a mask of length `n_obs`, or `None` for all.

    Negative numbers are refused: pandas' `get_indexer` gives -1 for a name that is not there, which would be read as
    the last cell.
    """
    import numpy as np

    if indices is None:
        return np.arange(adata.n_obs)
    rows = np.asarray(indices)
    if rows.size == 0:
        return np.empty(0, dtype=np.int64)
    if rows.dtype == bool and rows.shape == (adata.n_obs,):
        return np.flatnonzero(rows)
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise TypeError(
            f"`{argument}` must be row numbers or a mask of length {adata.n_obs}; found {rows.dtype} of shape "
            f"{rows.shape}. For names use `adata.obs_names.get_indexer(names)`."
        )
    outside = rows[(rows < 0) | (rows >= adata.n_obs)]
    if outside.size:
        raise IndexError(
            f"`{argument}` must be row numbers from 0 to {adata.n_obs - 1}; found "
            f"{', '.join(map(str, outside[:3]))}. "
            "`adata.obs_names.get_indexer(names)` gives -1 for a name that is not there."
        )
    return rows.astype(np.int64)
