"""What labels from texts cost: cells per second after standardisation, beside plain marker scoring, and memory."""

import tempfile
import time
from pathlib import Path

import numpy as np
import scanpy as sc
from anndata import AnnData
from benchmarks._measure import Line, in_process, pbmc
from scipy import sparse

from scmpt_scverse import SCMMGPT
from scmpt_scverse.zero_shot import REFINEMENTS, AnswerLimits, Candidates, answers_of, checked_others

#: Types that the cells are labelled with, in the words of a user.
LABELS = [
    "B cell",
    "CD14-positive monocyte",
    "hematopoietic stem cell",
    "regulatory T cell",
    "naive CD4 T cell",
    "memory CD4 T cell",
    "natural killer cell",
    "cytotoxic CD8 T cell",
    "naive CD8 T cell",
    "dendritic cell",
]
MODEL = "scmmgpt-mini"
#: Share of the values of a cell that are drawn to be hidden, so that no two cells are the same.
_HIDDEN = 0.2
_N_MARKERS = 50
#: Cells that everything is run on once, before time counts.
_WARMING = 1_000
_WAYS = {"none": "raw", "smooth": "smoothed", "self-train": "refined"}
#: Peak memory beside what is written: of every column, and of the table of probabilities.
PEAK = """
import sys, warnings
from pathlib import Path
import anndata, numpy as np
from scmpt_scverse import SCMMGPT
warnings.simplefilter("ignore")
path, labels, refine = sys.argv[1:]
cells = anndata.read_h5ad(path, backed="r")
names = labels.split(",") if labels else None
SCMMGPT.from_pretrained("scmmgpt-mini").annotate(cells, names, refine=refine)
written = cells.obs.memory_usage(index=False).sum() + cells.obsm["scmmgpt_scores"].memory_usage(index=False).sum()
(line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(line.split()[1]) / 1e3 - written / 1e6)
"""


def measure_text_labels(n_cells: int) -> list[Line]:
    """Lines about speed and memory."""
    return [*speed(n_cells), *memory()]


def speed(n_cells: int) -> list[Line]:
    """Cells per second after standardisation, with ten names and with all registered types."""
    model = SCMMGPT.from_pretrained(MODEL)
    labelled_per_second(model, _WARMING)
    rates, peer = labelled_per_second(model, n_cells)
    lines = []
    for (what, refine), rate in rates.items():
        name = f"labels by text, {what}, {_WAYS[refine]}"
        lines.append(Line(name, rate, "cells/s", "at least 2,000 cells/s", 2000, rate / 2000, ">= 1"))
        if what == "ten names":
            lines.append(Line(name, rate, "cells/s", "score_genes of scanpy", peer, rate / peer))
    return lines


def labelled_per_second(model: SCMMGPT, n_cells: int) -> tuple[dict[tuple[str, str], float], float]:
    """Cells per second by candidates and way to refine, and of plain marker scoring."""
    cells, trained, limits = noisy_pbmc(n_cells), model._trained(), AnswerLimits()
    query = model._query(cells, None, None, None)
    rates = {}
    for what, labels in {"ten names": LABELS, "all types": None}.items():
        candidates = trained.candidates(labels, None)
        others = checked_others(trained, candidates, limits)
        for refine in REFINEMENTS:
            start = time.perf_counter()
            answers_of(trained, query, candidates, others, refine, limits)
            rates[what, refine] = n_cells / (time.perf_counter() - start)
    start = time.perf_counter()
    score_markers(cells, trained.candidates(LABELS, None), model.genes)
    return rates, n_cells / (time.perf_counter() - start)


def memory() -> list[Line]:
    """By how many MB the peak of `annotate` grows from 10,000 to 100,000 cells of a backed file."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        files = {n_cells: Path(folder) / f"{n_cells}.h5ad" for n_cells in (10_000, 100_000)}
        for n_cells, path in files.items():
            noisy_pbmc(n_cells).write_h5ad(path)
        for labels, what in ((",".join(LABELS), "ten names"), ("", "all types")):
            less, more = (in_process(PEAK, path, labels, "self-train") for path in files.values())
            name = f"peak memory, labels by text, {what}, 100,000 cells"
            lines.append(Line(name, more, "MB", "10,000 cells", less, more - less, "<= 200"))
    return lines


def noisy_pbmc(n_cells: int) -> AnnData:
    """Real PBMC, repeated, each with other values hidden."""
    cells = pbmc(n_cells)
    matrix = sparse.csr_matrix(cells.X)
    matrix.data *= np.random.default_rng(0).random(len(matrix.data)) >= _HIDDEN
    matrix.eliminate_zeros()
    cells.X = matrix
    return cells


def score_markers(cells: AnnData, candidates: Candidates, genes: np.ndarray) -> None:
    """Score the markers of each label with scanpy, as people do."""
    for name, weights in zip(candidates.names, candidates.markers, strict=True):
        known = [gene for gene in genes[np.argsort(-weights)] if gene in cells.var_names][:_N_MARKERS]
        sc.tl.score_genes(cells, known, score_name=f"score {name}")
