"""Measure whether explanations are right, and what they cost: `make bench-explanations`.

Data are the PBMC that ship with scanpy, and the pancreas sets and the marker table of a folder (`--data`), which are
skipped with a reason where they are absent. Stores `benchmarks/results/explanations.json`.
"""

import argparse
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from scmpt_scverse import SCMPT, ablation, datasets, tl
from scmpt_scverse.metrics import replicate_summary

RESULT = Path(__file__).parent / "results" / "explanations.json"
MARKERS = "markers_panglaodb.tsv.gz"
ENCODERS = {"text": "minilm", "expression": "scgpt-mini"}
SETS = {"scanpy PBMC": (None, "bulk_labels"), "pancreas (Xin)": ("pancreas_xin.h5ad", "cell_type")}
SETS |= {"pancreas (Wang)": ("pancreas_wang.h5ad", "cell_type")}
#: Our labels to cell types of PanglaoDB, where names differ.
CELL_TYPES: dict[str, str | list[str]] = {
    "CD4+/CD25 T Reg": ["T regulatory cells", "T cells"],
    "CD4+/CD45RA+/CD25- Naive T": "T cells",
    "CD4+/CD45RO+ Memory": ["T cells", "T memory cells"],
    "CD8+ Cytotoxic T": ["T cells", "T cytotoxic cells"],
    "CD8+/CD45RA+ Naive Cytotoxic": ["T cells", "T cytotoxic cells"],
    "CD14+ Monocyte": "Monocytes",
    "CD19+ B": "B cells",
    "CD34+": "Hematopoietic stem cells",
    "CD56+ NK": "NK cells",
    "Dendritic": "Dendritic cells",
    "alpha": "Alpha cells",
    "beta": "Beta cells",
    "delta": "Delta cells",
    "gamma": "Gamma (PP) cells",
    "PP": "Gamma (PP) cells",
    "acinar": "Acinar cells",
    "ductal": "Ductal cells",
    "duct": "Ductal cells",
    "mesenchymal": ["Pancreatic stellate cells", "Fibroblasts"],
}
N_CELLS = 200
#: The text that GenePT puts before the genes.
GENEPT_PREFIX = "A cell with genes ranked by expression:"


def trained(adata: AnnData, labels_key: str) -> SCMPT:
    """A fused model; a quarter of the cells is held out and explained."""
    SCMPT.setup_anndata(adata, labels_key)
    model = SCMPT(adata, encoders=ENCODERS, fusion="concat", n_hidden=1024)
    model.train(train_size=0.65, validation_size=0.1, enable_progress_bar=False)
    return model


def explain(model: SCMPT, cells: AnnData, markers: Path) -> dict[str, Any]:
    """Completeness, time, markers, faithfulness and agreement on held-out cells."""
    model.annotate(cells)
    n_labels = cells.obs["scmpt_prediction"].nunique()
    start = time.perf_counter()
    model.rank_attributions(cells, n_cells_per_group=max(2, N_CELLS // n_labels), per_cell=True, progress=False)
    seconds = time.perf_counter() - start
    params = cells.uns["scmpt_attributions"]["params"]
    n_cells = int(sum(params["n_cells"]))
    found: dict[str, Any] = {
        "explained_cells": n_cells,
        "seconds_per_200_cells": seconds / n_cells * 200,
        "completeness_error_median": params["completeness_error"],
    }
    if markers.exists():
        groups = cells.uns["scmpt_attributions"]["names"].dtype.names
        types = {group: CELL_TYPES[group] for group in groups if group in CELL_TYPES}
        table = tl.marker_overlap(cells, markers, cell_types=types)
        found["markers"] = table.reset_index().to_dict("records")
    curves = model.deletion_curves(cells, n_cells=50, counts=(0, 1, 5, 10, 20, 50, 100), progress=False)
    found["curves"] = (
        curves.groupby(["method", "kind", "n_genes"])["probability"].mean().reset_index().to_dict("records")
    )
    found["faithfulness"] = tl.faithfulness(curves).reset_index().to_dict("records")
    return found


def order_and_names(model: SCMPT, adata: AnnData) -> list[dict[str, Any]]:
    """Text alone: what order and names are worth, with a linear head trained anew each time."""
    labels_key = model.registry["setup_args"]["labels_key"]
    SCMPT.setup_anndata(adata, labels_key)
    text = SCMPT(adata, encoders={"text": ENCODERS["text"]}, fusion="stacked")
    text.train()
    changes = [ablation.Shuffle(), ablation.Shuffle(0.1), ablation.Shuffle(0.1, keep_top=True)]
    changes += [ablation.Shuffle(within="cell"), ablation.ReplaceNames("hash"), ablation.ReplaceNames("random")]
    changes += [ablation.SentenceForm(prefix=GENEPT_PREFIX), ablation.Truncate(10), ablation.DropGenes("ribosomal")]
    changes += [ablation.SentenceForm("binned")]
    table = ablation.run(text, adata, changes, n_replicates=5, progress=False)
    macro = table[table["metric"] == "macro_f1"].drop(columns="metric").rename(columns={"value": "macro_f1"})
    return replicate_summary(macro, by="ablation").to_dict("records")


def _without_nan(value: Any) -> Any:
    """The same with `None` for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SCMPT_BENCH_DATA", "data")))
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--parts", nargs="*", default=["explain", "ablate"])
    arguments = parser.parse_args()
    stored = json.loads(RESULT.read_text()) if RESULT.exists() else {"sets": {}}
    stored["machine"] = {"cpus": os.cpu_count(), "threads": torch.get_num_threads(), "processor": platform.machine()}
    stored["versions"] = {name: version(name) for name in ("scmpt-scverse", "torch", "captum", "scanpy")}
    for name in arguments.sets:
        file, labels_key = SETS[name]
        path = None if file is None else arguments.data / file
        if path is not None and not path.exists():
            stored["sets"].setdefault(name, {"skipped": f"no {file} in the folder of --data"})
            continue
        adata = datasets.pbmc68k_reduced() if path is None else anndata.read_h5ad(path)
        adata.obs_names_make_unique()
        model = trained(adata, labels_key)
        found = {key: value for key, value in stored["sets"].get(name, {}).items() if key != "skipped"}
        if "explain" in arguments.parts:
            held_out = np.sort(np.asarray(model.test_indices))
            found |= explain(model, adata[held_out].copy(), arguments.data / MARKERS)
        if "ablate" in arguments.parts:
            found["ablations"] = order_and_names(model, adata.copy())
        stored["sets"][name] = found
        RESULT.write_text(json.dumps(_without_nan(stored), indent=1, allow_nan=False, default=float) + "\n")
        print(name, pd.Series({key: value for key, value in found.items() if not isinstance(value, list)}).to_string())


if __name__ == "__main__":
    main()
