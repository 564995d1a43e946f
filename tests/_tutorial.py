"""What all tutorials have in common: committed as executed, numbers that were printed, and running again."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tutorials.execute import TUTORIALS as TUTORIALS, executed as executed_in

#: Numbers and tables that were measured elsewhere; `make numbers` fills them in.
_MEASURED = re.compile(r"<!-- (number|table): \S+ -->.*?<!-- /\1 -->", re.DOTALL)


def committed(path: Path) -> Any:
    """The notebook as it is committed."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    """Its cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Any) -> list[Any]:
    """All outputs, in order."""
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def printed(notebook: Any) -> str:
    """Everything that was printed or shown as text."""
    streams = [output.get("text", "") for output in outputs(notebook)]
    results = [output.get("data", {}).get("text/plain", "") for output in outputs(notebook)]
    return "\n".join(streams + results)


def check_committed(path: Path, *, n_plots: int) -> None:
    """Executed from top to bottom without error or warning, and silent about the machine."""
    notebook = committed(path)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) == n_plots
    kinds = {(output.output_type, output.get("name")) for output in outputs(notebook)}
    assert kinds <= {("stream", "stdout"), ("display_data", None), ("execute_result", None)}  # no error, no stderr
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert not [cell.id for cell in notebook.cells if "execution" in cell.metadata]
    assert not re.search(r"site-packages|/home/|/root/|/tmp/|/Users/| at 0x", path.read_text(encoding="utf-8"))


def check_numbers(path: Path) -> None:
    """The text names numbers, and only those that were printed, or that benchmarks measured."""
    notebook = committed(path)
    text = _MEASURED.sub("", "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown"))
    numbers = set(re.findall(r"\b0\.\d{3}\b", text))
    assert numbers
    assert {number for number in numbers if number not in printed(notebook)} == set()


def executed(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The notebook, executed anew in `folder`."""
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel chooses the one that keeps plots
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "jupyter"))
    work = folder / "run"
    work.mkdir()
    return executed_in(path, work)
