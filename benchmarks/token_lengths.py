"""Measure what `scgpt-mini` loses when it reads only the most expressed genes: `make bench-lengths`.

For each number of tokens (`max_length`, the `<cls>` token included) and each set of the accuracy benchmark: cells per
second, and macro F1 on held-out cells of the encoder alone and of the default model with it. Up to 2,000 cells of a
set, three replicates. Stores `results/token_lengths.json`; `make numbers` fills it into the documentation.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _accuracy_cells import LABELS_KEY, TEXT_MODEL, read, replicates_of
from _accuracy_predictors import head
from _accuracy_sets import SETS, CellSet
from _few_shot_models import text_model_without
from _machine import machine_record
from anndata import AnnData

from scmpt_scverse import encoders, metrics, tl
from scmpt_scverse._folders import cache_folder
from scmpt_scverse.cli._group import quiet_libraries
from scmpt_scverse.modalities import DEFAULT_PRESET, preset_of

RESULT = Path(__file__).parent / "results" / "token_lengths.json"
DATA_VARIABLE = "SCMPT_BENCHMARK_DATA"
LENGTHS = (1200, 512, 256, 128)
ENCODER = "scgpt-mini"
MAX_CELLS, N_TIMED, N_REPLICATES = 2000, 128, 3


def rows_of(cell_set: CellSet, data: Path, cache: Path) -> list[dict[str, Any]]:
    """A row for each length."""
    quiet_libraries()
    torch.set_num_threads(1)
    cells = read(cell_set, data, is_embedded=False)
    if cells is None:
        return []
    if cells.n_obs > MAX_CELLS and cell_set.group_key is None:
        cells = cells[np.sort(np.random.default_rng(0).permutation(cells.n_obs)[:MAX_CELLS])].copy()
    others = dict(preset_of(DEFAULT_PRESET).encoders)
    (modality,) = (name for name, encoder in others.items() if encoder == ENCODER)
    if cell_set.study is not None:
        cells.uns[TEXT_MODEL] = str(text_model_without(cell_set.study, data, cache))
        others["knowledge"] = {"encoder": "knowledge", "model": cells.uns[TEXT_MODEL]}
    known = cells.var_names.isin(list(encoders.get(ENCODER).vocabulary))
    n_tokens = np.asarray((cells.X[:, known] > 0).sum(axis=1)).ravel() + 1
    rows = []
    for length in LENGTHS:
        read_as = {modality: {"encoder": ENCODER, "max_length": length}}
        rows.append(
            {
                "set": cell_set.name,
                "is_seen": cell_set.is_seen,
                "max_length": length,
                "share_of_cells_cut": float((n_tokens > length).mean()),
                "cells_per_second": speed(cells, length),
                "alone": macro_f1(cell_set, cells, read_as),
                "default": macro_f1(cell_set, cells, {**others, **read_as}),
            }
        )
    return rows


def speed(cells: AnnData, length: int) -> float:
    """Cells embedded per second, on one core, without the cache; the second of two runs counts."""
    some, encoder = cells[:N_TIMED].copy(), encoders.get(ENCODER, max_length=length)
    for _ in range(2):
        start = time.perf_counter()
        tl.embed(some, encoder, cache=False, progress=False)
        seconds = time.perf_counter() - start
    return some.n_obs / seconds


def macro_f1(cell_set: CellSet, cells: AnnData, read_as: dict[str, Any]) -> float:
    """Mean over replicates, of a model that fuses these encoders."""
    labels = cells.obs[LABELS_KEY].to_numpy(dtype=object)
    scores = []
    for seed, folds in islice(enumerate(replicates_of(cell_set, cells, N_REPLICATES)), N_REPLICATES):
        predicted = [
            head(cells[train].copy(), cells[test].copy(), seed, encoders=read_as, fusion="stacked").probabilities
            for train, test in folds
        ]
        of_cells = pd.concat([each.idxmax(axis=1) for each in predicted], ignore_index=True)
        truth = labels[np.concatenate([test for _, test in folds])]
        scores.append(metrics.classification_metrics(truth, of_cells)["macro_f1"])
    return float(np.mean(scores))


def measured(data: Path, cache: Path) -> Iterator[dict[str, Any]]:
    """Rows of all sets, each core working on one."""
    for study in dict.fromkeys(filter(None, (cell_set.study for cell_set in SETS))):
        text_model_without(study, data, cache)  # before several processes ask for it
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes to come
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for rows in pool.map(partial(rows_of, data=data, cache=cache), SETS):
            print(*rows, sep="\n", flush=True)
            yield from rows


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"folder, or ${DATA_VARIABLE}")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "few_shot", help="folder of text models")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error(f"Expected a folder with the sets of cells; found none. Pass --data, or set {DATA_VARIABLE}.")
    record = {"rows": list(measured(arguments.data, arguments.cache)), "threads": 1}
    record |= machine_record(("scmpt-scverse", "torch", "scikit-learn"))
    RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
