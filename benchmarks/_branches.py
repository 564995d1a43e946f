"""Both encoders from AnnData to embeddings, beside the programs that people use today."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from benchmarks._measure import REPOSITORY, Line, best_seconds, matmul_gflops, pbmc, precisions
from benchmarks._tokens import python_sentences
from sentence_transformers import SentenceTransformer
from tests._scgpt_folder import make_scgpt_folder

from scmpt_scverse import encoders, tl
from scmpt_scverse._types import IntArray, Precision
from scmpt_scverse.encoders._packed_layers import length_batches
from scmpt_scverse.pp._expression import ExpressionReader

SCGPT = {"nlayers": 12, "embsize": 512, "nheads": 8, "d_hid": 512}
#: Share of the measured rate of matrix products.
RATE_BARS = {"float32": ">= 0.6", "bfloat16": ">= 0.4"}


def measure_branches(n_cells: int) -> list[Line]:
    """Cells a second beside the peer, the distance between precisions, and the share of the rate of matrix products."""
    cells = pbmc(n_cells)
    rates = {precision: matmul_gflops(precision) for precision in precisions()}
    lines = [Line(f"matrix products, {name}", rate, "GFLOP/s") for name, rate in rates.items()]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        cells.write_h5ad(work / "cells.h5ad")
        scgpt = encoders.get(make_scgpt_folder(work / "scgpt", cells.var_names, **SCGPT))
        tokens = scgpt.prepare(ExpressionReader(cells).rows(0, n_cells))
        peer = official_seconds(work, work / "scgpt")
        gflop = transformer_flop(tokens.lengths + 1, 512, 512, 12, cls_only=True) / 1e9
        lines += branch("scGPT 12 x 512", scgpt, cells, "official embed_data", peer, gflop, rates, ">= 12", ">= 3")
        lines += padding_waste(tokens.lengths)
    mini = encoders.get("scgpt-mini")
    lengths = mini.prepare(ExpressionReader(cells).rows(0, n_cells)).lengths + 1
    gflop = transformer_flop(lengths, 128, 256, 2, cls_only=True) / 1e9
    lines += branch("scgpt-mini", mini, cells, "", None, gflop, rates, "", "")
    for max_genes in (30, 256):
        minilm = encoders.get("minilm", max_genes=max_genes)
        library = SentenceTransformer(str(minilm.folder), device="cpu", local_files_only=True)
        library.encode(["warm up"])

        def encode(library: SentenceTransformer = library, max_genes: int = max_genes) -> None:
            texts = [" ".join(text.split(" ")[:max_genes]) for text in python_sentences(cells)]
            library.encode(texts, show_progress_bar=False)

        texts = [" ".join(text.split(" ")[:max_genes]) for text in python_sentences(cells)]
        lengths = np.array([len(ids) for ids in library.tokenizer(texts, truncation=True, max_length=256)["input_ids"]])
        gflop = transformer_flop(lengths, 384, 1536, 6, cls_only=False) / 1e9
        name = f"minilm, {max_genes} genes"
        peer = best_seconds(encode, repeats=2)
        lines += branch(name, minilm, cells, "SentenceTransformer.encode", peer, gflop, rates, ">= 4", "")
    return lines


def branch(
    what: str,
    encoder: encoders.Encoder,
    cells: AnnData,
    peer: str,
    peer_seconds: float | None,
    gflop: float,
    rates: dict[Precision, float],
    bfloat16_bar: str,
    float32_bar: str,
) -> list[Line]:
    """The lines of one encoder; its weights are in memory."""
    n_cells = cells.n_obs
    embeddings, seconds = {}, {}
    for precision in rates:
        copy = cells.copy()
        options: dict[str, Any] = {"precision": precision, "device": "cpu", "cache": False, "progress": False}
        tl.embed(cells[:64].copy(), encoder, **options)
        seconds[precision] = best_seconds(
            lambda copy=copy, options=options: tl.embed(copy, encoder, **options),  # type: ignore[misc]
        )
        embeddings[precision] = copy.obsm[f"X_{encoder.name}"]
    lines = []
    for precision, taken in seconds.items():
        bar = bfloat16_bar if precision == "bfloat16" else float32_bar
        rate, other = n_cells / taken, n_cells / peer_seconds if peer_seconds else None
        ratio = rate / other if other else None
        lines.append(Line(f"{what}, {precision}", rate, "cells/s", f"{peer}, float32", other, ratio, bar))
        share = gflop / taken / rates[precision]
        lines.append(
            Line(
                f"{what}, {precision}: of the matrix rate",
                gflop / taken,
                "GFLOP/s",
                "",
                None,
                share,
                RATE_BARS[precision],
            )
        )
    if len(embeddings) == 2:
        cosine = min_cosine(*embeddings.values())
        lines.append(Line(f"{what}: bfloat16 to float32", cosine, "cosine", "", None, cosine, ">= 0.999"))
    return lines


def min_cosine(one: Any, other: Any) -> float:
    """The lowest cosine of two rows."""
    return float(np.min((one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)))


def transformer_flop(lengths: IntArray, dim: int, hidden: int, n_layers: int, *, cls_only: bool) -> float:
    """Multiplications and additions of matrix products that cells of these lengths need, without any padding."""
    n = lengths.astype(float)
    layer = 2 * n * dim * (4 * dim + 2 * hidden) + 4 * n**2 * dim
    last = 2 * n * dim * 2 * dim + 2 * dim * (2 * dim + 2 * hidden) + 4 * n * dim if cls_only else layer
    return float(np.sum((n_layers - 1) * layer + last))


def padding_waste(lengths: IntArray) -> list[Line]:
    """The share of padding among the tokens of all batches on a GPU that must pad; elsewhere there is none."""
    batches = length_batches(lengths, "auto", torch.device("cuda"), packs=False)
    padded = sum(len(cells) * (lengths[cells].max() + 1) for cells in batches)
    share = float(1 - np.sum(lengths + 1) / padded)
    return [Line("padding on a GPU without packing", share, "share", "", None, share, "<= 0.05")]


def official_seconds(work: Path, folder: Path, device: str = "cpu") -> float | None:
    """Seconds of the official package on the same cells and checkpoint; `None` where it cannot be installed."""
    package = work / "package"
    # Without its dependencies: they pin an scvi-tools and a torchtext that do not live beside today's packages.
    options = ["--no-deps", f"--target={package}", "--quiet", "--disable-pip-version-check", "--retries=1"]
    if subprocess.run([sys.executable, "-m", "pip", "install", *options, "scgpt==0.2.4"], check=False).returncode:
        print("scgpt==0.2.4 cannot be installed here; its figures are left out")
        return None
    arguments = ["-m", "benchmarks._official_scgpt", str(package), str(folder), str(work / "cells.h5ad"), device]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    if done.returncode:
        print(f"scgpt==0.2.4 does not run here; its figures are left out:\n{done.stderr[-500:]}")
        return None
    return float(done.stdout.splitlines()[-1])
