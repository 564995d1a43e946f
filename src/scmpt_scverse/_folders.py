"""Where this package keeps files of its own."""

import os
from pathlib import Path

import platformdirs

#: Environment variable that says where the caches are.
CACHE_VARIABLE = "SCMPT_CACHE"


def cache_folder() -> Path:
    """The folder of the caches: what `SCMPT_CACHE` says, else the user's cache folder. It need not exist."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("scmpt-scverse"))
