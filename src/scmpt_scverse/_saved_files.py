"""Models on disk: weights as safetensors, everything else as JSON. Loading runs no code of the file."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from scmpt_scverse import __version__
from scmpt_scverse._checks import is_of_machine, list_some
from scmpt_scverse._json import MOST_LEVELS, parsed_json

#: Raised when older versions cannot read what is written.
FORMAT = 1
_JSON, _ARRAYS, _PICKLE = "model.json", "model.safetensors", "model.pt"
#: Keys in the file of JSON, and in that of arrays, of the digest of the arrays: it says that both are of one model, and
#: that the arrays have not changed since. Older files of arrays have the first key, with a digest of another kind.
_PAIR, _DIGEST = "pair", "sha256"
_ARRAY, _FRAME = "__array__", "__frame__"
#: What building a model of other values raises; a `ValueError` may be for the user.
_OF_DAMAGE: tuple[type[Exception], ...] = (
    *(AttributeError, IndexError, KeyError, OverflowError, RuntimeError, TypeError),
)


def write_model(folder: Path, prefix: str, content: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write plain values, small arrays and DataFrames of `content` as JSON, and named `arrays` in a file next to it."""
    plain = {name: np.asarray(_numpy(values), order="C") for name, values in arrays.items()}
    pair = _digest(plain)
    record = {"format": FORMAT, "version": __version__, _PAIR: pair, **content}
    text = json.dumps(_encoded(record), indent=1, allow_nan=True)
    # Both are written before either takes its place: a full disk leaves the model that was there. In a folder of their
    # own, so that no link that somebody put there is followed.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".scmpt-") as beside:
        try:
            save_file(plain, Path(beside) / _ARRAYS, metadata={_DIGEST: pair})  # one key: several come in any order
        except SafetensorError as error:  # what it makes of a full disk
            raise OSError(f"Expected to write into {folder}; found that this cannot be done ({error}).") from error
        (Path(beside) / _JSON).write_text(text, encoding="utf-8")
        for name in (_ARRAYS, _JSON):
            os.replace(Path(beside) / name, folder / f"{prefix}{name}")


def read_model(
    folder: Path, prefix: str, names: Sequence[str], *, class_name: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What :func:`write_model` wrote of a model of that class; the content holds at least `names`.

    Raises
    ------
    FileNotFoundError
        There is no saved model.
    ValueError
        It is of another class, is damaged, or was written by another version in a form that this one does not read.
    """
    content = _read_json(folder, prefix)
    found = _class_of(content, folder)
    if found != class_name:  # before its content is looked at: a model of another class holds other things
        raise ValueError(f"Expected a saved {class_name} in {folder}; found a {found}. Load it with that class.")
    _check_names(content, names, folder)
    try:
        with safe_open(folder / f"{prefix}{_ARRAYS}", framework="numpy") as file:
            written = file.metadata() or {}
        arrays = load_file(folder / f"{prefix}{_ARRAYS}")
    # safetensors raises all sorts of things for files that are cut short, none of theirs, or crafted.
    except Exception as error:
        if _is_of_system(error):
            raise
        raise damaged(folder, error) from error
    pair = written.get(_DIGEST, written.get(_PAIR))
    if pair is not None and _PAIR in content and content[_PAIR] != pair:
        raise damaged(folder, f"{_JSON} and {_ARRAYS} are of two models: saving one over the other was interrupted")
    if _DIGEST in written and _digest(arrays) != written[_DIGEST]:
        raise damaged(folder, f"numbers in {_ARRAYS} are others than those that were written")
    return content, arrays


def _digest(arrays: Mapping[str, Any]) -> str:
    """Hexadecimal sha256 of named arrays, in whatever order."""
    digest = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype} {values.shape} ".encode() + values.tobytes())
    return digest.hexdigest()


def saved_class(folder: Path, prefix: str = "") -> str:
    """Name of the class of a saved model, without reading its weights; raises as :func:`read_model`."""
    return _class_of(_read_json(folder, prefix), folder)


def _class_of(content: Mapping[str, Any], folder: Path) -> str:
    _check_names(content, ["model"], folder)
    name = content["model"]
    if not isinstance(name, str):
        raise damaged(folder, f"the class of the model is {name!r}")
    return name


def _check_names(content: Mapping[str, Any], names: Sequence[str], folder: Path) -> None:
    missing = [name for name in names if name not in content]
    if missing:
        raise damaged(folder, f"it has no {list_some(missing)}")


def _read_json(folder: Path, prefix: str) -> dict[str, Any]:
    file = folder / f"{prefix}{_JSON}"
    if not file.is_file() or not (folder / f"{prefix}{_ARRAYS}").is_file():
        if (folder / f"{prefix}{_PICKLE}").is_file():
            raise ValueError(
                f"Expected a model of this version in {folder}; found one saved before version 0.1 ({_PICKLE}), which "
                "is a pickle and is not read. Train it again, and save it."
            )
        found = list_some(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else "no such folder"
        raise FileNotFoundError(
            f"Expected a saved model ({_JSON} and {_ARRAYS}) in {folder}; found {found}. Pass the folder that "
            "`model.save` wrote."
        )
    try:
        content = _decoded(parsed_json(file.read_text(encoding="utf-8")))
    except Exception as error:  # as above, of json
        if _is_of_system(error):
            raise
        raise damaged(folder, error) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        written = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"Expected a model in format {FORMAT} in {folder}; found {written!r}. Install the version of scmpt-scverse "
            "that wrote it, or train it again."
        )
    return content


def damaged(folder: Path, reason: object) -> ValueError:
    """The error for a model whose files do not hold what they should."""
    text = " ".join((str(reason) or type(reason).__name__).split())
    return ValueError(f"The model in {folder} cannot be read ({text}). Copy it again, or train it again.")


def _is_of_system(error: Exception) -> bool:
    """Whether the file could not be read whatever it holds: no permission, no memory, too many open files."""
    return is_of_machine(error) or (isinstance(error, OSError) and error.errno is not None)


@contextmanager
def undamaged(folder: Path, *also: type[Exception]) -> Iterator[None]:
    """Say that the files of a model are damaged, where what they hold makes no model; `also` are further errors."""
    try:
        yield
    except (*_OF_DAMAGE, *also) as error:
        if is_of_machine(error):
            raise
        raise damaged(folder, error) from error


def under(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The arrays whose name begins with `prefix` and a dot, without these."""
    return {name.removeprefix(f"{prefix}."): values for name, values in arrays.items() if name.startswith(f"{prefix}.")}


def named(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`under`."""
    return {f"{prefix}.{name}": values for name, values in arrays.items()}


def _numpy(values: Any) -> "np.ndarray[Any, Any]":
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def _encoded(value: Any) -> Any:
    """A value as JSON holds it."""
    if isinstance(value, Mapping):
        return {str(key): _encoded(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        kind = "text" if value.dtype.kind in "OUS" else value.dtype.str
        return {_ARRAY: [_encoded(item) for item in value.tolist()], "dtype": kind}
    if isinstance(value, pd.DataFrame):
        (column,) = value.columns
        values = [float(item) for item in value[column]]
        return {_FRAME: values, "column": str(column), "dtype": str(value[column].dtype), "index": value.index.tolist()}
    if isinstance(value, list | tuple | range):
        return [_encoded(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _decoded(value: Any, level: int = 0) -> Any:
    """The inverse of :func:`_encoded`; `ValueError` for what is nested deeper than it writes."""
    if level > MOST_LEVELS:
        raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
    if isinstance(value, list):
        return [_decoded(item, level + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        return np.array(value[_ARRAY], dtype=object if value["dtype"] == "text" else _harmless_type(value["dtype"]))
    if _FRAME in value:
        index = pd.Index(value["index"], name="epoch")
        return pd.DataFrame({value["column"]: value[_FRAME]}, index=index).astype(_harmless_type(value["dtype"]))
    return {key: _decoded(item, level + 1) for key, item in value.items()}


def _harmless_type(name: str) -> "np.dtype[Any]":
    """The type of that name; `ValueError` for text and records of fixed size, one of which may take any room."""
    dtype = np.dtype(name)
    if dtype.kind not in "biufO":
        raise ValueError(f"it holds values of type {name!r}")
    return dtype
