"""Measure what neighbours in tissue add: `make bench-spatial BENCH_ARGS="--data FOLDER"`.

MERFISH cells of the mouse preoptic area, in blocks of tissue: each is predicted in turn by models that saw no block
beside it. The graph joins each cell to its nearest ones; a cell's neighbours may lie in a block that was left out, but
its labels are not read. The strength of smoothing is fitted on a block that an inner model was not trained on.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import torch
from _machine import machine_record
from sklearn.neighbors import kneighbors_graph
from zero_shot import DATA_VARIABLE, RESULTS

from scmpt_scverse import SCMPT, metrics, tl

N_NEIGHBOURS = 10
#: Blocks of tissue along each axis, of about as many cells each.
N_BLOCKS = 4
GRAPH = "spatial_connectivities"
#: Modalities beside expression. The principal components are those that the niche is made of, so that what they say of
#: the cell itself is not taken for what its neighbours say.
PREDICTORS = {
    "expression": {},
    "expression + components": {"components": "X_pca"},
    "expression + niche": {"niche": "X_niche"},
    "expression + components + niche": {"components": "X_pca", "niche": "X_niche"},
}
LABELS = ("cell_type", "cell_type_fine")


def read_cells(folder: Path) -> ad.AnnData:
    """Cells with their graph, principal components, niche, and block."""
    cells = ad.read_h5ad(folder / "mouse_poa_merfish_left.h5ad")
    nearest = kneighbors_graph(cells.obsm["spatial"], N_NEIGHBOURS)
    cells.obsp[GRAPH] = nearest.maximum(nearest.T)
    logs = sc.pp.normalize_total(cells, copy=True)
    sc.pp.log1p(logs)
    sc.pp.pca(logs, n_comps=30, random_state=0)
    cells.obsm["X_pca"] = logs.obsm["X_pca"]
    tl.embed_niche(cells, "X_pca")
    x, y = cells.obsm["spatial"].T
    column = pd.qcut(x, N_BLOCKS, labels=False)
    row = pd.Series(y).groupby(column).transform(lambda values: pd.qcut(values, N_BLOCKS, labels=False)).to_numpy()
    cells.obs["column"], cells.obs["row"] = column, row
    return cells


def folds(cells: ad.AnnData) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows to train on, to fit smoothing on, and to test: blocks that touch a tested one are neither."""
    column, row = cells.obs["column"].to_numpy(), cells.obs["row"].to_numpy()
    blocks = [(one, other) for one in range(N_BLOCKS) for other in range(N_BLOCKS)]
    for number, (c, r) in enumerate(blocks):
        is_test = (column == c) & (row == r)
        is_far = (np.abs(column - c) > 1) | (np.abs(row - r) > 1)
        far = [block for block in blocks if abs(block[0] - c) > 1 or abs(block[1] - r) > 1]
        inner_c, inner_r = far[number % len(far)]
        is_inner = (column == inner_c) & (row == inner_r)
        yield np.flatnonzero(is_far), np.flatnonzero(is_inner), np.flatnonzero(is_test)


def predict(cells: ad.AnnData, train: np.ndarray, labels_key: str, predictor: str, seed: int) -> pd.DataFrame:
    """Probabilities of all cells by a model of some."""
    known = cells[train].copy()
    SCMPT.setup_anndata(known, labels_key, obsm_keys=PREDICTORS[predictor], organism="native")
    model = SCMPT(known, encoders={"expression": "counts"}, fusion="stacked")
    model.train(seed=seed)
    return model.predict(cells, soft=True)


def measure(cells: ad.AnnData, labels_key: str, seed: int) -> Iterator[dict[str, object]]:
    """Rows of each predictor, raw and smoothed, over all blocks."""
    truth = cells.obs[labels_key].astype(str).to_numpy()
    predicted: dict[str, np.ndarray] = {}
    strengths: dict[str, list[float]] = {}
    for train, inner, test in folds(cells):
        for predictor in PREDICTORS:
            soft = predict(cells, train, labels_key, predictor, seed)
            of_inner = predict(cells, np.setdiff1d(train, inner), labels_key, predictor, seed)
            work = cells.copy()
            work.obs["known"] = pd.Series(truth, cells.obs_names).where(np.isin(np.arange(cells.n_obs), inner))
            work.obsm["scmpt_probabilities"] = of_inner
            strength = tl.smooth_probabilities(work, labels_key="known")
            work.obsm["scmpt_probabilities"] = soft
            tl.smooth_probabilities(work, strength=strength)
            for name, table in (("", soft), (", smoothed", work.obsm["scmpt_smoothed_probabilities"])):
                found = predicted.setdefault(predictor + name, np.full(cells.n_obs, None, dtype=object))
                found[test] = table.iloc[test].idxmax(axis=1)
            strengths.setdefault(predictor, []).append(strength)
    for name, labels in predicted.items():
        by_type = pd.Series(labels == truth).groupby(truth).mean()
        yield {
            "labels": labels_key,
            "seed": seed,
            "predictor": name,
            **metrics.classification_metrics(truth, labels).to_dict(),
            "recall": by_type.round(4).to_dict(),
            "strengths": strengths[name.removesuffix(", smoothed")],
        }


def alike(cells: ad.AnnData, labels_key: str) -> dict[str, float]:
    """Share of neighbours that have the label of the cell, and what it would be if cells were placed at random."""
    labels = cells.obs[labels_key].astype(str).to_numpy()
    one, other = cells.obsp[GRAPH].nonzero()
    shares = pd.Series(labels).value_counts(normalize=True)
    return {"found": float(np.mean(labels[one] == labels[other])), "by_chance": float((shares**2).sum())}


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help="folder of the cells")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.data is None or not (arguments.data / "mouse_poa_merfish_left.h5ad").is_file():
        raise SystemExit(f"Pass --data FOLDER, or set {DATA_VARIABLE}: it must hold mouse_poa_merfish_left.h5ad.")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    started = time.perf_counter()
    cells = read_cells(arguments.data)
    rows = []
    for seed in range(arguments.seeds):
        for labels_key in LABELS:
            for row in measure(cells, labels_key, seed):
                print({key: row[key] for key in ("labels", "seed", "predictor", "accuracy", "macro_f1")}, flush=True)
                rows.append(row)
    record = {
        "rows": rows,
        "n_cells": cells.n_obs,
        "n_neighbours": N_NEIGHBOURS,
        "n_blocks": N_BLOCKS**2,
        "alike": {labels_key: alike(cells, labels_key) for labels_key in LABELS},
        "seconds": round(time.perf_counter() - started),
        **machine_record(("scmpt-scverse", "torch", "scikit-learn", "scanpy")),
    }
    (RESULTS / "spatial.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
