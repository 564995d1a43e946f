"""Measure what a linear classifier reads from the small encoders: `make bench-encoders`.

Cells are those of the accuracy benchmark that `scgpt-mini` has not seen. Parts: `mini` compares `scgpt-mini` with
random weights and principal components; `sentences` tries how many genes `minilm` reads; `texts` tries what
`minilm-genes` reads of a gene (`gene_full_names.tsv.gz` in the folder of `--data`) and how genes are weighted. Stores
`results/encoder_probes.json`; `make numbers` fills it into the documentation.
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _accuracy_cells import LABELS_KEY, read
from _accuracy_sets import SETS
from _machine import machine_record
from anndata import AnnData

from scmpt_scverse import encoders, tl
from scmpt_scverse.cli._group import quiet_libraries
from scmpt_scverse.encoders import Encoder

RESULT = Path(__file__).parent / "results" / "encoder_probes.json"
DATA_VARIABLE = "SCMPT_BENCHMARK_DATA"
FULL_NAMES = "gene_full_names.tsv.gz"
PARTS = ("mini", "sentences", "texts")
#: Most cells of a set, drawn at random, and repetitions, where text encoders are compared.
MAX_CELLS, N_SEEDS = 700, 3
LENGTHS: tuple[int | list[int], ...] = (10, 30, 60, 100, [10, 30, 60])
POWERS = (1, 2, 3)


def variants(part: str, data: Path) -> Iterator[tuple[str, Encoder]]:
    """Encoders to compare, by name."""
    if part == "sentences":
        for length in LENGTHS:
            yield str(length).strip("[]"), encoders.get("minilm", max_genes=length)
    for text, table in (("symbol", "symbols"), ("full name", data / FULL_NAMES)) if part == "texts" else ():
        for power in POWERS:
            yield f"{text}, power {power}", encoders.get("minilm-genes", gene_texts=table, power=power)


def probe(part: str, cells: AnnData, data: Path) -> dict[str, Any]:
    """One entry per variant: macro F1 with its interval."""
    if part == "mini":
        return tl.linear_probe(cells, "scgpt-mini", LABELS_KEY, progress=False).to_dict("index")
    chosen = np.random.default_rng(0).permutation(cells.n_obs)[:MAX_CELLS]
    some = cells[np.sort(chosen)].copy()
    return {
        name: tl.linear_probe(some, encoder, LABELS_KEY, n_seeds=N_SEEDS, progress=False).iloc[0].to_dict()
        for name, encoder in variants(part, data)
    }


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"folder, or ${DATA_VARIABLE}")
    parser.add_argument(
        "--parts", nargs="+", choices=("mini", "sentences", "texts"), default=["mini", "sentences", "texts"]
    )
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error(f"Expected a folder with the sets of cells; found none. Pass --data, or set {DATA_VARIABLE}.")
    quiet_libraries()
    torch.set_num_threads(1)
    stored = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for part in arguments.parts:
        stored[part] = {}
        for cell_set in SETS:
            cells = None if cell_set.is_seen else read(cell_set, arguments.data, is_embedded=False)
            if cells is not None:
                stored[part][cell_set.name] = probe(part, cells, arguments.data)
                print(part, cell_set.name, stored[part][cell_set.name], flush=True)
        stored |= machine_record(("scmpt-scverse", "torch", "scikit-learn"))
        RESULT.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
