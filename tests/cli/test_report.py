"""`scmpt report`."""

from pathlib import Path

import anndata
import pytest
from typer.testing import CliRunner

from scmpt_scverse.cli import app
from scmpt_scverse.pl import report


@pytest.fixture
def annotated(cells_file: Path) -> Path:
    adata = anndata.read_h5ad(cells_file)
    adata.obs["mine_prediction"] = adata.obs["bulk_labels"]
    adata.write_h5ad(cells_file)
    return cells_file


def test_command_writes_what_the_function_does(runner: CliRunner, annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    options = ["--key", "mine", "--group-key", "louvain", "--genes", "NKG7", "--genes", "LYZ", "--basis", "pca"]
    result = runner.invoke(app, ["report", str(annotated), str(out), *options, "--max-points", "90", "--seed", "3"])
    assert result.exit_code == 0, result.output
    assert str(out) in result.stdout.replace("\n", "")
    expected = report(
        anndata.read_h5ad(annotated),
        tmp_path / "expected.html",
        key="mine",
        group_key="louvain",
        genes=["NKG7", "LYZ"],
        basis="pca",
        title=annotated.name,
        max_points=90,
        seed=3,
    )
    assert out.read_text() == expected.read_text()


def test_page_is_replaced_only_if_asked(runner: CliRunner, annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("mine")
    command = ["report", str(annotated), str(out)]
    refused = runner.invoke(app, command)
    assert refused.exit_code == 1
    assert "exists" in refused.stderr
    assert out.read_text() == "mine"
    assert runner.invoke(app, [*command, "--force"]).exit_code == 0
    assert out.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report.html", "--key", "other"], "No 'other_prediction'"),
        (["report.html", "--genes", "NKG"], "Did you mean 'NKG7'"),
        (["report.pdf"], "ends in .html"),
        (["missing/report.html"], "missing"),
    ],
)
def test_errors_leave_no_page(
    arguments: list[str], message: str, runner: CliRunner, annotated: Path, tmp_path: Path
) -> None:
    name, *options = arguments
    result = runner.invoke(app, ["report", str(annotated), str(tmp_path / name), *options])
    assert result.exit_code == 1
    assert message in result.stderr
    assert not list(tmp_path.glob("*report*"))
