"""A process that is killed while it trains or saves leaves a whole model, or an error that says so."""

import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from tests._model import probabilities

from scmpt_scverse import SCMPT, datasets

#: Saves a model; then trains another one of the same shape, and is killed before a file of it takes its place.
KILLED = """
import os, signal, sys
from scmpt_scverse import SCMPT, datasets

adata = datasets.pbmc68k_reduced()
SCMPT.setup_anndata(adata, "bulk_labels", obsm_keys={"pca": "X_pca"})
folder, moment = sys.argv[1], sys.argv[2]
first = SCMPT(adata)
first.train()
first.save(folder)

left = {"training": 0, "first file": 0, "second file": 1, "never": 9}[moment]
replace, solve = os.replace, type(first.module.head).solve

def killed(*arguments, **options):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return replace(*arguments, **options)

def killed_in_training(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

if moment == "training":
    type(first.module.head).solve = killed_in_training
os.replace = killed
second = SCMPT(adata)
second.train(class_weight="balanced")
second.save(folder, overwrite=True)
"""


def left_behind(folder: Path, moment: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), moment], capture_output=True, check=False)
    assert done.returncode == (0 if moment == "never" else -signal.SIGKILL), done.stderr


def predicted(folder: Path) -> pd.DataFrame:
    adata = datasets.pbmc68k_reduced()
    return probabilities(SCMPT.load(str(folder), adata=adata))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_process_leaves_no_half_model(tmp_path: Path) -> None:
    for moment in ("training", "first file", "second file", "never"):
        left_behind(tmp_path / moment, moment)
    before = predicted(tmp_path / "training")
    pd.testing.assert_frame_equal(predicted(tmp_path / "first file"), before)
    assert not predicted(tmp_path / "never").equals(before)
    with pytest.raises(ValueError, match=r"are of two models: saving one over the other was interrupted"):
        predicted(tmp_path / "second file")
