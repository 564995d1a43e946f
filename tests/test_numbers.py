"""Numbers and tables in the documentation are those of the stored results."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def numbers() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("document_numbers", BENCHMARKS / "document_numbers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        spec.loader.exec_module(module)
    return module


def test_documents_show_what_was_measured() -> None:
    script = [sys.executable, str(BENCHMARKS / "document_numbers.py"), "--check"]
    result = subprocess.run(script, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "up to date" in result.stdout


def test_documents_have_marks(numbers: ModuleType) -> None:
    marked = [path.name for path in numbers.documents() if "<!-- number:" in path.read_text()]
    assert {"README.md", "accuracy.md", "scmpt.md"} <= set(marked)


def test_numbers_and_tables_are_filled_again_and_again(numbers: ModuleType) -> None:
    text = "It is <!-- number: a -->0.1<!-- /number -->.\n\n<!-- table: t -->\nold\n<!-- /table -->\n"
    once = numbers.filled(text, {"a": "0.2"}, {"t": "\n| new |\n\n"})
    assert once == "It is <!-- number: a -->0.2<!-- /number -->.\n\n<!-- table: t -->\n\n| new |\n\n<!-- /table -->\n"
    assert numbers.filled(once, {"a": "0.2"}, {"t": "\n| new |\n\n"}) == once


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("It is <!-- number: b -->0.1<!-- /number -->.", "No result is called b"),
        ("A table\n\n<!-- table: u -->\n<!-- /table -->\n", "No result is called u"),
        ("It is <!-- number: a -->0.1.", "has no end"),
        ("It is <!-- number: -->0.1<!-- /number -->.", "has no end, or no name"),
        ("Macro F1\n<!-- number: a -->0.1<!-- /number --> is", "begins a line"),
    ],
)
def test_a_wrong_mark_is_an_error(numbers: ModuleType, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        numbers.filled(text, {"a": "0.2"}, {"t": ""})


def test_numbers_are_those_of_the_rows(numbers: ModuleType) -> None:
    results = numbers.read_results(numbers.RESULTS)
    rows = [
        row["macro_f1"]
        for row in results["accuracy"]["rows"]
        if (row["set"], row["predictor"], row["hidden"]) == ("scanpy PBMC", "stacked + counts", None)
    ]
    shown = numbers.numbers_of(results)["accuracy.scanpy-pbmc.stacked-counts.macro_f1"]
    assert shown == f"{sum(rows) / len(rows):.3f}"
