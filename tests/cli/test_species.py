"""Cells of a mouse on the command line: read through orthologs, and refused without being told."""

from pathlib import Path

import anndata
import numpy as np
import pytest
from tests._adata import as_mouse
from typer.testing import CliRunner

from scmpt_scverse import datasets
from scmpt_scverse.cli import app

LABELS = ["B cell", "monocyte", "natural killer cell", "T cell"]


@pytest.fixture
def mouse(tmp_path: Path) -> Path:
    """Human cells under the names of the mouse orthologs of their genes."""
    cells = as_mouse(datasets.pbmc68k_reduced()[:120].copy())
    cells.write_h5ad(tmp_path / "mouse.h5ad")
    return tmp_path / "mouse.h5ad"


def test_mouse_cells_are_annotated_by_a_human_model_only_if_told(runner: CliRunner, mouse: Path) -> None:
    out = mouse.with_name("out.h5ad")
    labels = [part for label in LABELS for part in ("--labels", label)]
    base = ["annotate", "scmmgpt-mini", str(mouse), str(out), *labels]
    refused = runner.invoke(app, base)
    assert refused.exit_code == 1
    assert "are of mouse genes" in refused.stderr
    assert "--organism mouse" in refused.stderr
    assert not out.exists()
    result = runner.invoke(app, [*base, "--organism", "mouse"])
    assert result.exit_code == 0, result.output
    assert "mouse genes have a human ortholog" in result.output
    found = anndata.read_h5ad(out)
    assert list(found.var) == []
    truth = found.obs["bulk_labels"].astype(str)
    is_b = truth == "CD19+ B"
    assert (found.obs["scmmgpt_prediction"][is_b] == "B cell").mean() > 0.8


def test_a_reference_of_mice_is_told_too(runner: CliRunner, mouse: Path) -> None:
    model, out = str(mouse.with_name("model")), str(mouse.with_name("out.h5ad"))
    train = ["train", str(mouse), model, "--labels-key", "bulk_labels", "--text", "none", "--no-counts"]
    assert runner.invoke(app, [*train, "--organism", "mouse"]).exit_code == 0
    result = runner.invoke(app, ["annotate", model, str(mouse), out])  # the model knows
    assert result.exit_code == 0, result.output
    assert "mouse genes have a human ortholog" in result.output
    assert np.isfinite(anndata.read_h5ad(out).obs["scmpt_confidence"]).all()


def test_an_unknown_species_is_named_before_cells_are_read(runner: CliRunner, mouse: Path) -> None:
    result = runner.invoke(app, ["annotate", "scmmgpt-mini", "absent.h5ad", "o.h5ad", "--organism", "yeti"])
    assert result.exit_code == 2
    assert "'yeti' is not one of 'human', 'mouse'" in " ".join(result.stderr.replace("│", " ").split())
