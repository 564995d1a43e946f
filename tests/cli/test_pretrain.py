from pathlib import Path

import anndata
import pytest
from typer.testing import CliRunner

from scmpt_scverse import encoders
from scmpt_scverse.cli import app

SIZE = ["--embsize", "16", "--nheads", "2", "--d-hid", "16", "--max-epochs", "1", "--n-visible", "16"]


@pytest.fixture
def other_file(cells_file: Path) -> Path:
    path = cells_file.with_name("other.h5ad")
    anndata.read_h5ad(cells_file)[:200, :500].copy().write_h5ad(path)
    return path


def test_pretrain_continue_and_probe(runner: CliRunner, cells_file: Path, other_file: Path) -> None:
    out, further = cells_file.with_name("mini"), cells_file.with_name("further")
    genes = cells_file.with_name("genes.txt")
    genes.write_text("\n".join(anndata.read_h5ad(other_file).var_names[:400]))

    arguments = ["pretrain", str(other_file), "--out", str(out), *SIZE, "--vocabulary", str(genes)]
    result = runner.invoke(app, [*arguments, "--objective", "cell_expression=1"])
    assert result.exit_code == 0, result.output
    assert f"Learned 400 genes: {out}" in result.output

    arguments = ["pretrain", str(cells_file), "--out", str(further), "--init", str(out), "--max-epochs", "1"]
    result = runner.invoke(app, [*arguments, "--compact"])
    assert result.exit_code == 0, result.output
    assert len(encoders.get(further).vocabulary) > 700
    assert (further / "model.safetensors").is_file()

    arguments = ["probe", str(cells_file), "--encoder", str(further), "--labels-key", "bulk_labels", "--n-seeds", "2"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    for row in ("further", "random weights", "50 principal components"):
        assert row in result.output


def test_errors_of_pretrain(runner: CliRunner, cells_file: Path) -> None:
    out = cells_file.with_name("mini")

    result = runner.invoke(app, ["pretrain", str(cells_file), "--out", str(out), "--objective", "cell_value"])
    assert result.exit_code == 2
    assert "Expected NAME=WEIGHT" in result.output

    result = runner.invoke(app, ["pretrain", str(cells_file), "--out", str(out), "--objective", "cell_values=1"])
    assert result.exit_code == 1
    assert "Did you mean 'cell_value'?" in result.output

    out.mkdir()
    result = runner.invoke(app, ["pretrain", str(cells_file), "--out", str(out)])
    assert result.exit_code == 1
    assert f"The output {out} exists" in result.output


@pytest.mark.parametrize("name", ["max_epochs", "batch_size", "n_visible", "lr", "min_cells"])
def test_help_names_the_defaults_of_the_recipe(runner: CliRunner, name: str) -> None:
    text = " ".join(runner.invoke(app, ["pretrain", "--help"]).output.replace("│", " ").split())
    option = text.split(f"--{name.replace('_', '-')} ")[1].split(" --")[0]

    assert f"[default: ({getattr(encoders.PretrainingRecipe(), name)})]" in option
