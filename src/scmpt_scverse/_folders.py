"""Where this package keeps files of its own, and whether a folder can be written to."""

import os
import tempfile
from pathlib import Path

import platformdirs

#: Environment variables with the folder of the caches, and with that of downloaded encoders.
CACHE_VARIABLE, ENCODERS_VARIABLE = "SCMPT_CACHE", "SCMPT_ENCODERS"


def cache_folder() -> Path:
    """The folder of the caches: what `SCMPT_CACHE` says, else the user's cache folder. It need not exist."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("scmpt-scverse"))


def encoder_folder(name: str) -> Path:
    """The folder that an encoder is downloaded to, inside `SCMPT_ENCODERS` or the user's cache folder."""
    root = os.environ.get(ENCODERS_VARIABLE) or platformdirs.user_cache_path("scmpt-scverse") / "encoders"
    return Path(root) / name


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
