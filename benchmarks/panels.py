"""Measure how well cells are annotated on targeted panels: `make bench-panels BENCH_ARGS="--data FOLDER"`.

MERFISH cells in blocks of tissue, by models that saw no block beside them; and human cells of which the query has the
genes of a panel alone: the reference is cut to these (`genes=`), or not. Peers are given the same cells and the same
genes. What `advise_panel` estimates from the reference for each type is compared with what then happens.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import torch
from _machine import machine_record
from spatial import folds, read_cells
from zero_shot import DATA_VARIABLE, RESULTS

from scmpt_scverse import SCMPT, evaluation, metrics

#: Peers on the log-normalised expression of the genes of the panel.
BASELINES = {
    "logistic regression": "expression_logistic_regression",
    "logistic regression, PCA": "pca_logistic_regression",
    "CellTypist": "celltypist",
}
HUMAN = {"zheng": "pbmc_zheng_facs.h5ad", "kang": "pbmc_kang_ifnb.h5ad"}
SIZES = (100, 155, 300, 500)
#: Sizes for which what `advise_panel` says is compared with what then happens.
ADVISED = (155,)
TISSUE = "MERFISH"
#: Reference and query of a human set have so many cells each, at most.
MAX_CELLS = 400
#: Without text, whose encoder would take most of the time.
ENCODERS = {"expression": "scgpt-mini", "counts": "counts"}


def log_normalised(cells: ad.AnnData) -> Any:
    """Log-normalised expression of the genes that the cells have."""
    logs = sc.pp.normalize_total(cells, target_sum=1e4, copy=True)
    sc.pp.log1p(logs)
    return logs.X.tocsr()


def by_baselines(reference: ad.AnnData, labels: np.ndarray, query: ad.AnnData) -> dict[str, np.ndarray]:
    """Labels of the query by each peer."""
    features = log_normalised(reference), log_normalised(query)
    found = {}
    for name, baseline in BASELINES.items():
        soft = evaluation.baseline_probabilities(baseline, features[0], labels, features[1])
        found[name] = soft.idxmax(axis=1).to_numpy()
    return found


def trained(
    reference: ad.AnnData, encoders: dict[str, str], genes: list[str] | None, seed: int, organism: str = "human"
) -> SCMPT:
    """A model of the reference with its labels in `.obs["truth"]`."""
    cells = reference.copy()
    SCMPT.setup_anndata(cells, "truth", organism=organism)
    model = SCMPT(cells, encoders=encoders, fusion="stacked", genes=genes)
    model.train(seed=seed, enable_progress_bar=False)
    return model


def in_tissue(folder: Path) -> Iterator[dict[str, Any]]:
    """MERFISH, over all blocks of tissue, with intervals over cells."""
    cells = read_cells(folder)
    cells = ad.AnnData(cells.X, cells.obs.assign(truth=cells.obs["cell_type"].astype(str)), cells.var[[]])
    truth = cells.obs["truth"].to_numpy()
    predicted: dict[str, np.ndarray] = {}
    for train, _, test in folds(cells):
        known, query = cells[train].copy(), cells[test].copy()
        found = {"SCMPT, expression alone": trained(known, {"counts": "counts"}, None, 0, "native").predict(query)}
        found |= by_baselines(known, truth[train], query)
        for name, labels in found.items():
            predicted.setdefault(name, np.full(cells.n_obs, "", dtype=object))[test] = labels
    intervals = metrics.bootstrap_metrics(truth, predicted).filter(regex="_(lower|upper)$").astype(float)
    for name, labels in predicted.items():
        yield {
            "set": TISSUE,
            "n_genes": cells.n_vars,
            "seed": 0,
            "predictor": name,
            **scores(truth, labels),
            **intervals.loc[name].dropna().to_dict(),
        }


def scores(truth: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Metrics, and the share of the cells of each type that get its label."""
    recall = pd.Series(truth == labels).groupby(truth).mean()
    return {**metrics.classification_metrics(truth, labels).to_dict(), "recall": recall.round(4).to_dict()}


def halves(cells: ad.AnnData, seed: int) -> tuple[ad.AnnData, ad.AnnData]:
    """A reference and a query of other cells."""
    order = np.random.default_rng(seed).permutation(cells.n_obs)
    size = min(MAX_CELLS, cells.n_obs // 2)
    return cells[np.sort(order[:size])].copy(), cells[np.sort(order[size : 2 * size])].copy()


def panel_of(reference: ad.AnnData, n_genes: int) -> list[str]:
    """The most variable genes of the reference, chosen without its labels."""
    logs = sc.pp.normalize_total(reference, target_sum=1e4, copy=True)
    sc.pp.log1p(logs)
    table = sc.pp.highly_variable_genes(logs, n_top_genes=n_genes, inplace=False)
    return list(reference.var_names[table["highly_variable"].to_numpy()])


def of_human(folder: Path, name: str, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows about predictors and about advice, for one division of a set."""
    cells = ad.read_h5ad(folder / HUMAN[name])
    cells = ad.AnnData(cells.X, pd.DataFrame({"truth": cells.obs["cell_type"].astype(str)}), cells.var[[]])
    reference, query = halves(cells, seed)
    truth = query.obs["truth"].to_numpy()
    of_all = trained(reference, ENCODERS, None, seed)
    base = {"set": name, "seed": seed}
    yield (
        "rows",
        {**base, "n_genes": cells.n_vars, "predictor": "all genes", **scores(truth, of_all.predict(query.copy()))},
    )
    for n_genes in SIZES:
        panel = panel_of(reference, n_genes)
        cut = query[:, panel].copy()
        on_panel = trained(reference, ENCODERS, panel, seed).predict(cut.copy())
        found = {"SCMPT, genes=": on_panel, "SCMPT, all genes in training": of_all.predict(cut.copy())}
        found |= by_baselines(reference[:, panel].copy(), reference.obs["truth"].to_numpy(), cut)
        for predictor, labels in found.items():
            yield "rows", {**base, "n_genes": n_genes, "predictor": predictor, **scores(truth, labels)}
        if n_genes in ADVISED:
            advice = of_all.advise_panel(genes=panel, n_splits=3, seed=seed)
            recall = pd.Series(scores(truth, on_panel)["recall"])
            both = pd.DataFrame({"estimated": advice["recall"], "true": recall}).dropna()
            yield (
                "advice",
                {
                    **base,
                    "n_genes": n_genes,
                    "types": both.round(4).to_dict("index"),
                    "correlation": both.corr(method="spearman").iloc[0, 1],
                    "error": float((both["estimated"] - both["true"]).abs().mean()),
                    "not_told_apart": advice.index[~advice["is_told_apart"]].tolist(),
                },
            )


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help="folder of the cells")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=["tissue"], help="measure one part, and keep what is stored of the other")
    arguments = parser.parse_args()
    if arguments.data is None or not (arguments.data / "mouse_poa_merfish_left.h5ad").is_file():
        raise SystemExit(f"Pass --data FOLDER, or set {DATA_VARIABLE}: it must hold mouse_poa_merfish_left.h5ad.")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    started = time.perf_counter()
    found: dict[str, list[dict[str, Any]]] = {"rows": [], "advice": []}

    def keep(kind: str, row: dict[str, Any]) -> None:
        print({key: value for key, value in row.items() if key not in ("recall", "types")}, flush=True)
        found[kind].append(row)

    def store(**about: Any) -> None:
        (RESULTS / "panels.json").write_text(json.dumps({**found, **about}, indent=1) + "\n")

    for row in in_tissue(arguments.data):
        keep("rows", row)
    if arguments.only:
        before = json.loads((RESULTS / "panels.json").read_text())
        found["rows"] += [row for row in before["rows"] if row["set"] != TISSUE]
        store(**{name: value for name, value in before.items() if name != "rows"})
        return
    for seed in range(arguments.seeds):
        for name in HUMAN:
            for kind, row in of_human(arguments.data, name, seed):
                keep(kind, row)
        store(
            max_cells=MAX_CELLS,
            seconds=round(time.perf_counter() - started),
            **machine_record(("scmpt-scverse", "torch", "scikit-learn", "scanpy", "celltypist")),
        )


if __name__ == "__main__":
    main()
