"""What can be known of a block without running it: it compiles, and what it takes from this package exists."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

PACKAGE = "scmpt_scverse"


def wrong_names(code: str) -> list[str]:
    """What of this package is missing: names, methods of its models, keyword arguments.

    Parameters
    ----------
    code
        A block, after all blocks of the page that stand above it: names are followed from where they are bound.
    """
    tree = ast.parse(code)
    known: dict[str, Any] = {}
    wrong = [problem for node in ast.walk(tree) for problem in _imported(node, known)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            made = _made_by(node.value, known)
            if made is not None:
                known[node.targets[0].id] = made
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Call):
            wrong += _missing(node, known)
    return sorted(set(wrong))


def _imported(node: ast.AST, known: dict[str, Any]) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
        module = import_module(node.module or "")
        for alias in node.names:
            if hasattr(module, alias.name):
                known[alias.asname or alias.name] = getattr(module, alias.name)
            else:
                yield f"{node.module}.{alias.name}"


def _made_by(node: ast.expr, known: dict[str, Any]) -> Any:
    """The class of what a constructor, or a class method of a model such as `load`, gives."""
    if not isinstance(node, ast.Call):
        return None
    called = node.func.value if isinstance(node.func, ast.Attribute) else node.func
    found = _resolved(called, known)
    return found if inspect.isclass(found) else None


def _resolved(node: ast.expr, known: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(_resolved(node.value, known), node.attr, None)
    return None


def _missing(node: ast.Attribute | ast.Call, known: dict[str, Any]) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        owner = _resolved(node.value, known)
        # Attributes that only instances have, such as `model.history`, are not in the class.
        is_searched = inspect.ismodule(owner) or (inspect.isclass(owner) and isinstance(node.ctx, ast.Load))
        if is_searched and not hasattr(owner, node.attr):
            yield ast.unparse(node)
        return
    called = _resolved(node.func, known)
    if not callable(called):
        return
    parameters = inspect.signature(called).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return
    names = {each.name for each in parameters}
    yield from (
        f"{ast.unparse(node.func)}({word.arg}=)" for word in node.keywords if word.arg and word.arg not in names
    )
