"""Saved models on the Hugging Face hub, or in a folder that others can reach: sent, and fetched."""

import re
import shutil
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from scmpt_scverse._checks import list_some
from scmpt_scverse._optional import import_optional
from scmpt_scverse._saved_files import saved_class

if TYPE_CHECKING:
    from scmpt_scverse._types import StrPath

#: Before the id of a repository, where a folder could be meant as well.
HUB_PREFIX = "hf:"
#: What is fetched: weights and plain values, none of which can run code.
_FILES = ("model.json", "model.safetensors", "README.md")
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_EXTRA, _CLIENT = "download", "huggingface_hub"


def repository_of(place: "StrPath") -> str | None:
    """The id `org/name` of a repository on the hub; `None` for a folder.

    A text of that form is a repository unless there is such a folder; `hf:org/name` always is one, a path object never.
    """
    if isinstance(place, PathLike) and not fspath(place).startswith(HUB_PREFIX):
        return None
    text = fspath(place)
    name = text.removeprefix(HUB_PREFIX)
    if _REPOSITORY.fullmatch(name) and (name != text or not (Path(name).exists() or name.startswith("."))):
        return name
    if name != text:
        raise ValueError(f"Expected a repository such as 'hf:org/name'; found {text!r}. Check the name.")
    return None


def send(folder: Path, place: "StrPath", *, private: bool, token: str | None, message: str) -> str:
    """Copy a saved model to a repository, or to a folder; returns where it is.

    Raises
    ------
    ImportError
        `huggingface_hub` is not installed.
    FileExistsError
        The folder holds something else than a model.
    OSError
        The hub cannot be reached, or refuses.
    """
    repository = repository_of(place)
    if repository is None:
        return _copy(folder, Path(place).expanduser())
    hub = import_optional(_CLIENT, extra=_EXTRA, purpose="Sending a model to the hub")
    try:
        hub.create_repo(repository, private=private, token=token, exist_ok=True)
        sent = hub.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=list(_FILES),
            token=token,
            commit_message=message,
        )
    except errors_of(hub) as error:
        raise OSError(
            f"Could not send the model to {repository!r} ({_reason(error)}). Log in with `hf auth login` or pass "
            "`token=`; or pass the path of a folder, and upload it by other means."
        ) from error
    return str(getattr(sent, "commit_url", sent))


def fetched(place: "StrPath", *, revision: str | None = None, token: str | None = None) -> Path:
    """The folder of a model: fetched from the hub into its cache, where `place` is a repository, else as it is.

    Raises
    ------
    ImportError
        `huggingface_hub` is not installed.
    OSError
        The hub cannot be reached, or has no such model.
    ValueError
        `revision` is given for a folder, or what was fetched is no model of this package.
    """
    repository = repository_of(place)
    if repository is None:
        if revision is not None:
            raise ValueError(f"`revision` is of a repository; found the folder {place}. Leave it out.")
        return Path(place).expanduser()
    hub = import_optional(_CLIENT, extra=_EXTRA, purpose="Fetching a model from the hub")
    options: dict[str, Any] = {"revision": revision, "token": token, "allow_patterns": list(_FILES)}
    try:
        folder = Path(hub.snapshot_download(repository, **options))
    except errors_of(hub) as error:
        raise OSError(
            f"Could not fetch the model {repository!r} ({_reason(error)}). Check the name and the network; or download "
            "its files on another machine, and pass the path of their folder."
        ) from error
    try:
        saved_class(folder)
    except FileNotFoundError as error:
        found = list_some(sorted(path.name for path in folder.iterdir()))
        raise ValueError(
            f"Expected a model of this package in the repository {repository!r}; found {found}. Check the name."
        ) from error
    return folder


def errors_of(hub: ModuleType) -> tuple[type[Exception], ...]:
    """What the client of the hub raises where the network, the hub or the name of a repository is not as it should be.

    Connections that break are reported by the library below, which changed with its versions; the client's own error
    descends from that of the library.
    """
    ancestors = (base for base in hub.errors.HfHubHTTPError.__mro__ if issubclass(base, Exception))
    return (OSError, hub.errors.HFValidationError, *(base for base in ancestors if base is not Exception))


def _copy(folder: Path, place: Path) -> str:
    others = sorted({path.name for path in place.iterdir()} - set(_FILES)) if place.is_dir() else []
    if place.is_file() or others:
        raise FileExistsError(
            f"Expected a new folder, or one with a model alone, at {place}; found {list_some(others) or 'a file'}. "
            "Pass another path."
        )
    place.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        # Beside it first, so that a full disk leaves the file that was there.
        partial = place / f".{name}.partial"
        try:
            shutil.copyfile(folder / name, partial)
            partial.replace(place / name)
        finally:
            partial.unlink(missing_ok=True)
    return str(place.resolve())


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
