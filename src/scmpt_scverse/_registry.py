"""Name -> implementation, loaded on first use; one instance serves one package."""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import signature
from typing import Any, TypeVar

from scmpt_scverse._checks import check_choice, is_of_machine, list_some, warn_user

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
        or `reserved`, or that two packages register differently, is left out with a warning.
    reserved
        Further names that mean something of ours where `argument` is passed.
    """

    def __init__(
        self,
        argument: str,
        entries: Mapping[str, str],
        *,
        group: str | None = None,
        reserved: Collection[str] = (),
    ) -> None:
        self.argument = argument
        self._entries = dict(entries)
        self._group = group
        self._reserved = reserved

    def names(self) -> list[str]:
        """All registered names: those of this package in order of registration, then those of other packages."""
        return [*self._entries, *self.installed]

    @cached_property
    def installed(self) -> dict[str, EntryPoint]:
        """What other packages registered, by name; their metadata is read, and nothing is imported."""
        found: dict[str, list[EntryPoint]] = {}
        for point in () if self._group is None else _entry_points(self._group):
            found.setdefault(point.name, []).append(point)
        usable = {}
        for name, points in found.items():
            if name in self._entries or name in self._reserved:
                problem = f"which is the name of one of ours, so `{self.argument}={name!r}` stands for ours"
            elif len({point.value for point in points}) > 1:
                problem = f"under one name, so `{self.argument}={name!r}` stands for neither"
            else:
                usable[name] = points[0]
                continue
            targets = " and ".join(f"{point.value!r} of {_package(point)}" for point in points)
            warn_user(
                f"The entry points of {self._group!r} register {targets} as {name!r}, {problem}. Rename the entry "
                "point, uninstall its package, or pass the class."
            )
        return usable

    def load(self, name: str) -> Any:
        """Import and return what is registered as `name`.

        Raises
        ------
        ValueError
            An unknown name; the error lists the names.
        ImportError
            What another package registered cannot be imported.
        """
        check_choice(name, self.names(), self.argument)
        if name not in self.installed:
            module, attribute = self._entries[name].split(":")
            return getattr(import_module(module), attribute)
        try:
            return self.installed[name].load()
        except Exception as error:
            if is_of_machine(error):
                raise
            raise self._broken(
                name, f"its import raised {type(error).__name__}: {' '.join(str(error).split())}"
            ) from error

    def build(self, given: "str | type[T] | T", contract: type[T], *arguments: Any, **options: Any) -> T:
        """An implementation of `contract` from its registered name, its class, or as it is.

        Parameters
        ----------
        given
            Registered name, class, function that returns an instance, or instance.
        contract
            What it must be an instance of.
        *arguments, **options
            Of the class or function.

        Raises
        ------
        ValueError
            An unknown name.
        TypeError
            Something else, or options for an instance, which has its own.
        ImportError
            What another package registered cannot be imported, or is something else.
        """
        found: Any = self.load(given) if isinstance(given, str) else given
        if isinstance(found, contract):
            if options:
                raise TypeError(
                    f"Options {list_some(options)} cannot change a `{self.argument}` that exists already. Pass them "
                    "when you make it, or pass its class or name."
                )
            return found
        missing = sorted(getattr(found, "__abstractmethods__", ()))
        fits = callable(found) and not missing and (not isinstance(found, type) or issubclass(found, contract))
        if fits and arguments and isinstance(given, str) and given in self.installed:
            self._check_call(given, found, arguments)
        built = found(*arguments, **options) if fits else found
        if isinstance(built, contract):
            return built
        what = f"found {built!r}" if built is found else f"what {found!r} returned is {built!r}"
        what += f", which does not implement {list_some(missing)}" if missing else ""
        if isinstance(given, str) and given in self.installed:
            raise self._broken(given, f"it must be a class or instance of `{contract.__name__}`; {what}")
        raise TypeError(
            f"`{self.argument}` must be one of {list_some(self.names())}, or a class or instance of "
            f"`{contract.__name__}`; {what}."
        )

    def _check_call(self, name: str, found: Any, arguments: tuple[Any, ...]) -> None:
        try:
            signature(found).bind_partial(*arguments)
        except TypeError as error:
            raise self._broken(name, f"it must take {len(arguments)} arguments in order; found {error}") from error

    def _broken(self, name: str, problem: str) -> ImportError:
        point = self.installed[name]
        return ImportError(
            f"Cannot use {point.value!r}, which {_package(point)} registers as `{self.argument}={name!r}`: {problem}. "
            f"Reinstall or fix that package, or choose one of {list_some(self._entries)}."
        )


def _entry_points(group: str) -> Iterable[EntryPoint]:
    try:
        return entry_points(group=group)
    except (AttributeError, OSError, TypeError, ValueError) as error:  # one damaged file spoils those of all packages
        warn_user(
            f"The entry points of the installed packages cannot be read: {error}. Names of `{group}` that other "
            "packages register are missing until the package with the damaged `entry_points.txt` is reinstalled."
        )
        return ()


def _package(point: EntryPoint) -> str:
    metadata: Any = {} if point.dist is None else point.dist.metadata
    name = metadata.get("Name")
    return "another package" if name is None else f"the package {name!r}"
