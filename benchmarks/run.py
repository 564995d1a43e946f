"""Measure what a cell costs, each figure beside a peer in the same run: `make bench`.

Prints a table and stores it in `benchmarks/results/` with hardware and versions. Inputs are the 700 real PBMC that ship
with scanpy, repeated to the asked number of cells.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import anndata
import numpy as np
import torch
from anndata import AnnData
from transformers import AutoTokenizer

from scmpt_scverse import datasets, encoders, pp
from scmpt_scverse._hardware import has_fast_bfloat16, resolve_device
from scmpt_scverse.pp._expression import ExpressionReader
from scmpt_scverse.pp._gene_tokens import tokenize_genes

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("scmpt-scverse", "torch", "numpy", "scipy", "transformers", "sentence-transformers")


def cells_per_second(run: Callable[[], object], n_cells: int, repeats: int = 3) -> float:
    """The best of some runs: others share the machine, nothing makes it faster than it is."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return n_cells / min(seconds)


def python_sentences(adata: AnnData) -> list[str]:
    """Cell sentences as one would write them first: densify, then sort each cell's genes."""
    genes = adata.var_names.to_numpy()
    values = adata.X.toarray()
    return [" ".join(genes[j] for j in np.argsort(-row, kind="stable") if row[j] > 0) for row in values]


def measure(n_cells: int) -> list[dict[str, object]]:
    """Every line of the table: what, ours and the peer in cells per second, and their ratio."""
    cells = anndata.concat([datasets.pbmc68k_reduced()] * (n_cells // 700), index_unique="-")
    few = cells[:700].copy()
    sentences = pp.cell_sentences(few).tolist()
    minilm = encoders.get("minilm")
    tokenizer = AutoTokenizer.from_pretrained(minilm.folder)

    def tokenize() -> None:
        for chunk in ExpressionReader(cells).chunks():
            tokenize_genes(chunk.matrix, np.arange(cells.n_vars))

    ours = cells_per_second(lambda: pp.cell_sentences(cells), cells.n_obs)
    tokens = cells_per_second(tokenize, cells.n_obs)
    plain = cells_per_second(lambda: python_sentences(few), few.n_obs)
    strings = cells_per_second(lambda: tokenizer(sentences, truncation=True), few.n_obs)
    rows = [("cell sentences", ours, "dense rows sorted in Python", plain)]
    rows.append(("gene tokens with bins", tokens, "tokenizer on sentences", strings))
    if has_fast_bfloat16(resolve_device("auto")):
        inputs = minilm.prepare(next(ExpressionReader(few).chunks(256)))
        fast, exact = (
            cells_per_second(lambda precision=precision: minilm.encode(inputs, precision=precision), len(inputs))
            for precision in ("bfloat16", "float32")
        )
        rows.append(("minilm, 30 genes, bfloat16", fast, "the same in float32", exact))
    return [
        {
            "what": what,
            "cells_per_s": round(ours),
            "peer": peer,
            "peer_cells_per_s": round(other),
            "ratio": ours / other,
        }
        for what, ours, peer, other in rows
    ]


def import_seconds() -> float:
    """Seconds that `import scmpt_scverse` takes in a fresh interpreter; the best of five."""
    code = "import time; start = time.perf_counter(); import scmpt_scverse; print(time.perf_counter() - start)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
    return min(float(run.stdout) for run in runs)


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=14_000, help="cells, rounded down to a multiple of 700")
    arguments = parser.parse_args()
    rows = measure(arguments.cells)
    seconds = import_seconds()
    for row in rows:
        print(
            f"{row['what']:<28} {row['cells_per_s']:>9,} cells/s   {row['ratio']:>6.1f} x {row['peer']} "
            f"({row['peer_cells_per_s']:,} cells/s)"
        )
    print(f"{'import scmpt_scverse':<28} {seconds:>9.3f} s")
    device = resolve_device("auto")
    record = {
        "rows": rows,
        "import_s": seconds,
        "n_cells": arguments.cells // 700 * 700,
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "device": str(device)},
        "has_fast_bfloat16": has_fast_bfloat16(device),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{platform.system().lower()}-{platform.machine()}-{device.type}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"Stored in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}.")


if __name__ == "__main__":
    main()
