"""Numbers and tables in the documentation are those of the stored results, and no measurement is typed by hand."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from scmpt_scverse.encoders import CARDS
from scmpt_scverse.evaluation._baselines import BASELINES

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
#: What stands in a document without being prose: generated text, code, formulas, addresses.
GENERATED = re.compile(r"<!-- (number|table): \S+ -->.*?<!-- /\1 -->", re.DOTALL)
NO_PROSE = re.compile(
    r"^```.*?^```|^\$\$.*?^\$\$|`[^`\n]*`|\$[^$\n]+\$|\]\([^)]*\)|\[(?:arXiv|doi):[^\]]*\]", re.DOTALL | re.MULTILINE
)
#: Decimals, and numbers with a unit in which something is measured.
MEASUREMENT = re.compile(
    r"(?<![\w.,])[-+]?\d[\d,]*(?:\.\d+|e-?\d+)|(?<![\w.,])\d[\d,]* ?"
    r"(?:%|(?<= )x\b(?! \d)|MB\b|GB\b|kB\b|GFLOP/s|cells/s|ms\b|s\b|seconds?\b|minutes?\b|hours?\b|times\b)"
)
#: Numbers that nobody measured: levels that are asked for, settings, versions, promises that a test keeps.
NOT_MEASURED = {
    "README.md": {"3.11", "2,000 cells/s"},
    "encoders.md": {"1e-5", "1.3", "0.2"},
    "fusion_heads.md": {"0.9"},
    "testing.md": {"10 seconds", "90 seconds", "85 %"},
    "scgpt-mini.md": {"95 %"},
    "knowledge.md": {"95 %"},
    "installation.md": {"3.11"},
    "accuracy.md": {"95 %"},
    "attributions.md": {"95 %", "5 %"},
    "evaluation.md": {"90 %"},
    "fusion.md": {"16 kB", "0.9", "5 %", "90 %"},
    "large_data.md": {"1e-5", "0.9995", "2 GB"},
    "llm.md": {"0.01", "95 %"},
    "pretraining.md": {"95 %"},
    "scmpt.md": {"1e-4", "1e-5", "1e-3"},
    "faq.md": {"0.9"},
    "releasing.md": {"1.0"},
    "reference_models.md": {"95 %"},
    "report.md": {"0.5", "0.95", "6 MB"},
}


@pytest.fixture(scope="module", autouse=True)
def path_of_benchmarks() -> Iterator[None]:
    """The scripts import each other by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


@pytest.fixture(scope="module")
def numbers() -> ModuleType:
    """The script, as a module."""
    return importlib.import_module("document_numbers")


@pytest.fixture(scope="module")
def results(numbers: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = numbers.read_results(numbers.RESULTS)
    return found


def numbers_and_tables(numbers: ModuleType) -> tuple[dict[str, str], dict[str, str]]:
    results = numbers.read_results(numbers.RESULTS)
    return numbers.numbers_of(results), numbers.tables_of(results)


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


def test_tutorials_are_filled_in_their_text_alone(numbers: ModuleType) -> None:
    mark = "It is <!-- number: a -->0.1<!-- /number -->"
    cells = [{"cell_type": kind, "source": [f"{mark},\n", "once."]} for kind in ("markdown", "code")]
    text, code = json.loads(numbers.filled_notebook(json.dumps({"cells": cells}), {"a": "0.2"}, {}))["cells"]
    assert text["source"] == ["It is <!-- number: a -->0.2<!-- /number -->,\n", "once."]
    assert code == cells[1]
    for path in numbers.tutorials():
        assert numbers.filled_notebook(path.read_text(), *numbers_and_tables(numbers)) == path.read_text()


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


def test_numbers_are_those_of_the_rows(numbers: ModuleType, results: dict[str, Any]) -> None:
    rows = [
        row["macro_f1"]
        for row in results["accuracy"]["rows"]
        if (row["set"], row["predictor"], row["hidden"]) == ("scanpy PBMC", "mini", None)
    ]
    shown = numbers.numbers_of(results)["accuracy.scanpy-pbmc.mini.macro_f1"]
    assert shown == f"{sum(rows) / len(rows):.3f}"


def typed_measurements(text: str) -> set[str]:
    return {found.group().strip() for found in MEASUREMENT.finditer(NO_PROSE.sub(" ", GENERATED.sub(" ", text)))}


def test_no_measurement_is_typed_by_hand(numbers: ModuleType) -> None:
    typed = {path.name: typed_measurements(path.read_text()) for path in numbers.documents()}
    unknown = {name: sorted(found - NOT_MEASURED.get(name, set())) for name, found in typed.items()}
    assert {name: found for name, found in unknown.items() if found} == {}


@pytest.mark.parametrize(
    "text",
    ["macro F1 of 0.93", "+52 MB", "5.6 x faster", "77 cells/s", "82% of it", "took 17 minutes", "less than 2.1e-7"],
)
def test_a_typed_measurement_is_found(text: str) -> None:
    assert typed_measurements(text)


@pytest.mark.parametrize(
    "text",
    ["<!-- number: a -->0.93<!-- /number -->", "`lr=0.1`", "scGPT 12 x 512", "4,000 genes", "[page](https://a.b/1.5)"],
)
def test_what_is_no_typed_measurement_is_left_alone(text: str) -> None:
    assert not typed_measurements(text)


def test_the_list_of_seen_cells_is_that_of_the_encoder() -> None:
    corpus = importlib.import_module("_pretraining_corpus")
    folder = CARDS[corpus.ENCODER].local_folder()
    assert folder is not None
    recorded = json.loads((folder / "args.json").read_text())["pretraining"]["data"]
    assert [file.digest for file in corpus.CORPUS] == recorded


def test_sets_with_any_seen_cell_are_marked() -> None:
    sets = importlib.import_module("_accuracy_sets")
    assert {"kang 114 cells", "pancreas, other study"} <= set(sets.SEEN)  # in part, by way of another file
    assert set(sets.UNSEEN) == {"scanpy PBMC", "headneck", "pbmc3k", "pancreas wang"}
    assert len(sets.SEEN) + len(sets.UNSEEN) == len(sets.SETS)
    assert sets.CellSet("other", ("pancreas_wang.h5ad", "embryo_yan.h5ad")).is_seen


def with_scores(record: dict[str, Any], name: str, score: float) -> dict[str, Any]:
    """The same results but for the default model on one set."""
    changed = deepcopy(record)
    for row in changed["rows"]:
        if (row["set"], row["predictor"]) == (name, "mini"):
            row["macro_f1"] = score
    return changed


def test_the_headline_rests_on_unseen_sets_alone(results: dict[str, Any]) -> None:
    headline = importlib.import_module("_accuracy_numbers").headline
    claim, about_seen = headline(results["accuracy"]).split("\n\n")
    claim_without, about_seen_without = headline(with_scores(results["accuracy"], "kang 114 cells", 0.0)).split("\n\n")
    assert claim_without == claim
    assert about_seen_without != about_seen
    better = headline(with_scores(results["accuracy"], "pbmc3k", 1.0))
    assert better.split("\n\n")[0] != claim
    assert "do not tell" in headline(with_scores(results["accuracy"], "pbmc3k", 0.5))


def test_with_and_without_the_smallest_set(numbers: ModuleType, results: dict[str, Any]) -> None:
    rows = [row for row in results["accuracy"]["rows"] if row["hidden"] is None]
    scores: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        scores.setdefault(row["set"], {}).setdefault(row["predictor"], []).append(row["macro_f1"])
    leads = {name: np.mean(of_set["mini"]) - np.mean(of_set["CellTypist"]) for name, of_set in scores.items()}
    shown = numbers.numbers_of(results)
    assert shown["accuracy.mini.lead"] == f"{np.mean(list(leads.values())):.3f}"
    del leads["kang 114 cells"]
    assert shown["accuracy.mini.lead_without_smallest"] == f"{np.mean(list(leads.values())):.3f}"


@pytest.mark.parametrize(("row", "baseline"), [("kNN PCA", "pca_knn"), ("LR HVG + PCA", "pca_logistic_regression")])
def test_the_text_about_a_predictor_is_that_of_the_code(numbers: ModuleType, row: str, baseline: str) -> None:
    components = BASELINES.load(baseline)(0)[0]
    page = numbers.ROOT / "docs" / "user_guide" / "accuracy.md"
    (line,) = [line for line in page.read_text().splitlines() if line.startswith(f"| {row} |") and "nents of" in line]
    assert f"{components.n_components} components of {components.n_genes:,} variable genes" in line


def test_the_plot_shows_the_results(results: dict[str, Any]) -> None:
    plot = importlib.import_module("_accuracy_plot")
    assert plot.is_current(results["accuracy"])
    assert not plot.is_current(with_scores(results["accuracy"], "embryo", 0.5))


def test_resampled_macro_f1_is_that_of_the_resampled_cells() -> None:
    leak = importlib.import_module("pretraining_leak")
    generator = np.random.default_rng(0)
    truth = generator.choice(np.array(["a", "b", "c"], dtype=object), 60)
    predicted = np.where(generator.random(60) < 0.3, "b", truth).astype(object)
    predicted[:2] = "not a label of the set"
    rows = generator.permutation(60)[:40]
    counts = leak.resamples(60)
    found = leak.resampled_f1(truth, [(rows, predicted[rows])], counts)
    for index in (0, 7):
        expected = f1_score(
            truth[rows], predicted[rows], labels=["a", "b", "c"], average="macro", sample_weight=counts[index][rows]
        )
        assert found[index] == pytest.approx(expected)
    assert counts[0].tolist() == [1] * 60
