"""The structure in `docs/developer/architecture.md`: what imports what, and how thin the model classes are."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from scvi.model.base import BaseModelClass

import scmpt_scverse
from scmpt_scverse import SCMPT

SOURCE = Path(scmpt_scverse.__file__).parent


def _imports() -> Iterator[tuple[Path, str, ast.ImportFrom]]:
    """Every import of something of ours: the file, its package, and the import."""
    for file in SOURCE.rglob("*.py"):
        parts = file.relative_to(SOURCE).parts
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scmpt_scverse"):
                yield file, parts[0] if len(parts) > 1 else "", node


def test_the_page_has_the_layers_of_the_contract() -> None:
    root = SOURCE.parents[1]
    page = root / "docs" / "developer" / "architecture.md"
    if not page.is_file():
        pytest.skip("the documentation is not part of what is installed")
    text = page.read_text()
    contract = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    rows = [re.findall("`([a-z_0-9]+)`", row) for row in re.findall(r"^\| \d+ \|(.*)\|$", text, re.MULTILINE)]
    assert rows == [layer.split(" | ") for layer in contract]
    described = set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))
    assert described == {name for row in rows for name in row if not name.startswith("_")}


def test_packages_read_only_public_names_of_one_another() -> None:
    n_checked, found = 0, []
    for file, package, node in _imports():
        path = (node.module or "").split(".")[1:]
        n_checked += 1
        is_own = bool(path) and path[0] == package
        is_root_module = len(path) == 1 and path[0].startswith("_")
        reads_private = any(part.startswith("_") for part in path) or any(
            name.name.startswith("_") for name in node.names
        )
        if reads_private and not is_own and not is_root_module and node.names[0].name != "__version__":
            found.append(f"{file.relative_to(SOURCE)}:{node.lineno} imports {node.module}")
    assert n_checked > 400, "the imports were not found"
    assert found == []


def test_nothing_outside_reads_private_names_of_a_model() -> None:
    found = [
        f"{file.relative_to(SOURCE)}:{node.lineno} model.{node.attr}"
        for file in SOURCE.rglob("*.py")
        if "model" not in file.relative_to(SOURCE).parts
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "model"
        and node.attr.startswith("_")
    ]
    assert found == []


def test_model_classes_are_thin() -> None:
    assert len(list((SOURCE / "model").glob("*.py"))) <= 10
    above_base = SCMPT.__mro__[: SCMPT.__mro__.index(BaseModelClass)]
    assert len(above_base) <= 5
    for mixin in above_base[1:]:
        assert mixin.__bases__ == (object,), f"{mixin.__name__} inherits"
