"""Import an optional package late, and say which extra brings it."""

from importlib import import_module
from types import ModuleType


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import `module`, or raise an `ImportError` that names the extra which installs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).split(".")[0]  # or a package that `module` itself needs
        raise ImportError(
            f"{purpose} needs the package `{missing}`, which is not installed. "
            f"Install it with `pip install 'scmpt-scverse[{extra}]'`."
        ) from error
