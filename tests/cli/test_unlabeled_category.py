"""`scmpt train` names doubtful labels, and takes several that mean "no label"."""

from pathlib import Path

import anndata
import numpy as np
import pytest
from typer.testing import CliRunner

from scmpt_scverse.cli import app

ARGUMENTS = ["--labels-key", "y", "--text", "none", "--expression", "none", "--obsm", "mine=X_pca"]


@pytest.mark.filterwarnings("always:Doubtful labels")
def test_labels_that_mean_none_are_warned_of_and_named(runner: CliRunner, cells_file: Path) -> None:
    cells = anndata.read_h5ad(cells_file)[:210].copy()
    labels = cells.obs["bulk_labels"].astype(str).to_numpy(dtype=object)
    labels[:5], labels[5:8] = "nan", "Unassigned"
    cells.obs["y"] = labels
    dirty, model = cells_file.with_name("dirty.h5ad"), cells_file.with_name("model")
    cells.write_h5ad(dirty)
    result = runner.invoke(app, ["train", str(dirty), str(model), *ARGUMENTS])
    assert result.exit_code == 0, result.output
    assert result.stderr.count("warning: Doubtful labels in `adata.obs['y']`") == 1
    assert "'nan' (5 cells), 'Unassigned' (3 cells)" in result.stderr
    assert f"Learned {len(np.unique(labels))} labels from 210 cells" in result.output
    named = ["--unlabeled-category", "nan", "--unlabeled-category", "Unassigned"]
    result = runner.invoke(app, ["train", str(dirty), str(model), *ARGUMENTS, *named, "--force"])
    assert result.exit_code == 0, result.output
    assert "Doubtful" not in result.stderr
    assert f"Learned {len(np.unique(labels)) - 2} labels from 202 cells" in result.output
    described = runner.invoke(app, ["info", str(model)])
    assert described.exit_code == 0, described.output
    assert "nan, Unassigned" in described.output
