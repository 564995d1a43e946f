"""Every public function whose first argument is cells refuses what is no AnnData, and says what to pass."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scmpt_scverse import pl, pp, tl

#: Values of further arguments that are checked first; any text does for the others.
ARGUMENTS: dict[str, Any] = {"path": "report.html", "keys": ["one", "other"]}


def functions() -> Iterator[Callable[..., Any]]:
    for package in (pp, tl, pl):
        for name in package.__all__:
            function = getattr(package, name)
            if inspect.isfunction(function) and next(iter(inspect.signature(function).parameters), "") == "adata":
                yield function


@pytest.mark.parametrize("function", list(functions()), ids=lambda function: function.__qualname__)
def test_what_is_no_cells_is_refused(function: Callable[..., Any]) -> None:
    _, *others = inspect.signature(function).parameters.values()
    needed = [each.name for each in others if each.default is each.empty and each.kind is not each.VAR_KEYWORD]
    for wrong in (None, [1.0], {"obs": 1}):
        with pytest.raises(TypeError, match="Expected an AnnData"):
            function(wrong, **{name: ARGUMENTS.get(name, "text") for name in needed})


def test_functions_are_found() -> None:
    assert {"cell_sentences", "embed", "smooth_probabilities", "report"} <= {each.__name__ for each in functions()}
