"""Measure how well mouse cells are read through orthologs: `make bench-species`.

Mouse cells of the gut by themselves, in five folds; a human reference on them; and annotation without a reference.
Peers see the same cells: the same orthologs, and upper-cased symbols, which is what people do.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import torch
from _machine import machine_record
from scipy import sparse
from zero_shot import DATA_VARIABLE, RESULTS, TABLES, marker_scores

from scmpt_scverse import SCMMGPT, SCMPT, encoders, evaluation, knowledge, metrics, pp
from scmpt_scverse.pp import ExpressionReader
from scmpt_scverse.zero_shot import Query

#: Types that the human reference (head and neck tumours) and the mouse gut share; names of the reference.
SHARED = {
    "B cell": "B cell",
    "CD4 T cell": "T cell",
    "CD8 T cell": "T cell",
    "reg. T cell": "T cell",
    "Dendritic": "Dendritic cell",
    "Endothelial": "Endothelial cell",
    "Fibroblast": "Fibroblast",
    "Macrophage": "Macrophage",
    "Mast": "Mast cell",
}
#: How genes are named, and the column that holds these names.
NAMES = {"orthologs": "human_symbol", "upper-cased": "upper"}
BASELINES = ("expression_logistic_regression", "pca_logistic_regression", "celltypist")


def read_cells(folder: Path) -> tuple[ad.AnnData, ad.AnnData]:
    """Mouse cells with both names of genes, and the human reference with labels of the mouse."""
    mouse = ad.read_h5ad(folder / "mouse_gut_mca.h5ad")
    pp.map_orthologs(mouse)
    mouse.var["upper"] = mouse.var_names.str.upper()
    human = ad.read_h5ad(folder / "headneck_puram.h5ad")
    human.obs["cell_type"] = human.obs["cell_type"].astype(str).map(SHARED)
    human = human[human.obs["cell_type"].notna()].copy()
    for name in NAMES.values():
        human.var[name] = human.var_names
    return mouse, human


def log_expression(cells: ad.AnnData, names: str, genes: np.ndarray | None = None) -> ad.AnnData:
    """Log-normalised expression over human symbols, columns of one symbol summed; of some genes, if they are given."""
    reader = ExpressionReader(cells, gene_symbols=names)
    read = reader.rows(0, cells.n_obs)
    found = ad.AnnData(sparse.csr_matrix(read.matrix, dtype=np.float32), var=pd.DataFrame(index=read.genes))
    sc.pp.normalize_total(found, target_sum=1e4)
    sc.pp.log1p(found)
    return found if genes is None else found[:, genes].copy()


def scored(task: str, names: str, seed: int, truth: np.ndarray, predictions: dict[str, np.ndarray]) -> list[dict]:
    """Metrics of each predictor on the same cells, with intervals over cells."""
    table = metrics.bootstrap_metrics(truth, predictions)
    columns = [name for name in table if name.startswith(("macro_f1", "accuracy"))]
    return [
        {"task": task, "predictor": name, "names": names, "seed": seed, **scores}
        for name, scores in table[columns].astype(float).to_dict("index").items()
    ]


def model_of(cells: ad.AnnData, names: str, seed: int) -> SCMPT:
    """The recommended model."""
    SCMPT.setup_anndata(cells, "cell_type", gene_symbols=names)
    model = SCMPT(cells)
    model.train(seed=seed)
    return model


def mouse_to_mouse(mouse: ad.AnnData, names: str, seed: int) -> list[dict]:
    """Five folds of mouse cells; every predictor sees the same."""
    truth = mouse.obs["cell_type"].astype(str).to_numpy()
    expression = log_expression(mouse, NAMES[names])
    predicted = {name: np.empty(len(truth), dtype=object) for name in ("SCMPT", *BASELINES)}
    for train, test in evaluation.cell_splits(truth, n_splits=5, seed=seed):
        predicted["SCMPT"][test] = model_of(mouse[train].copy(), NAMES[names], seed).predict(mouse[test].copy())
        for name in BASELINES:
            soft = evaluation.baseline_probabilities(
                name, expression.X[train], truth[train], expression.X[test], seed=seed
            )
            predicted[name][test] = soft.idxmax(axis=1)
    return scored("mouse to mouse", names, seed, truth, predicted)


def human_to_mouse(human: ad.AnnData, mouse: ad.AnnData, names: str, seed: int) -> list[dict]:
    """A human reference, and the mouse cells whose types it has."""
    query = mouse[mouse.obs["cell_type"].isin(set(human.obs["cell_type"]))].copy()
    truth = query.obs["cell_type"].astype(str).to_numpy()
    found = {"SCMPT": model_of(human.copy(), NAMES[names], seed).predict(query)}
    both = [log_expression(cells, NAMES[names]) for cells in (human, query)]
    genes = both[0].var_names.intersection(both[1].var_names)
    train, test = (each[:, genes].X for each in both)
    for name in BASELINES:
        soft = evaluation.baseline_probabilities(name, train, human.obs["cell_type"], test, seed=seed)
        found[name] = soft.idxmax(axis=1).to_numpy()
    return scored("human to mouse", names, seed, truth, found)


def text_to_mouse(mouse: ad.AnnData, names: str, folder: Path) -> list[dict]:
    """Labels by text, beside plain marker scoring with the same tables and smoothing of neither."""
    truth = mouse.obs["cell_type"].astype(str).to_numpy()
    labels = sorted(set(truth))
    model = SCMMGPT.from_pretrained("scmmgpt-mini")
    found = {}
    for refine in ("none", "self-train"):
        found[f"SCMMGPT, {refine}"] = model.predict(mouse, labels=labels, refine=refine, gene_symbols=NAMES[names])
    symbols = encoders.get("scgpt-mini").vocabulary
    markers = knowledge.merge_markers([folder / file for file in TABLES.values()], genes=symbols)
    report = knowledge.map_labels(labels)
    sets = {
        label: dict(zip(rows["gene"], rows["weight"], strict=True))
        for label, term in report["ontology_id"].items()
        if len(rows := markers[(markers["term"] == term) & (markers["weight"] > 0)].head(50))
    }
    query = Query(ExpressionReader(mouse, gene_symbols=NAMES[names]), np.array(model.genes, dtype=object))
    scores = marker_scores(query, model.genes, sets)["marker mean z"]
    found["marker mean z"] = np.array(list(sets), dtype=object)[np.nan_to_num(scores).argmax(axis=1)]
    return scored("text to mouse", names, 0, truth, found)


def main() -> None:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"folder, or ${DATA_VARIABLE}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error(f"pass --data or set {DATA_VARIABLE}")
    warnings.simplefilter("ignore")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    start = time.perf_counter()
    mouse, human = read_cells(Path(arguments.data))
    rows = []
    for names in NAMES:
        rows += text_to_mouse(mouse, names, Path(arguments.data))
        for seed in range(arguments.seeds):
            rows += mouse_to_mouse(mouse, names, seed) + human_to_mouse(human, mouse, names, seed)
            print(f"{names}, seed {seed}, {time.perf_counter() - start:.0f} s", flush=True)
    table = pd.DataFrame(rows)
    print(table.pivot_table(index=["task", "predictor"], columns="names", values="macro_f1", sort=False).round(3))
    record = {"rows": rows, "seconds": time.perf_counter() - start, **machine_record(("scmpt-scverse", "torch"))}
    (arguments.results / "species.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
