"""Measure a whole annotation, from two files to labels: `make bench-laptop BENCH_ARGS="--data FOLDER"`.

Sorted blood cells (`pbmc_zheng_facs.h5ad`), drawn with replacement, a tenth of the counts of each lost at random so
that no two are the same: a reference that is learned from, and a query a quarter as large. Each way runs in a process
of its own, with an empty cache of embeddings; what is counted is reading, normalising, learning and annotating, not
imports. A way that needs more memory than the machine has gets no time. How right the labels are is no question here:
encoders have seen these cells.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import numpy as np
from _machine import machine_record
from _measure import in_process
from scipy import sparse
from zero_shot import DATA_VARIABLE, RESULTS

FILE = "pbmc_zheng_facs.h5ad"
SIZES = (5_000, 20_000, 100_000)
#: What a process prints that asks for more memory than it may.
_NO_MEMORY = ("MemoryError", "can't allocate memory")
_LOST = 0.1
_START = """
import json, os, resource, sys, time, warnings
warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_DATA, (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),) * 2)
import anndata, numpy as np, scanpy as sc
from scmpt_scverse import SCMPT, evaluation
from scmpt_scverse.cli._group import quiet_libraries
quiet_libraries()
started = time.perf_counter()
reference, query = (anndata.read_h5ad(path) for path in sys.argv[1:3])
"""
_END = """
seconds = time.perf_counter() - started
assert len(labels) == query.n_obs
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
print(json.dumps({"seconds": round(seconds, 1), "peak_mb": round(peak)}))
"""
_MODEL = """
SCMPT.setup_anndata(reference, "cell_type")
model = SCMPT(reference, **{options})
model.train()
labels = model.predict(query)
"""
_BASELINE = """
for cells in (reference, query):
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
soft = evaluation.baseline_probabilities("{name}", reference.X, reference.obs["cell_type"], query.X)
labels = soft.idxmax(axis=1)
"""
#: The code of each way, between reading and the clock.
WAYS = {
    "default (preset mini)": _MODEL.format(options="{}"),
    "expression itself (counts)": _MODEL.format(options='{"encoders": {"counts": "counts"}}'),
    "CellTypist": _BASELINE.format(name="celltypist"),
    "logistic regression, HVG + PCA": _BASELINE.format(name="pca_logistic_regression"),
}


def drawn(cells: ad.AnnData, n_cells: int, seed: int) -> ad.AnnData:
    """So many cells, each a real one without a tenth of its counts."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(cells.n_obs, size=n_cells)
    counts = sparse.csr_matrix(cells.X)[rows]
    counts.data = rng.binomial(counts.data.astype(np.int64), 1 - _LOST).astype(np.float32)
    counts.eliminate_zeros()
    names = [f"cell{number}" for number in range(n_cells)]
    obs = cells.obs[["cell_type"]].iloc[rows].set_axis(names, axis=0)
    return ad.AnnData(counts, obs=obs, var=cells.var[[]])


def measure(cells: ad.AnnData, n_cells: int) -> Iterator[dict[str, object]]:
    """A row for each way."""
    order = np.random.default_rng(0).permutation(cells.n_obs)
    halves = cells[order[::2]], cells[order[1::2]]  # no cell is in both, however often it is drawn
    for name, code in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / file for file in ("reference.h5ad", "query.h5ad")]
            for path, half, size, seed in zip(paths, halves, (n_cells, n_cells // 4), (1, 2), strict=True):
                drawn(half, size, seed).write_h5ad(path)
            os.environ["SCMPT_CACHE"] = folder
            yield {"way": name, "n_reference": n_cells, **_measured(code, paths)}


def _measured(code: str, paths: list[Path]) -> dict[str, float | None]:
    """Seconds and peak of memory; `None` where the memory of the machine is too small."""
    try:
        found: dict[str, float | None] = in_process(_START + code + _END, *paths)
    except subprocess.CalledProcessError as error:
        if not any(words in error.stderr for words in _NO_MEMORY):
            raise
        return {"seconds": None, "peak_mb": None}
    return found


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help="folder of the cells")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="cells of the reference")
    arguments = parser.parse_args()
    if arguments.data is None or not (arguments.data / FILE).is_file():
        raise SystemExit(f"Pass --data FOLDER, or set {DATA_VARIABLE}: it must hold {FILE}.")
    started = time.perf_counter()
    cells = ad.read_h5ad(arguments.data / FILE)
    rows = []
    for n_cells in arguments.sizes:
        for row in measure(cells, n_cells):
            print(row, flush=True)
            rows.append(row)
    versions = machine_record(("scmpt-scverse", "torch", "scikit-learn", "scanpy"))
    record = {"rows": rows, "seconds": round(time.perf_counter() - started), **versions}
    (RESULTS / "laptop.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
