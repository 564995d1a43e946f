"""Name -> implementation, loaded on first use; one instance serves one package."""

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from scmpt_scverse._checks import check_choice, list_some

T = TypeVar("T")


class Registry:
    """Names and where their implementation is, as `"module:attribute"`.

    Parameters
    ----------
    argument
        The argument through which users pass a name; errors quote it.
    entries
        Name to `"module:attribute"`.
    group
        Entry points of other packages that add names, such as `"scmpt_scverse.encoders"`. A name that is in `entries`
        cannot be replaced.
    """

    def __init__(self, argument: str, entries: Mapping[str, str], *, group: str | None = None) -> None:
        self.argument = argument
        self._entries = dict(entries)
        self._group = group

    def names(self) -> list[str]:
        """All registered names: those of this package in order of registration, then those of other packages."""
        return [*self._entries, *self.installed]

    @cached_property
    def installed(self) -> dict[str, EntryPoint]:
        """What other packages registered, by name; their metadata is read, and nothing is imported."""
        found = () if self._group is None else entry_points(group=self._group)
        return {point.name: point for point in found if point.name not in self._entries}

    def load(self, name: str) -> Any:
        """Import and return what is registered as `name`; `ValueError` lists the names otherwise."""
        check_choice(name, self.names(), self.argument)
        if name in self.installed:
            return self.installed[name].load()
        module, attribute = self._entries[name].split(":")
        return getattr(import_module(module), attribute)

    def build(self, given: "str | type[T] | T", contract: type[T], **options: Any) -> T:
        """An implementation of `contract` from its registered name, its class, or as it is.

        Raises
        ------
        ValueError
            An unknown name.
        TypeError
            Something else, or options for an instance, which has its own.
        """
        if isinstance(given, contract):
            if options:
                raise TypeError(
                    f"Options {list_some(options)} cannot change a `{self.argument}` that exists already. Pass them "
                    "when you make it, or pass its class or name."
                )
            return given
        kind = self.load(given) if isinstance(given, str) else given
        if not callable(kind):
            raise TypeError(
                f"`{self.argument}` must be one of {list_some(self.names())}, or a class or instance of "
                f"`{contract.__name__}`; found {given!r}."
            )
        built = kind(**options)
        if not isinstance(built, contract):
            raise TypeError(
                f"`{self.argument}={given!r}` must give an instance of `{contract.__name__}`; found {type(built)}."
            )
        return built
