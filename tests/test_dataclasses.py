"""Options, records and fitted state are values: nothing changes them once they are made."""

import dataclasses
import importlib
import pkgutil

import scmpt_scverse

MODULES = sorted(each.name for each in pkgutil.walk_packages(scmpt_scverse.__path__, "scmpt_scverse.")
                 if not each.name.endswith("__main__"))  # fmt: skip


def test_every_dataclass_is_frozen() -> None:
    found = [
        value
        for name in MODULES
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == name
    ]
    assert len(found) > 50, "dataclasses were not found"
    assert [each.__name__ for each in found if not each.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]
