"""The examples for developers are short, stand on a page, and are tested."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "docs" / "developer" / "examples").glob("*.py"))


def test_there_is_one_for_each_kind() -> None:
    kinds = ["ablation", "attributor", "encoder", "fusion_head", "llm_client", "writer"]
    assert [path.stem for path in EXAMPLES] == [f"toy_{kind}" for kind in kinds]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_short_shown_and_tested(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 40
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "developer").glob("*.md")]
    assert sum(f"literalinclude}} examples/{path.name}" in page for page in pages) == 1
    assert path.stem in (Path(__file__).parent / f"test_{path.stem}.py").read_text(encoding="utf-8")
