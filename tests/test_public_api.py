"""The public names and their arguments are those of `public_api.txt`, so that none changes unseen.

After a change that is meant, and stands in the changelog: `python -m tests.test_public_api > tests/public_api.txt`.
"""

import dataclasses
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

import scmpt_scverse
from scmpt_scverse import encoders, llm, pp

STORED = Path(__file__).parent / "public_api.txt"
PACKAGES = sorted(path.parent.name for path in Path(scmpt_scverse.__file__).parent.glob("[!_]*/__init__.py"))


def public_api() -> Iterator[str]:
    """A line for each public function, class and method of ours, with its arguments and their defaults."""
    for name in sorted(scmpt_scverse.__all__):
        if isinstance(getattr(scmpt_scverse, name), type):
            yield from _lines(name, getattr(scmpt_scverse, name))
    for package in PACKAGES:
        module = import_module(f"scmpt_scverse.{package}")
        for name in sorted(getattr(module, "__all__", [])):
            if not hasattr(scmpt_scverse, name):
                yield from _lines(f"{package}.{name}", getattr(module, name))
    # What `options=` of trainings takes: users build these, although the package is not theirs to call.
    for name, value in sorted(vars(import_module("scmpt_scverse.module")).items()):
        if name.endswith("Options"):
            yield from _lines(f"module.{name}", value)


def _lines(name: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield f"{name}{_arguments(value)}" if callable(value) else name
        return
    yield f"{name}{_arguments(value)}"
    for method, found in sorted(inspect.getmembers(value)):
        is_ours = str(getattr(found, "__module__", "")).startswith("scmpt_scverse")
        if not method.startswith("_") and callable(found) and is_ours:
            yield f"{name}.{method}{_arguments(found)}"


def _arguments(value: Any) -> str:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))


def test_the_public_api_is_as_stored() -> None:
    found, stored = list(public_api()), STORED.read_text(encoding="utf-8").splitlines()
    assert len(stored) > 100
    gone, new = [line for line in stored if line not in found], [line for line in found if line not in stored]
    assert (gone, new) == ([], []), "the public API changed: see the first lines of this file"


def test_frozen_objects_of_users_can_be_compared_and_be_keys() -> None:
    numbers = {field.name: 0 for field in dataclasses.fields(llm.Report)}
    made: list[Any] = [
        pp.Orthologs.of("mouse"),
        encoders.PretrainingRecipe(),
        llm.Report(**{**numbers, "scores": pd.DataFrame({"macro_f1": [0.5, 0.6]})}),
    ]
    modules = [import_module(f"scmpt_scverse.{package}") for package in PACKAGES]
    public = [getattr(module, name) for module in modules for name in getattr(module, "__all__", [])]
    assert {type(each) for each in made} == {each for each in public if dataclasses.is_dataclass(each)}
    numbered = {each: number for number, each in enumerate(made)}
    for number, each in enumerate(made):
        assert numbered[each] == number
        assert isinstance(each == dataclasses.replace(each), bool)


if __name__ == "__main__":
    print("\n".join(public_api()))
