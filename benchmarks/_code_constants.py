"""Constants of the code that documents mention, by name, so that the code alone says how large they are.

They are read from the source, because importing all of the package takes long.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Any

import _accuracy_sets

import scmpt_scverse

_PACKAGE = Path(scmpt_scverse.__file__).parent
#: Name to file, and to a constant in it, an attribute `Class.name`, or an argument `function(name)` with a default.
_PLACES = {
    "cache.gigabytes": ("encoders/_embedding_cache.py", "_DEFAULT_GB"),
    "chunk.n_cells": ("streaming/_embed_chunks.py", "_CPU_CHUNK_SIZE"),
    "components.n_components": ("evaluation/_components.py", "VariableComponents.__init__(n_components)"),
    "components.n_genes": ("evaluation/_components.py", "VariableComponents.__init__(n_genes)"),
    "encoder.min_expression": ("encoders/_base.py", "Encoder.min_expression"),
    "encoder.fewest_genes": ("encoders/_base.py", "_FEWEST_NEEDED"),
    "encoder.min_genes": ("encoders/_base.py", "_MOST_NEEDED"),
    "integrated_gradients.n_steps": ("attribution/_integrated_gradients.py", "IntegratedGradients.__init__(n_steps)"),
    "knn.n_neighbors": ("evaluation/_baselines.py", "_N_NEIGHBORS"),
    "lime.n_samples": ("attribution/_surrogate.py", "_Surrogate.__init__(n_samples)"),
    "llm.max_attempts": ("llm/_openai_compatible.py", "OpenAICompatibleClient.__init__(max_attempts)"),
    "llm.max_calls": ("llm/_run.py", "DEFAULT_MAX_CALLS"),
    "llm.max_failures": ("llm/_ask.py", "_MAX_FAILURES"),
    "llm.max_rationale": ("llm/_base.py", "MAX_RATIONALE"),
    "novelty.n_axes": ("trust/_novelty.py", "_N_AXES"),
    "novelty.n_references": ("trust/_novelty.py", "N_REFERENCES"),
    "pretraining.max_epochs": ("encoders/pretraining/_recipe.py", "PretrainingRecipe.max_epochs"),
    "pretraining.n_asked": ("encoders/pretraining/_batches.py", "_N_ASKED"),
    "pretraining.n_visible": ("encoders/pretraining/_recipe.py", "PretrainingRecipe.n_visible"),
    "probe.n_seeds": ("tl/_linear_probe.py", "linear_probe(n_seeds)"),
    "probe.n_splits": ("tl/_linear_probe.py", "linear_probe(n_splits)"),
    "ray.n_chunks_per_worker": ("streaming/_ray.py", "_CHUNKS_PER_WORKER"),
    "ray.n_retries": ("streaming/_ray.py", "_MAX_RETRIES"),
    "refine.cells_per_neighbour": ("zero_shot/_neighbourhood.py", "CELLS_PER_NEIGHBOUR"),
    "refine.n_neighbours": ("zero_shot/_neighbourhood.py", "N_NEIGHBOURS"),
}


@cache
def constants() -> dict[str, str]:
    """All of them as text, with thousands apart."""
    values = {name: literal(_PACKAGE / file, path) for name, (file, path) in _PLACES.items()}
    values["counts.n_genes"] = literal(_PACKAGE / "modalities" / "_modality.py", "_COUNTS_OPTIONS")["n_genes"]
    values["encoder.min_expression_percent"] = 100 * values.pop("encoder.min_expression")
    values["refine.fewest_cells"] = 2 * values["refine.cells_per_neighbour"]  # a cell and one other
    values |= {
        "accuracy.n_folds": _accuracy_sets.N_FOLDS,
        "accuracy.few_cells": _accuracy_sets.FEW_CELLS,
        "accuracy.n_partitions": _accuracy_sets.N_PARTITIONS_OF_FEW,
    }
    return {name: f"{value:,.0f}" for name, value in values.items()}


def literal(file: Path, path: str) -> Any:
    """The value of a constant, an attribute or a default in a file of source code.

    Raises
    ------
    KeyError
        The file has no such name.
    """
    names, _, argument = path.rstrip(")").partition("(")
    node: Any = ast.parse(file.read_text(encoding="utf-8"))
    for name in names.split("."):
        node = next((each for each in node.body if name in _names(each)), None)
        if node is None:
            raise KeyError(f"Expected `{path}` in {file}; found no `{name}`. Correct its place in `_PLACES`.")
    return ast.literal_eval(_default(node.args, argument) if argument else node.value)


def _names(node: ast.stmt) -> list[str]:
    """What a statement defines."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
    return [getattr(target, "id", getattr(target, "name", "")) for target in targets]


def _default(arguments: ast.arguments, name: str) -> ast.expr:
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = dict(zip([each.arg for each in positional][::-1], arguments.defaults[::-1], strict=False))
    keyword_only = zip([each.arg for each in arguments.kwonlyargs], arguments.kw_defaults, strict=True)
    return (defaults | {each: value for each, value in keyword_only if value is not None})[name]
