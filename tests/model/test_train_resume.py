"""A reference model whose training was killed, and is called again."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData

from scmpt_scverse import SCMPT, ablation, datasets

#: Trains, and is killed as soon as the moments of one of two modalities are on disk.
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.model.test_train_resume import trained

replace = os.replace

def killed(source, target):
    replace(source, target)
    if str(target).endswith("modality_0.safetensors"):
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = killed
trained(checkpoints=Path(sys.argv[1]))
"""


def cells() -> AnnData:
    return datasets.pbmc68k_reduced()[:300].copy()


def trained(adata: AnnData | None = None, *, fusion: str = "stacked", **options: Any) -> SCMPT:
    adata = cells() if adata is None else adata
    SCMPT.setup_anndata(adata, "bulk_labels", obsm_keys={"pca": "X_pca"})
    model = SCMPT(adata, encoders={"counts": "counts"}, fusion=fusion, n_hidden=16)
    model.train(**options)
    return model


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_training_goes_on_and_gives_the_same_model(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, str(folder)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert sorted(path.name for path in folder.iterdir()) == ["modality_0.safetensors", "run.json"]
    before = (folder / "modality_0.safetensors").stat().st_mtime_ns
    resumed = trained(checkpoints=folder)
    assert (folder / "modality_0.safetensors").stat().st_mtime_ns == before
    expected = trained().predict(soft=True)
    np.testing.assert_array_equal(resumed.predict(soft=True), expected)
    np.testing.assert_array_equal(trained(checkpoints=folder).predict(soft=True), expected)


@pytest.mark.parametrize("change", ["expression", "labels", "seed", "cells"])
def test_a_folder_is_of_one_training(tmp_path: Path, change: str) -> None:
    trained(checkpoints=tmp_path / "run")
    adata = cells()
    if change == "expression":
        adata.X.data[0] += 1
    if change == "labels":
        adata.obs["bulk_labels"] = adata.obs["bulk_labels"].to_numpy()[::-1]
    if change == "cells":
        adata = adata[:250].copy()
    with pytest.raises(ValueError, match="holds an interrupted run with other data or options"):
        trained(adata, checkpoints=tmp_path / "run", seed=int(change == "seed"))


def test_a_folder_that_is_of_no_use_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="found a file"):
        trained(checkpoints=tmp_path / "file")
    with pytest.raises(ValueError, match="only a stacked head gathers; found a head of class ConcatFusion"):
        trained(fusion="concat", checkpoints=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="Expected an interrupted run"):
        trained(checkpoints=tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]


def test_a_folder_that_holds_something_else_is_refused_before_cells_are_read(tmp_path: Path) -> None:
    """Expression of these cells cannot be read, which would be said first."""
    (tmp_path / "notes.txt").write_text("mine")
    adata = cells()
    SCMPT.setup_anndata(adata, "bulk_labels")
    model = SCMPT(adata, encoders={"counts": "counts"})
    adata.X = -np.ones(adata.shape, dtype=np.float32)
    with pytest.raises(ValueError, match="Expected an interrupted run"):
        model.train(checkpoints=tmp_path)


def test_many_trainings_have_no_folder_of_one(tmp_path: Path) -> None:
    adata = cells()
    SCMPT.setup_anndata(adata, "bulk_labels", obsm_keys={"pca": "X_pca"})
    model = SCMPT(adata, encoders={})
    message = "`checkpoints` is the folder of one training"
    with pytest.raises(ValueError, match=message):
        model.cross_validate(n_splits=2, checkpoints=tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        model.tune({"fusion": ["stacked"]}, checkpoints=tmp_path / "run")
    model.train()
    with pytest.raises(ValueError, match=message):
        ablation.run(model, adata, [ablation.WithoutModality("pca")], checkpoints=tmp_path / "run")
    assert not (tmp_path / "run").exists()
