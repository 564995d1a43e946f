"""Memory of training does not hold the cells: what grows with them is their coordinates on principal axes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData, concat
from scipy import sparse

from scmpt_scverse import datasets

#: Trains on a file, and prints by how many bytes memory grew meanwhile, and the share of cells that get their label.
TRAIN = """
import json, sys
from pathlib import Path
import anndata, numpy as np
from scmpt_scverse import SCMPT

def memory(which):
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) * 1024

adata = anndata.read_h5ad(sys.argv[1], backed="r")
SCMPT.setup_anndata(adata, "label")
model = SCMPT(adata, encoders={"counts": "counts"})
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
before = memory("VmRSS")
model.train()
peak = memory("VmHWM") - before
some = np.arange(0, adata.n_obs, adata.n_obs // 500)
right = float((model.predict(indices=some) == adata.obs["label"].to_numpy()[some]).mean())
print(json.dumps({"peak": peak, "right": right}))
"""


def write_cells(path: Path, n_obs: int) -> None:
    """Counts of real PBMC, drawn anew for each of many cells."""
    real = datasets.pbmc68k_reduced()
    rates = np.expm1(sparse.csr_matrix(real.X))
    rng = np.random.default_rng(0)
    parts = []
    for start in range(0, n_obs, 20_000):
        rows = np.arange(start, min(start + 20_000, n_obs)) % real.n_obs
        drawn = rates[rows]
        drawn.data = rng.poisson(drawn.data * 2).astype(np.float32)
        drawn.eliminate_zeros()
        parts.append(AnnData(drawn, var=real.var[[]]))
        parts[-1].obs_names = np.arange(start, start + len(rows)).astype(str)
        parts[-1].obs["label"] = real.obs["bulk_labels"].astype(str).to_numpy()[rows]
    concat(parts).write_h5ad(path)


def trained(path: Path) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", TRAIN, str(path)], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to measure memory")
def test_a_further_cell_takes_a_few_kilobytes_of_memory(tmp_path: Path) -> None:
    """3 kB are its coordinates on 765 axes; dense expression would take as much again with every copy."""
    peaks = []
    for n_obs in (50_000, 200_000):
        write_cells(tmp_path / "cells.h5ad", n_obs)
        found = trained(tmp_path / "cells.h5ad")
        assert found["right"] > 0.8
        peaks.append(found["peak"])
    assert (peaks[1] - peaks[0]) / 150_000 < 5_000
    assert peaks[1] < 1.5e9
