"""Measure what a cell costs, each figure beside a peer in the same run: `make bench`.

Prints a table and stores it in `benchmarks/results/` with hardware and versions. Inputs are the 700 real PBMC that ship
with scanpy, repeated to the asked number of cells.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import torch
from _machine import machine_record
from anndata import AnnData
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from scmpt_scverse import datasets, encoders, pp, tl
from scmpt_scverse._hardware import has_fast_bfloat16, resolve_device
from scmpt_scverse._types import Precision
from scmpt_scverse.encoders._sentence_tokens import SentenceTokenizer
from scmpt_scverse.pp._cell_sentence import sentences_of
from scmpt_scverse.pp._expression import ExpressionReader
from scmpt_scverse.pp._gene_tokens import tokenize_genes

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
sys.path.insert(0, str(REPOSITORY))  # the checkpoint and the stand-in for torchtext are those of the tests

from tests._scgpt_folder import make_scgpt_folder  # noqa: E402

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
    tokenize_sentences = SentenceTokenizer(tokenizer, 256)
    ids = cells_per_second(
        lambda: [tokenize_sentences(sentences_of(chunk, 256)) for chunk in ExpressionReader(cells).chunks()],
        cells.n_obs,
    )
    rows.append(("token ids of sentences", ids, "tokenizer on sentences", strings))
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


def measure_encoders(n_cells: int) -> list[dict[str, object]]:
    """Both branches from AnnData to embeddings, beside the programs that people use today, on `n_cells` cells."""
    cells = datasets.pbmc68k_reduced()[:n_cells].copy()
    cells = AnnData(cells.X, var=cells.var[[]])
    rows = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        cells.write_h5ad(work / "cells.h5ad")
        folder = make_scgpt_folder(work / "scgpt", cells.var_names, nlayers=12, embsize=512, nheads=8, d_hid=512)
        peer = official_seconds(work, folder)
        for precision in precisions():
            seconds = seconds_to_embed(cells, encoders.get(folder), precision)
            rows.append((f"scGPT 12 x 512, {precision}", seconds, "official embed_data, float32", peer))
    for max_genes in (30, 256):
        minilm = encoders.get("minilm", max_genes=max_genes)
        library = SentenceTransformer(str(minilm.folder), device="cpu", local_files_only=True)
        start = time.perf_counter()
        texts = [" ".join(text.split(" ")[:max_genes]) for text in python_sentences(cells)]
        library.encode(texts, show_progress_bar=False)
        peer = time.perf_counter() - start
        for precision in precisions():
            seconds = seconds_to_embed(cells, minilm, precision)
            name = f"minilm, {max_genes} genes, {precision}"
            rows.append((name, seconds, "SentenceTransformer.encode, float32", peer))
    return [
        {
            "what": what,
            "cells_per_s": round(n_cells / ours, 1),
            "peer": peer_name,
            "peer_cells_per_s": round(n_cells / other, 1) if other else None,
            "ratio": other / ours if other else None,
        }
        for what, ours, peer_name, other in rows
    ]


def precisions() -> list[Precision]:
    """Those that make sense on this machine."""
    return ["bfloat16", "float32"] if has_fast_bfloat16(resolve_device("cpu")) else ["float32"]


def seconds_to_embed(cells: AnnData, encoder: encoders.Encoder, precision: Precision) -> float:
    """Seconds of `tl.embed` without cache, weights in memory."""
    options: dict[str, Any] = {"precision": precision, "device": "cpu", "cache": False, "progress": False}
    tl.embed(cells[:8].copy(), encoder, **options)
    copy = cells.copy()
    start = time.perf_counter()
    tl.embed(copy, encoder, **options)
    return time.perf_counter() - start


def official_seconds(work: Path, folder: Path) -> float | None:
    """Seconds of the official package on the same cells and checkpoint; `None` where it cannot be installed."""
    package = work / "package"
    # Without its dependencies: they pin an scvi-tools and a torchtext that do not live beside today's packages.
    options = ["--no-deps", f"--target={package}", "--quiet", "--disable-pip-version-check", "--retries=1"]
    if subprocess.run([sys.executable, "-m", "pip", "install", *options, "scgpt==0.2.4"], check=False).returncode:
        print("scgpt==0.2.4 cannot be installed here; its figures are left out")
        return None
    arguments = ["-m", "benchmarks._official_scgpt", str(package), str(folder), str(work / "cells.h5ad")]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return float(done.stdout.splitlines()[-1])


def matmul_gflops(dtype: torch.dtype) -> float:
    """How fast this machine multiplies 4096 x 512 by 512 x 512, in 1e9 operations a second: what bounds an encoder."""
    left, right = torch.randn(4096, 512).to(dtype), torch.randn(512, 512).to(dtype)
    per_second = cells_per_second(lambda: [left @ right for _ in range(50)], 50, repeats=5)
    return round(per_second * 2 * 4096 * 512 * 512 / 1e9)


def import_seconds() -> float:
    """Seconds that `import scmpt_scverse` takes in a fresh interpreter; the best of five."""
    code = "import time; start = time.perf_counter(); import scmpt_scverse; print(time.perf_counter() - start)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
    return min(float(run.stdout) for run in runs)


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=14_000, help="cells, rounded down to a multiple of 700")
    parser.add_argument("--encoded", type=int, default=192, help="cells for the lines with encoders, at most 700")
    arguments = parser.parse_args()
    rows = measure(arguments.cells) + measure_encoders(arguments.encoded)
    seconds = import_seconds()
    for row in rows:
        print(
            f"{row['what']:<28} {row['cells_per_s']:>9,} cells/s   "
            + (f"{row['ratio']:>6.1f} x {row['peer']} ({row['peer_cells_per_s']:,} cells/s)" if row["ratio"] else "")
        )
    print(f"{'import scmpt_scverse':<28} {seconds:>9.3f} s")
    device = resolve_device("auto")
    record = {
        "rows": rows,
        "import_s": seconds,
        "matmul_gflops": {name: matmul_gflops(getattr(torch, name)) for name in ("float32", "bfloat16")},
        "n_cells": arguments.cells // 700 * 700,
        "has_fast_bfloat16": has_fast_bfloat16(device),
        **machine_record(PACKAGES),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{platform.system().lower()}-{platform.machine()}-{device.type}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"Stored in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}.")


if __name__ == "__main__":
    main()
