"""Where this package keeps files of its own, and whether folders and files can be written to."""

import json
import os
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from scmpt_scverse._json import parsed_json

#: Models that come with this package: `model` opens them, and `encoders` reads the profiles of text models.
BUNDLED_MODELS = Path(__file__).parent / "model" / "bundled"
#: Environment variables with the folder of the caches, and with that of downloaded encoders.
CACHE_VARIABLE, ENCODERS_VARIABLE = "SCMPT_CACHE", "SCMPT_ENCODERS"
#: What a training was started with, in the folder that it can be resumed from.
_RUN_FILE, _PARTIAL = "run.json", ".partial"


def cache_folder() -> Path:
    """The folder of the caches: what `SCMPT_CACHE` says, else the user's cache folder. It need not exist."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("scmpt-scverse"))


def encoder_folder(name: str) -> Path:
    """The folder that an encoder is downloaded to, inside `SCMPT_ENCODERS` or the user's cache folder."""
    root = os.environ.get(ENCODERS_VARIABLE) or platformdirs.user_cache_path("scmpt-scverse") / "encoders"
    return Path(root) / name


def check_name(path: Path) -> None:
    """Raise the `OSError` of a name that no file can have, such as one that is too long.

    From Python 3.14 on, `Path.exists` and its like say no instead.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        path.lstat()


def check_folder(folder: Path) -> None:
    """Refuse, before any work, a folder that no file can be written to.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    OSError
        It cannot be written to: it is read-only, belongs to somebody else, or is on a full disk.
    """
    folder = folder.absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"The folder {folder} does not exist. Make it, or choose another one.")
    probe = None
    try:
        # Tried, because permissions do not tell of read-only disks, quotas, and what an administrator may do.
        file, probe = tempfile.mkstemp(dir=folder, prefix=".scmpt-")
        try:
            os.write(file, b"x")
        finally:
            os.close(file)
    except OSError as error:
        raise type(error)(
            error.errno, f"The folder {folder} cannot be written to ({error.strerror}). Choose another one."
        ) from error
    finally:
        if probe is not None:
            os.unlink(probe)


def check_new_folder(path: Path) -> None:
    """Refuse a folder that cannot be made, with those above it, or written to."""
    check_name(path)
    nearest = path.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise FileExistsError(f"Expected a folder at {nearest}; found a file. Choose another name.")
    check_folder(nearest)


def check_run_folder(folder: Path) -> None:
    """Refuse, before any work, a folder that :func:`claim_run` refuses whatever the run, or cannot make.

    Raises
    ------
    OSError
        It cannot be made or written to.
    ValueError
        It holds something else than a run.
    """
    check_new_folder(folder)
    if folder.exists() and not _is_unclaimed(folder):
        _record_of_run(folder)


def check_file(path: Path) -> None:
    """Refuse, before any work, a place where no file can be written; raises as :func:`check_folder`."""
    check_name(path)
    if path.is_dir():
        raise FileExistsError(f"Expected a file at {path}; found a folder. Choose another name.")
    check_folder(Path(os.path.realpath(path)).parent)  # a link is followed


def check_appendable(path: Path) -> None:
    """Refuse, before any work, a file that nothing can be added to, or made in the place of.

    Raises
    ------
    FileExistsError
        There is a folder of this name, or a file where a folder should be.
    OSError
        The file, or the folder that it would be in, cannot be written to.
    """
    if path.is_dir():
        raise FileExistsError(f"Expected a file at {path}; found a folder. Choose another name.")
    is_there = os.path.lexists(path)
    if not is_there:
        check_new_folder(path.parent)
        if not path.parent.exists():
            return
    try:
        # Tried, as for folders; a file that was not there is removed.
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | (0 if is_there else os.O_CREAT | os.O_EXCL)))
        if not is_there:
            path.unlink()
    except FileExistsError:
        return  # somebody made it meanwhile
    except OSError as error:
        raise type(error)(
            error.errno, f"The file {path} cannot be written to ({error.strerror}). Choose another name."
        ) from error


def claim_run(folder: Path, record: Mapping[str, Any]) -> None:
    """Begin a training in a folder, or make sure that the one in it is this one, so that it can be resumed.

    Parameters
    ----------
    folder
        Made where it is missing.
    record
        All that decides the result, as plain values.

    Raises
    ------
    ValueError
        The folder holds something else, or a training with other data or options.
    """
    if not folder.exists() or _is_unclaimed(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # Under a name of its own, since several processes may begin at the same time.
        partial = folder / f"{_RUN_FILE}-{uuid.uuid4().hex}{_PARTIAL}"
        partial.write_text(json.dumps(record, indent=1), encoding="utf-8")
        os.replace(partial, folder / _RUN_FILE)
        return
    before = _record_of_run(folder)
    now = json.loads(json.dumps(record))
    if now != before:
        changes = [
            f"{name}: {before.get(name)!r} then, {now.get(name)!r} now"
            for name in now | before
            if now.get(name) != before.get(name)
        ]
        raise ValueError(
            f"{folder} holds an interrupted run with other data or options ({'; '.join(changes)}). Pass what it was "
            "started with to resume it, remove the folder to restart, or choose another output."
        )


def _is_unclaimed(folder: Path) -> bool:
    """Whether no run has begun in a folder that is there."""
    return folder.is_dir() and all(
        path.name.startswith("run.") and path.suffix == _PARTIAL for path in folder.iterdir()
    )


def _record_of_run(folder: Path) -> dict[str, Any]:
    try:
        return dict(parsed_json((folder / _RUN_FILE).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected an interrupted run in {folder}; its {_RUN_FILE} cannot be read ({error}). Remove the folder, or "
            "choose another one."
        ) from error
