"""Change one operator or number of the package at a time, and see whether a test fails: `make mutate`.

Mutants are those of cosmic-ray. Each is tried in a process of its own, forked from one that has imported torch and the
like, and compiled from memory: no file changes. `MUTATE_ARGS="--sample 120 --seed 0"` tries some of them, since all
take hours. Prints a table, and stores it with what survived in `benchmarks/results/mutation.json`.
"""

import argparse
import ast
import importlib
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "scmpt_scverse"
RESULTS = ROOT / "benchmarks" / "results" / "mutation.json"
#: Tests that cover a package, and in their place those that cover one of its modules, the nearest first.
TESTS = {
    "pp": ["tests/pp"],
    "pp/_cell_sentence": ["tests/pp/test_cell_sentence.py", "tests/pp/test_cluster_sentence.py",
                          "tests/pp/test_wide_data.py"],
    "pp/_expression": ["tests/pp/test_expression.py", "tests/pp/test_gene_names.py", "tests/pp/test_cell_sentence.py"],
    "pp/_gene_names": ["tests/pp/test_gene_names.py", "tests/pp/test_name_forms.py"],
    "pp/_gene_tokens": ["tests/pp/test_gene_tokens.py", "tests/pp/test_wide_data.py", "tests/encoders/test_golden.py"],
    "pp/_gene_lists": ["tests/pp/test_gene_lists.py"],
    "pp/_stored_matrix": ["tests/pp/test_stored_matrix.py", "tests/pp/test_expression.py"],
    "pp/_name_parts": ["tests/pp/test_name_forms.py", "tests/pp/test_gene_names.py"],
    "pp/_identifier_systems": ["tests/pp/test_name_forms.py", "tests/pp/test_gene_names.py"],
    "pp/_normalisation": ["tests/pp/test_normalisation.py", "tests/pp/test_cluster_sentence.py"],
    "pp/_sentence_forms": ["tests/pp/test_sentence_forms.py"],
    "pp/_column_symbols": ["tests/pp/test_gene_names.py", "tests/pp/test_orthologs.py", "tests/pp/test_species.py"],
    "pp/_gene_overlap": ["tests/pp/test_gene_names.py", "tests/tl/test_gene_name_forms.py"],
    "pp/_map_orthologs": ["tests/pp/test_orthologs.py", "tests/pp/test_species.py"],
    "pp/_orthologs": ["tests/pp/test_orthologs.py", "tests/pp/test_species.py"],
    "pp/_panel": ["tests/model/test_panel.py"],
    "pp/_species": ["tests/pp/test_species.py", "tests/pp/test_orthologs.py"],
    "module": ["tests/module/test_fusion_classifier.py", "tests/contracts/test_fusion_heads.py"],
    "module/_cell_text_loss": ["tests/module/test_cell_text_loss.py", "tests/module/test_cell_to_text.py"],
    "module/_cell_to_text": ["tests/module/test_cell_to_text.py"],
    "module/_cell_tokens": ["tests/module/test_cell_tokens.py"],
    "module/_cell_writer": ["tests/module/test_cell_writer.py", "tests/description/test_language_model_writer.py"],
    "module/_classifier": ["tests/module/test_classifier.py", "tests/module/test_gradient_fit.py",
                           "tests/test_public_api.py", "tests/contracts/test_fusion_heads.py"],
    "module/_data_module": ["tests/module/test_data_module.py", "tests/contracts/test_fusion_heads.py"],
    "module/_describe_loss": ["tests/module/test_describe_loss.py"],
    "module/_fusion_attention": ["tests/module/test_heads_by_hand.py", "tests/contracts/test_fusion_heads.py"],
    "module/_fusion_base": ["tests/module/test_heads_by_hand.py", "tests/module/test_fusion_classifier.py",
                            "tests/test_public_api.py", "tests/contracts/test_fusion_heads.py"],
    "module/_fusion_classifier": ["tests/module/test_fusion_classifier.py", "tests/module/test_heads_by_hand.py",
                                  "tests/contracts/test_fusion_heads.py"],
    "module/_fusion_gated": ["tests/module/test_heads_by_hand.py", "tests/contracts/test_fusion_heads.py"],
    "module/_fusion_stacked": ["tests/module/test_stacking.py", "tests/module/test_linear_heads.py",
                               "tests/module/test_heads_by_hand.py", "tests/contracts/test_fusion_heads.py"],
    "module/_generator": ["tests/module/test_generator.py"],
    "module/_generator_decoders": ["tests/module/test_generator_network.py", "tests/module/test_generator.py"],
    "module/_generator_network": ["tests/module/test_generator_network.py", "tests/test_public_api.py",
                                  "tests/module/test_generator.py"],
    "module/_gradient_fit": ["tests/module/test_gradient_fit.py", "tests/contracts/test_fusion_heads.py"],
    "module/_kept_tensors": ["tests/module/test_streamed_fit.py"],
    "module/_linear_heads": ["tests/module/test_linear_heads.py", "tests/module/test_stacking.py"],
    "module/_mixture": ["tests/module/test_stacking.py"],
    "module/_principal_axes": ["tests/module/test_principal_axes.py", "tests/module/test_streamed_fit.py",
                               "tests/module/test_linear_heads.py"],
    "module/_profile_tower": ["tests/module/test_tower_training.py", "tests/test_public_api.py",
                              "tests/module/test_text_alignment.py"],
    "module/_qformer": ["tests/module/test_qformer.py", "tests/test_public_api.py",
                        "tests/module/test_cell_to_text.py"],
    "module/_soft_prompt": ["tests/module/test_soft_prompt.py", "tests/module/test_describe_loss.py",
                            "tests/test_public_api.py", "tests/module/test_cell_writer.py"],
    "module/_stacking": ["tests/module/test_stacking.py", "tests/module/test_linear_heads.py",
                         "tests/module/test_streamed_fit.py"],
    "module/_standardisation": ["tests/module/test_standardisation.py"],
    "module/_standardiser": ["tests/module/test_fusion_classifier.py"],
    "module/_text_alignment": ["tests/module/test_text_alignment.py"],
    "module/_token_steps": ["tests/module/test_token_steps.py", "tests/module/test_cell_to_text.py"],
    "module/_tower_training": ["tests/module/test_tower_training.py", "tests/module/test_text_alignment.py"],
    "module/_training_plan": ["tests/module/test_training_plan.py", "tests/module/test_training_run.py",
                              "tests/module/test_gradient_fit.py"],
    "module/_training_run": ["tests/module/test_training_run.py", "tests/module/test_training_plan.py"],
    "trust/_training_record": ["tests/model/test_renamed_cells.py", "tests/model/test_promises.py"],
    "trust": ["tests/trust"],
    "metrics": ["tests/metrics"],
}  # fmt: skip
PACKAGES = [name for name in TESTS if "/" not in name]
#: Covers every module.
OF_ALL = ROOT / "tests" / "test_dataclasses.py"
#: Imported once, before forking; nothing of the package itself.
SHARED = ["hypothesis", "pytest", "torch", "anndata", "scanpy", "scvi", "scvi.train", "sklearn.linear_model",
          "transformers", "mudata", "lightning.pytorch", "scipy.stats", "captum.attr"]  # fmt: skip
#: An operator is replaced by one of its own kind; others would only raise a TypeError.
KINDS = [{"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"}, {"BitOr", "BitAnd", "BitXor", "RShift", "LShift"}]
#: Processor time of one mutant; without a change, the tests of a module take at most 10.
MAX_SECONDS = 90
#: By exit status: of pytest, 0 where all tests pass; of the limit above.
OUTCOMES = {0: "survived", -signal.SIGXCPU: "timeout", -signal.SIGKILL: "timeout"}


@dataclass(frozen=True)
class Mutant:
    """One change: of which file, by which operator, at its place number `occurrence`, on which line and column."""

    path: Path
    operator: str
    occurrence: int
    place: tuple[int, int]

    @property
    def package(self) -> str:
        """The package of the file."""
        return self.path.parent.name

    def code(self) -> str:
        """The changed file."""
        import cosmic_ray.plugins
        from cosmic_ray.mutating import mutate_code

        operator = cosmic_ray.plugins.get_operator(self.operator)()
        return str(mutate_code(self.path.read_text(), operator, self.occurrence))

    def row(self) -> dict[str, str]:
        """What the change is, for people."""
        lines, changed = self.path.read_text().splitlines(), self.code().splitlines()
        before = lines[self.place[0] - 1]
        after = next(new for old, new in zip(lines, changed, strict=False) if old != new)
        where = f"{self.path.relative_to(SOURCE)}:{self.place[0]}"
        return {"where": where, "operator": self.operator, "before": before.strip(), "after": after.strip()}


def mutants_of(path: Path) -> list[Mutant]:
    """Every change of a file, but for those of type hints and of what only type checkers read."""
    import cosmic_ray.plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    code = path.read_text()
    hints = [span for node in ast.walk(ast.parse(code)) for span in _hints(node)]
    nodes, found = list(ast_nodes(get_ast(code))), []
    # A lone `*` among parameters is no operator.
    stars = {node.start_pos for node in nodes if node.type == "operator" and node.parent.type == "parameters"}
    for name in cosmic_ray.plugins.operator_names():
        kind = cosmic_ray.plugins.get_operator(name)
        if kind.arguments() or (name.startswith("core/ReplaceBinaryOperator") and not _is_of_a_kind(name)):
            continue
        places = [place for node in nodes for place, _ in kind().mutation_positions(node)]
        found += [
            Mutant(path, name, occurrence, place)
            for occurrence, place in enumerate(places)
            if place not in stars and not any(start <= place <= stop for start, stop in hints)
        ]
    return found


def _is_of_a_kind(name: str) -> bool:
    operators = set(name.split("_")[1:])
    return any(operators <= kind for kind in KINDS)


def _hints(node: ast.AST) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    parts = [getattr(node, name, None) for name in ("annotation", "returns")]
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        parts.append(node)
    spans = [part for part in parts if isinstance(part, ast.expr | ast.stmt)]
    return [((part.lineno, part.col_offset), (part.end_lineno or 0, part.end_col_offset or 0)) for part in spans]


def shuffled(mutants: list[Mutant], seed: int) -> list[Mutant]:
    """One change of every place, in random order: the first hundred are a sample, and part of the first thousand."""
    rng = random.Random(seed)
    places: dict[tuple[Path, tuple[int, int]], list[Mutant]] = {}
    for mutant in mutants:
        places.setdefault((mutant.path, mutant.place), []).append(mutant)
    order = sorted(places)
    rng.shuffle(order)
    return [rng.choice(places[place]) for place in order]


def _run(tests: list[str], path: Path | None, code: str) -> None:
    """Run tests with other code for one file; ends the process with the exit status of pytest."""
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS + 5))
    import hypothesis
    import pytest

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1), os.dup2(quiet, 2)
    sys.dont_write_bytecode = True
    original = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> object:
        return compile(code, self.path, "exec") if self.path == str(path) else original(self, fullname)

    SourceFileLoader.get_code = get_code  # type: ignore[assignment,method-assign]
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # no shrinking of what fails anyway
    hypothesis.settings.register_profile("mutate", phases=phases, database=None)
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutate", "--hypothesis-seed=0"]
    os._exit(int(pytest.main([*arguments, "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests])))


def tests_of(path: Path) -> list[str]:
    """The tests that cover a module."""
    package = path.parent.name
    tests = TESTS.get(f"{package}/{path.stem}", TESTS[package])
    files = [file for test in tests for file in sorted((ROOT / test).glob("test_*.py")) or [ROOT / test]]
    own = ROOT / "tests" / package / f"test{path.stem}.py"
    return [str(file.relative_to(ROOT)) for file in [*sorted(files, key=lambda file: file != own), OF_ALL]]


def outcome(tests: list[str], path: Path | None = None, code: str = "") -> str:
    """`"killed"`, `"survived"` or `"timeout"` of tests with other code for one file, or with none."""
    process = multiprocessing.get_context("fork").Process(target=_run, args=(tests, path, code))
    process.start()
    process.join()
    return OUTCOMES.get(process.exitcode or 0, "killed")


def main() -> None:
    """Try mutants, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, help="number of mutants; all of them by default")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no mutant later than this")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--only", nargs="*", default=PACKAGES, choices=PACKAGES, help="packages; stores nothing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants at a time")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(SOURCE.parent))
    every = [each for package in arguments.only for path in sorted((SOURCE / package).glob("*.py"))
             for each in mutants_of(path)]  # fmt: skip
    chosen = shuffled(every, arguments.seed)[: arguments.sample] if arguments.sample else every
    for module in SHARED:
        importlib.import_module(module)
    deadline = time.monotonic() + 60 * arguments.minutes

    def result_of(mutant: Mutant) -> str | None:
        if time.monotonic() > deadline:
            return None
        result = outcome(tests_of(mutant.path), mutant.path, mutant.code())
        print(result, mutant.path.relative_to(SOURCE), *mutant.place, mutant.operator, flush=True)
        return result

    with ThreadPoolExecutor(arguments.jobs) as pool:
        lists = list(dict.fromkeys(tuple(tests_of(mutant.path)) for mutant in chosen))
        for tests, result in zip(lists, pool.map(lambda tests: outcome(list(tests)), lists), strict=True):
            if result != "survived":
                what = "fail" if result == "killed" else f"take more than {MAX_SECONDS} s of processor time"
                raise SystemExit(f"Tests {what} without any change. Run `pytest {' '.join(tests)}`.")
        results = list(pool.map(result_of, chosen))
    tried = [(mutant, result) for mutant, result in zip(chosen, results, strict=True) if result]
    survivors = [mutant.row() for mutant, result in tried if result == "survived"]
    for survivor in survivors:
        print(*survivor.values(), sep="\n    ")
    counts = {package: Counter(result for mutant, result in tried if mutant.package == package)
              for package in arguments.only}  # fmt: skip
    rows = {package: {"mutants": sum(of.values()), **{name: of[name] for name in ("killed", "timeout", "survived")}}
            for package, of in counts.items()}  # fmt: skip
    rows["all"] = {name: sum(row[name] for row in rows.values()) for name in next(iter(rows.values()))}
    score = round(1 - rows["all"]["survived"] / rows["all"]["mutants"], 3)
    for package, row in rows.items():
        print(f"{package:8}", *(f"{value:5} {name}" for name, value in row.items()))
    print(f"score {score:.1%}, {len(every)} mutants in all")
    if set(arguments.only) == set(PACKAGES):
        record = {"date": time.strftime("%Y-%m-%d"), "sample": len(tried), "seed": arguments.seed,
                  "n_possible": len(every), "score": score, "packages": rows, "survivors": survivors}  # fmt: skip
        RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
