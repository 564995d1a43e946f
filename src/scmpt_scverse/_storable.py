"""What `.h5ad` files and zarr stores can hold: names, values of `.uns`, and rankings with one field per group."""

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import numpy as np

#: zarr stores a name as that of a file or folder, which may have 255 bytes; some are for suffixes.
_MAX_NAME_BYTES = 240
#: HDF5 keeps the names of all fields in one message of the object header, which has room for 64 kB.
_MAX_FIELDS_BYTES = 65_530
#: Of the columns of a table, such a message holds a reference of 16 bytes each, whatever their names.
MOST_COLUMNS = 4_090
_RESERVED_NAMES = frozenset({".", "..", "_index"})


def storable_names(labels: Iterable[str], reserved: str | None) -> list[str]:
    """Labels as distinct column names that can be stored beside an index that is called `reserved`."""
    names: dict[str, None] = {}
    for label in labels:
        name = storable_text(label).replace("/", "|").encode()[:_MAX_NAME_BYTES].decode(errors="ignore")
        while name in {*_RESERVED_NAMES, reserved} or name in names:
            name += "_"
        names[name] = None
    return list(names)


def labels_of_names(names: Iterable[str], labels: Iterable[str], reserved: str | None) -> list[str]:
    """The labels that columns stand for, the inverse of :func:`storable_names`.

    A file does not keep it: a name that none of `labels`, those that occur in the order of the columns, is written as,
    stands for itself.
    """
    distinct = list(dict.fromkeys(labels))
    label_of = dict(zip(storable_names(distinct, reserved), distinct, strict=True))
    return [label_of.get(name, name) for name in names]


def storable_text(text: str) -> str:
    """Text without what no file holds: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def storable(value: object) -> Any:
    """A value as `.uns` keeps it in a file: plain values, arrays of one kind, and mappings; all else as text."""
    if isinstance(value, str):
        return storable_text(value)
    if value is None or isinstance(value, bool | int | float | np.number | np.bool_):
        return value
    if isinstance(value, Mapping):
        return dict(zip(storable_names(map(str, value), None), map(storable, value.values()), strict=True))
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        items = [storable(item) for item in value]
        is_of_one_kind = any(all(isinstance(item, kind) for item in items) for kind in (str, bool, int, float))
        return items if is_of_one_kind else [str(item) for item in items]
    return storable_text(str(value))


def why_no_name(name: str) -> str | None:
    """Why something of this name cannot be written to a file; `None` where it can."""
    if "/" in name:
        return "HDF5 does not allow slashes in names"
    if name in _RESERVED_NAMES or storable_text(name) != name:
        return "the files have another use for this name, or none"
    n_bytes = len(name.encode())
    if n_bytes > _MAX_NAME_BYTES:
        return f"zarr makes names of folders of them, which can have {_MAX_NAME_BYTES} bytes; found {n_bytes}"
    return None


def check_columns_fit(labels: Sized, where: str) -> None:
    """Refuse more labels than a table with one column per label can have in an `.h5ad` file."""
    if len(labels) > MOST_COLUMNS:
        raise ValueError(
            f"Expected at most {MOST_COLUMNS:,} labels, as many columns as `{where}` can have in an `.h5ad` file; "
            f"found {len(labels):,}. Merge rare labels, or keep what `predict(..., soft=True)` returns beside the data."
        )


def check_groups_fit(groups: Sequence[str]) -> None:
    """Refuse more groups, or longer names of groups, than a ranking with one field per group can have in a file.

    scanpy reads a ranking by `dtype.names`, so that it has to be a structured array, in a file as in memory.
    """
    import h5py

    fields = np.dtype([(group, h5py.string_dtype()) for group in groups])
    n_bytes = len(h5py.h5t.py_create(fields, logical=True).encode())
    if n_bytes > _MAX_FIELDS_BYTES:
        raise ValueError(
            f"Expected groups whose names together fit into an `.h5ad` file, which has {_MAX_FIELDS_BYTES:,} bytes for "
            f"them; found {len(groups)} groups that need {n_bytes:,}. Pass fewer with `groups=`, each time under "
            "another `key_added=`, or give them shorter names."
        )
