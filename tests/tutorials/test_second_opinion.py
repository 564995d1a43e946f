"""The tutorial on second opinions runs from top to bottom, on its recorded answers and no call."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests._tutorial import TUTORIALS, check_committed, check_numbers, committed, executed, printed

SECOND_OPINION = TUTORIALS / "second_opinion.ipynb"
ANSWERS = TUTORIALS / "second_opinion_answers.jsonl"
#: Another processor trains a head that is unsure of a few other cells of 175.
TOLERANCE = 0.08

pytestmark = pytest.mark.notebook


def accuracies(notebook: Any) -> list[list[float]]:
    """Of every table of metrics, the accuracy of each predictor."""
    tables = re.findall(r"^predictor.*\n((?:(?:head|language model|mixture)\b.*\n?)+)", printed(notebook), re.MULTILINE)
    return [[float(re.findall(r"-?\d\.\d+", row)[0]) for row in table.splitlines()] for table in tables]


def test_is_committed_as_it_was_executed_from_top_to_bottom() -> None:
    check_committed(SECOND_OPINION, n_plots=0)


def test_text_names_only_numbers_that_were_printed() -> None:
    check_numbers(SECOND_OPINION)


def test_recorded_answers_are_those_of_the_model_that_is_named() -> None:
    lines = [json.loads(line) for line in ANSWERS.read_text(encoding="utf-8").splitlines()]
    assert {line["model"].split("@")[0] for line in lines} == {"SmolLM2-135M-Instruct-Q4_1"}
    assert {line["parameters"]["client"] for line in lines} == {"transformers"}
    assert {line["answer"]["status"] for line in lines} == {"answered"}


def test_runs_and_gives_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai", reason="needs the extra `llm`")
    notebook = executed(SECOND_OPINION, tmp_path, monkeypatch)
    before, now = accuracies(committed(SECOND_OPINION)), accuracies(notebook)
    assert len(now) == len(before) == 4
    for table, earlier in zip(now, before, strict=True):
        assert table == pytest.approx(earlier, abs=TOLERANCE)
    assert "Calls: 0." in printed(notebook)
    assert "Calls of the same run once more: 0" in printed(notebook)
    assert "Weight 0 is the head: True" in printed(notebook)
