"""Name -> implementation, loaded on first use; one instance serves one room."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from scmpt_scverse._checks import check_choice


class Registry:
    """Names and where their implementation lives, as `"module:attribute"`.

    Parameters
    ----------
    argument
        The argument through which users pass a name; error sentences quote it.
    entries
        Name to `"module:attribute"`.
    """

    def __init__(self, argument: str, entries: Mapping[str, str]) -> None:
        self.argument = argument
        self._entries = dict(entries)

    def names(self) -> list[str]:
        """All registered names, in order of registration."""
        return list(self._entries)

    def load(self, name: str) -> Any:
        """Import and return what is registered as `name`; `ValueError` lists the names otherwise."""
        check_choice(name, self.names(), self.argument)
        module, attribute = self._entries[name].split(":")
        return getattr(import_module(module), attribute)
