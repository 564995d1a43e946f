"""Measure training on an atlas: `make bench-atlas BENCH_ARGS="--data FOLDER"`; takes hours on two cores.

Sorted blood cells (`pbmc_zheng_facs.h5ad`) are halved. A reference of a million cells is drawn from one half, with
replacement, a fifth of the counts of each lost at random so that no two are the same, over the 4,000 genes that most of
these cells express; a query from the other half, so that no cell is in both. The reference stays on disk, uncompressed.
Ways run in processes of their own. Memory is the peak of the resident set, each stage for itself, and that of any
process that was started meanwhile.

Second, what `max_cells_per_label` costs: macro F1 on held-out cells by the number of training cells per label.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from _machine import machine_record
from _measure import in_process
from anndata.io import sparse_dataset, write_elem
from scipy import sparse
from zero_shot import DATA_VARIABLE, RESULTS

from scmpt_scverse import SCMPT
from scmpt_scverse.metrics import classification_metrics

FILE, DONORS = "pbmc_zheng_facs.h5ad", "pbmc_kang_ifnb.h5ad"
SIZES, N_QUERY, N_GENES = (100_000, 1_000_000), 100_000, 4_000
#: Cells of either file that CellTypist gets, which makes them dense.
N_HELD = 20_000
#: Of a label, in the run with a cap.
CAP = 2_000
CAPS = (20, 50, 100, 200, None)
SEEDS = (0, 1, 2)
_LOST = 0.2
_CHUNK = 20_000
_START = """
import json, resource, sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import anndata, numpy as np, scanpy as sc
from scmpt_scverse import SCMPT, evaluation
from scmpt_scverse.cli._group import quiet_libraries
from scmpt_scverse.metrics import classification_metrics
quiet_libraries()

def memory(which):
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return round(int(line.split()[1]) / 1e3)

def stage(name, started):
    found[name] = {"seconds": round(time.perf_counter() - started, 1), "peak_mb": memory("VmHWM")}
    Path("/proc/self/clear_refs").write_text("5")  # the next peak is counted from here
    return time.perf_counter()

found = {"baseline_mb": memory("VmRSS")}
started = time.perf_counter()
"""
_END = f"""
some = slice({N_HELD})  # the same cells whichever way
found |= {{
    "macro_f1": classification_metrics(query.obs["cell_type"][some], labels[some])["macro_f1"],
    "children_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3),
}}
print(json.dumps(found))
"""
_MODEL = """
reference, query = (anndata.read_h5ad(path, backed="r") for path in sys.argv[1:3])
SCMPT.setup_anndata(reference, "cell_type")
model = SCMPT(reference, encoders={{"counts": "counts"}})
model.train(max_cells_per_label={cap})
found["n_train"] = len(model.train_indices)
started = stage("train", started)
model.annotate(query)
labels = query.obs["scmpt_prediction"]
started = stage("annotate", started)
"""
_CELLTYPIST = f"""
reference, query = (anndata.read_h5ad(path, backed="r")[:{N_HELD}].to_memory() for path in sys.argv[1:3])
for cells in (reference, query):
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
soft = evaluation.baseline_probabilities("celltypist", reference.X, reference.obs["cell_type"], query.X)
labels = soft.idxmax(axis=1)
found["n_train"] = reference.n_obs
stage("train and annotate", started)
"""
EVERY = "SCMPT, all cells"
WAYS = {
    EVERY: _MODEL.format(cap=None),
    f"SCMPT, {CAP:,} cells per label": _MODEL.format(cap=CAP),
    "CellTypist": _CELLTYPIST,
}


def write_drawn(cells: ad.AnnData, n_cells: int, seed: int, path: Path) -> None:
    """Write so many cells, each a real one without a fifth of its counts, a part at a time."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(cells.n_obs, size=n_cells)
    counts = sparse.csr_matrix(cells.X)
    names = [f"cell{number}" for number in range(n_cells)]
    obs = cells.obs[["cell_type"]].iloc[rows].set_axis(names, axis=0)
    ad.AnnData(obs=obs, var=cells.var[[]]).write_h5ad(path)
    with h5py.File(path, "a") as file:
        for start in range(0, n_cells, _CHUNK):
            part = counts[rows[start : start + _CHUNK]]
            part.data = rng.binomial(part.data.astype(np.int64), 1 - _LOST).astype(np.float32)
            part.eliminate_zeros()
            if start == 0:
                write_elem(file, "X", part)
            else:
                sparse_dataset(file["X"]).append(part)


def atlas(cells: ad.AnnData, sizes: Sequence[int]) -> Iterator[dict[str, object]]:
    """A row for each size and way; ways that do not grow with the reference are tried at the largest only."""
    order = np.random.default_rng(0).permutation(cells.n_obs)
    halves = [cells[order[::2]], cells[order[1::2]]]
    n_expressing = np.asarray((halves[0].X > 0).sum(axis=0)).ravel()
    genes = np.sort(np.argsort(-n_expressing, kind="stable")[:N_GENES])
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / file for file in ("reference.h5ad", "query.h5ad")]
        write_drawn(halves[1][:, genes], N_QUERY, 2, paths[1])
        for n_cells in sorted(sizes):
            write_drawn(halves[0][:, genes], n_cells, 1, paths[0])
            about = {"n_reference": n_cells, "n_query": N_QUERY, "file_gb": round(paths[0].stat().st_size / 1e9, 1)}
            for name, code in WAYS.items():
                if name == EVERY or n_cells == max(sizes):
                    yield {"way": name, **about, **in_process(_START + code + _END, *paths)}


def caps(cells: ad.AnnData, name: str, donor_key: str | None) -> Iterator[dict[str, object]]:
    """A row for each cap, seed, and way to hold cells out: each donor, or half of the cells without donors."""
    for seed in SEEDS:
        if donor_key is None:
            halves = np.random.default_rng(seed).permutation(cells.n_obs) % 2 == 0
            held_out = {"half": halves}
        else:
            held_out = {donor: (cells.obs[donor_key] == donor).to_numpy() for donor in cells.obs[donor_key].unique()}
        for what, is_out in held_out.items():
            reference, query = cells[~is_out].copy(), cells[is_out].copy()
            for cap in CAPS:
                SCMPT.setup_anndata(reference, "cell_type", batch_key=donor_key)
                model = SCMPT(reference, encoders={"counts": "counts"})
                model.train(max_cells_per_label=cap, seed=seed)
                score = classification_metrics(query.obs["cell_type"], pd.Series(model.predict(query)))["macro_f1"]
                yield {
                    "set": name,
                    "held_out": str(what),
                    "seed": seed,
                    "cap": cap,
                    "n_train": len(model.train_indices),
                    "macro_f1": score,
                }


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help="folder of the cells")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="cells of the reference")
    parser.add_argument("--only", choices=["atlas", "caps"], help="measure one part")
    arguments = parser.parse_args()
    if arguments.data is None or not all((arguments.data / name).is_file() for name in (FILE, DONORS)):
        raise SystemExit(f"Pass --data FOLDER, or set {DATA_VARIABLE}: it must hold {FILE} and {DONORS}.")
    sorted_cells, donors = (ad.read_h5ad(arguments.data / name) for name in (FILE, DONORS))

    def store(part: str, rows: Iterator[dict[str, object]]) -> None:
        started, found = time.perf_counter(), []
        versions = machine_record(("scmpt-scverse", "anndata", "torch"))
        for row in rows:
            print(row, flush=True)
            found.append(row)
            record = {"rows": found, "seconds": round(time.perf_counter() - started), **versions}
            # After each row: all of them take hours.
            (RESULTS / f"{part}.json").write_text(json.dumps(record, indent=1) + "\n")

    try:
        if arguments.only != "caps":
            store("atlas", atlas(sorted_cells, arguments.sizes))
        if arguments.only != "atlas":
            store("label_caps", chain(caps(sorted_cells, "sorted blood cells", None), caps(donors, "kang", "donor")))
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.stderr) from error


if __name__ == "__main__":
    main()
