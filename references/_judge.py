"""Judge the models of a recipe, and simple predictors beside them, on studies that were left out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from _cells import GROUP, TERM, TYPE, joined
from _claims import claimed_type, types_of
from _left_out import OUTSIDE, Answers, Design, Trained, answers, chosen, outside_auroc, train
from _recipe import Recipe, Study

from scmpt_scverse import evaluation, metrics

#: Simple predictors by their names in `evaluation`; each gets the training cells of the model.
BASELINES = {"logistic regression, HVG and PCA": "pca_logistic_regression", "CellTypist": "celltypist"}


def judged(
    recipe: Recipe, studies: Mapping[str, ad.AnnData], data: Path, without: Any, log: Any = print
) -> list[dict[str, Any]]:
    """One record per study: it is left out with its group, everything is chosen and trained on the others."""
    records = []
    for group in recipe.groups:
        inside = [studies[study.name] for study in recipe.studies if study.group != group]
        trained = chosen(recipe, inside, without, group, log)
        encoders = without(trained.design.encoders, group)
        outside = {study.name: studies[study.name] for study in recipe.studies if study.group == group}
        hidden = hidden_types(recipe, trained, replace(trained.design, encoders=encoders), inside, outside)
        log(f"{group}: {hidden}")
        for study in (each for each in recipe.studies if each.group == group):
            cells = studies[study.name]
            said = answers(trained.model, cells, trained.design.level.types)
            record = {
                "study": study.name,
                "group": group,
                "candidate": trained.design.candidate,
                "level": trained.design.level.name,
                **metrics_of(trained, said),
                "baselines": baselines(trained, cells),
                "hidden": hidden[study.name],
            }
            if study.report_by is not None:
                record["parts"] = {
                    str(value): metrics_of(
                        trained,
                        answers(trained.model, cells[cells.obs[study.report_by] == value], trained.design.level.types),
                    )
                    for value in cells.obs[study.report_by].unique()
                }
            log(f"{study.name}: macro F1 {record['macro_f1']:.3f}, ECE {record['ece']:.3f}; {record['baselines']}")
            records.append(record)
    return records


def metrics_of(trained: Trained, said: Answers) -> dict[str, Any]:
    """Of the cells of claimed types; and what the limits leave unknown, of these and of other cells."""
    known = said.is_known
    truth, predicted = said.truth[known], said.predicted[known]
    soft = said.probabilities[known].reset_index(drop=True)
    unsure = (said.confidence < trained.model.min_confidence) | (said.novelty > trained.model.max_novelty)
    kept = known & ~unsure
    per_class = metrics.per_class_metrics(truth, predicted)
    return {
        "n_cells": int(known.sum()),
        "types": {str(name): float(per_class.loc[name, "f1"]) for name in sorted(set(truth))},
        "macro_f1": float(metrics.classification_metrics(truth, predicted)["macro_f1"]),
        "accuracy": float((truth == predicted).mean()),
        "ece": float(metrics.calibration_metrics(truth, soft)["ece"]),
        "unknown_share": float(unsure[known].mean()),
        "accuracy_of_kept": float((said.truth[kept] == said.predicted[kept]).mean()) if kept.any() else float("nan"),
        "n_outside": int((~known).sum()),
        "unknown_share_outside": float(unsure[~known].mean()) if (~known).any() else float("nan"),
        "auroc_outside": outside_auroc(said, ~known),
    }


def baselines(trained: Trained, cells: ad.AnnData) -> dict[str, float]:
    """Macro F1 of simple predictors, trained on the cells of the model.

    Each reads the genes that all training studies and the left-out study have; or all genes of the left-out study that
    some training study has, 0 where another did not measure one, as the model does.
    """
    model, types = trained.model, trained.design.level.types
    reference = model.adata[model.train_indices].copy()
    truth = types_of(cells.obs[TERM].to_numpy(dtype=object), types)
    is_known = np.isin(truth, model.labels)
    query = cells[is_known].copy()
    measured = [
        set(some.var_names[np.asarray((some.X != 0).sum(axis=0)).ravel() > 0])
        for some in (query, *(reference[reference.obs[GROUP] == group] for group in reference.obs[GROUP].unique()))
    ]
    shared, own = sorted(set.intersection(*measured)), sorted(measured[0] & set.union(*measured[1:]))
    labels = reference.obs[TYPE].to_numpy(dtype=object)
    found = {}
    for name, baseline in BASELINES.items():
        for genes, over in ((shared, "shared genes"), (own, "its genes")):
            features = [_over(_log_normalised(some), genes) for some in (reference, query)]
            soft = evaluation.baseline_probabilities(baseline, features[0], labels, features[1])
            scores = metrics.classification_metrics(truth[is_known], soft.idxmax(axis=1).to_numpy())
            found[f"{name}, {over}"] = float(scores["macro_f1"])
    return found


def hidden_types(
    recipe: Recipe, trained: Trained, design: Design, inside: Sequence[ad.AnnData], studies: Mapping[str, ad.AnnData]
) -> dict[str, dict[str, dict[str, float]]]:
    """AUROC by which cells of a type are told from the others of left-out studies, where training had none of it.

    Types that no study of the training has, such as blood stem cells, are told apart in the same way, without this.
    """
    hidden = claimed_type(recipe.hidden, design.level.types)
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in studies}
    truths = {
        name: types_of(cells.obs[TERM].to_numpy(dtype=object), design.level.types) for name, cells in studies.items()
    }
    others = train(joined(inside), design, recipe.training, hidden=hidden)
    for name, cells in studies.items():
        known = cells[np.isin(truths[name], trained.model.labels)]
        said = answers(others, known, design.level.types)
        found[name][hidden] = outside_auroc(said, said.truth == hidden)
    return found


def elsewhere(trained: Trained, study: Study, cells: ad.AnnData) -> dict[str, Any]:
    """What the final model says of cells that no part of it has seen."""
    said = answers(trained.model, cells, trained.design.level.types)
    return {"study": study.name, **metrics_of(trained, said)}


def summary(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over left-out studies."""
    table = pd.DataFrame([{**record, **record["baselines"]} for record in records])
    names = ["macro_f1", "ece", "accuracy", "unknown_share", "accuracy_of_kept", *records[0]["baselines"]]
    means = {name: float(table[name].mean()) for name in names}
    for mark in ("doubt", "novelty"):
        hidden = [each[mark] for record in records for each in record["hidden"].values()]
        means[f"hidden_auroc_{mark}"] = float(np.mean(hidden))
    return means


def _log_normalised(cells: ad.AnnData) -> ad.AnnData:
    """Counts as logarithms, others as they are."""
    cells = cells.copy()
    for group in cells.obs[GROUP].unique():
        rows = np.flatnonzero(cells.obs[GROUP] == group)
        some = cells[rows].copy()
        whole = np.asarray((some.X.astype(int) != some.X).sum(axis=1)).ravel() == 0
        if whole.any():
            counts = some[whole].copy()
            sc.pp.normalize_total(counts, target_sum=1e4)
            sc.pp.log1p(counts)
            cells.X[rows[whole]] = counts.X
    return cells


def _over(cells: ad.AnnData, genes: Sequence[str]) -> Any:
    """Expression over some genes, 0 where one is missing."""
    empty = ad.AnnData(np.zeros((1, len(genes)), dtype=np.float32), var=pd.DataFrame(index=pd.Index(genes)))
    wide = ad.concat([empty, cells], join="outer", fill_value=0)[1:, list(genes)]
    return wide.X.tocsr() if hasattr(wide.X, "tocsr") else wide.X


__all__ = ["OUTSIDE", "elsewhere", "judged", "summary"]
