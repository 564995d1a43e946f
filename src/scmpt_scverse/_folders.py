"""Where this package keeps files of its own."""

import os
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
