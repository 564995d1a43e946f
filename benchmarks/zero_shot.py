"""Measure annotation without a labelled reference on studies that were not trained on: `make bench-zero-shot`.

Every predictor chooses among the labels of the test set, cell by cell, as it is, smoothed and refined on the query.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import torch
from _machine import machine_record
from _open_labels import levels, missing_types
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from scmpt_scverse import SCMMGPT, SCMPT, datasets, encoders, knowledge, metrics, tl
from scmpt_scverse.encoders import TextEncoder
from scmpt_scverse.module import TowerOptions, unit_profiles
from scmpt_scverse.pp import ExpressionReader
from scmpt_scverse.trust import cumulative_sets
from scmpt_scverse.zero_shot import (
    BACKGROUND_SHARE,
    REFINEMENTS,
    MarkerProfiles,
    Neighbourhood,
    Query,
    averaged,
    candidates_of,
    label_probabilities,
    label_scores,
    refined,
)

RESULTS = Path(__file__).parent / "results"
DATA_VARIABLE = "SCMPT_BENCHMARK_DATA"
FILES = {
    "zheng": "pbmc_zheng_facs",
    "kang": "pbmc_kang_ifnb",
    "xin": "pancreas_xin",
    "brain": "brain_allen_neun_facs",
    "pbmc3k": "pbmc3k_clustifyr",
    "headneck": "headneck_puram",
    "wang": "pancreas_wang",
}
TRAIN = ("zheng", "kang", "xin", "brain")
#: Test set to the studies that are trained on.
TESTS = {
    "pbmc3k": TRAIN,
    "headneck": TRAIN,
    "wang": TRAIN,
    "scanpy PBMC": ("kang", "xin", "brain", "pbmc3k"),
}
#: Development sets, each with the others; what is chosen is chosen here.
DEVELOPMENT = {name: tuple(other for other in TRAIN if other != name) for name in ("zheng", "kang", "xin")}
#: Which names of a table the labels have, one column per table of the map of labels.
TABLES = {"panglao": "markers_panglaodb.tsv.gz", "cellmarker": "markers_cellmarker2_human.tsv.gz"}
SCTYPE = "markers_sctype.tsv"
N_MARKERS = 50
#: Probability that sets of labels leave out.
ALPHA = 0.1
#: What scores of peers, at unit variance, are multiplied by before they are refined.
SHARPNESS = 3.0


@dataclass(frozen=True)
class Study:
    """Cells whose labels are mapped to terms by hand."""

    cells: ad.AnnData
    terms: np.ndarray


def read_study(name: str, folder: Path, names: pd.DataFrame) -> Study:
    """One study, cells without a mapped label left out."""
    if name == "scanpy PBMC":
        cells, key, rows = datasets.pbmc68k_reduced(), "bulk_labels", names[names["study"].isin(["zheng", "demo68k"])]
    else:
        cells, key, rows = ad.read_h5ad(folder / f"{FILES[name]}.h5ad"), "cell_type", names[names["study"] == name]
    terms = cells.obs[key].astype(str).map(dict(zip(rows["label"], rows["cl"], strict=True)))
    kept = terms.notna().to_numpy()
    return Study(cells[kept].copy(), terms[kept].to_numpy(dtype=object))


def read_tables(folder: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], pd.DataFrame]:
    """The map of labels, every table of markers, and those that may be shipped, merged."""
    symbols = encoders.get("scgpt-mini").vocabulary
    tables = {
        name: knowledge.match_genes(knowledge.read_markers(folder / file), symbols)
        for name, file in (TABLES | {"sctype": SCTYPE}).items()
    }
    merged = knowledge.merge_markers([tables[name] for name in TABLES])
    return pd.read_csv(folder / "labels_cl.tsv", sep="\t"), tables, merged


def fitted(train: dict[str, Study], markers: pd.DataFrame, encoder: "RememberedTexts", seed: int) -> SCMMGPT:
    """A model of some studies."""
    cells = ad.concat({name: study.cells for name, study in train.items()}, join="outer", label="study", fill_value=0)
    cells.obs_names_make_unique()
    cells.obs["term"] = np.concatenate([study.terms for study in train.values()])
    SCMMGPT.setup_anndata(cells, "term", batch_key="study")
    model = SCMMGPT(cells, text_encoder=encoder)
    model.train(markers=markers, options=TowerOptions(seed=seed), progress=False)
    return model


class RememberedTexts:
    """A text encoder that reads each text once."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder, self._rows = encoder, {}
        self.name, self.embedding_dim, self.fingerprint = encoder.name, encoder.embedding_dim, encoder.fingerprint

    def encode_texts(self, texts: list[str], *, precision: str = "auto") -> np.ndarray:
        """As the encoder."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            self._rows |= dict(zip(new, self._encoder.encode_texts(new, precision=precision), strict=True))
        return np.stack([self._rows[text] for text in texts])


def own_scores(query: Query, model: SCMMGPT, known: MarkerProfiles, terms: list[str]) -> dict:
    """Scores of the model and of its parts."""
    alignment = model.alignment
    candidates = candidates_of(terms, alignment, known.types, known.genes, model.embed_text)
    used = query.is_used
    return {
        "SCMMGPT": label_scores(query, alignment, candidates),
        "its text tower": query.scores(unit_profiles(alignment.written(candidates.texts), used)),
        "its markers": query.scores(unit_profiles(candidates.markers, used)),
        "its ridge": query.scores(unit_profiles(alignment.guessed(candidates.texts), used)),
    }


def marker_scores(query: Query, genes: np.ndarray, sets: dict[str, dict[str, float]]) -> dict:
    """Plain marker scoring with names mapped by hand: mean z, UCell-like ranks, and weights by specificity."""
    matrix = np.zeros((len(sets), len(genes)))
    for row, weights in enumerate(sets.values()):
        columns = pd.Index(genes).get_indexer(list(weights))
        matrix[row, columns[columns >= 0]] = 1
    matrix *= query.is_used
    sizes = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # As ScType: a gene of few types weighs more.
    n_types = matrix.sum(axis=0)
    specificity = 1 - (np.maximum(n_types, 1) - 1) / max(len(sets) - 1, 1)
    z = np.vstack([query.standardisation.dense(chunk) for chunk in query.chunks()])
    shares = []
    for chunk in query.chunks():
        dense = chunk.toarray()[:, query.is_used]
        ranks = (-dense).argsort(axis=1, kind="stable").argsort(axis=1)
        top = np.minimum(ranks, 1500)
        inside = matrix[:, query.is_used].astype(bool)
        shares.append(
            np.stack([1 - top[:, row].mean(axis=1) / 1500 if row.any() else top[:, 0] * 0 for row in inside], 1)
        )
    return {
        "marker mean z": z @ (matrix / sizes).T,
        "marker UCell-like": np.vstack(shares),
        "marker ScType-weighted": z @ (matrix * specificity / np.sqrt(sizes)).T,
    }


def hand_sets(terms: list[str], names: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> dict[str, dict[str, float]]:
    """The most agreed markers of each term over all tables, by the names that were mapped by hand."""
    sets = {}
    for term in terms:
        counts: dict[str, int] = {}
        rows = names[names["cl"] == term]
        for column, table in tables.items():
            wanted = {each.strip() for cell in rows[column].dropna() for each in cell.split(";")}
            for gene in table.loc[table["type"].str.strip().isin(wanted), "gene"]:
                counts[gene] = counts.get(gene, 0) + 1
        best = sorted(counts, key=lambda gene: (-counts[gene], gene))[:N_MARKERS]
        sets[term] = {gene: float(counts[gene]) for gene in best}
    return sets


def decoupler_scores(study: Study, sets: dict[str, dict[str, float]]) -> dict:
    """Univariate linear models of decoupler as in its tutorials: log-normalised expression, all genes, no scaling."""
    try:
        import decoupler
    except ImportError:
        print("decoupler is left out; install scmpt-scverse[markers]")
        return {}
    cells = study.cells.copy()
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    net = pd.DataFrame([(name, gene, 1.0) for name, genes in sets.items() for gene in genes])
    decoupler.mt.ulm(cells, net.set_axis(["source", "target", "weight"], axis=1), tmin=1)
    return {"decoupler ulm": cells.obsm["score_ulm"].reindex(columns=list(sets), fill_value=0.0).to_numpy()}


def bridge_scores(study: Study, texts: np.ndarray) -> dict:
    """Gene-text bridge: the mean text embedding of expressed genes against that of the label, both centred."""
    cells = study.cells.copy()
    tl.embed(cells, "minilm-genes", progress=False)
    both = [each - each.mean(axis=0) for each in (np.nan_to_num(cells.obsm["X_minilm-genes"]), texts)]
    unit_cells, unit_texts = (each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in both)
    return {"gene-text bridge": unit_cells @ unit_texts.T}


def taught_probabilities(study: Study, model: SCMMGPT, terms: list[str], seed: int) -> np.ndarray:
    """Of a model that is trained on the surest labels of the text model, on the same cells: `SCMPT.from_text`."""
    cells = study.cells.copy()
    trained = SCMPT.from_text(cells, terms, model=model, seed=seed)
    soft = trained.predict(cells, soft=True).reindex(columns=terms, fill_value=0.0)
    return np.nan_to_num(soft.to_numpy(dtype=float))


def rows_of(
    test: str, study: Study, model: SCMMGPT, known: MarkerProfiles, names, tables, trained_on: set[str], seed: int
) -> list[dict]:
    """Metrics of every predictor on one test set."""
    terms = sorted(set(study.terms))
    own = Query(ExpressionReader(study.cells), known.genes)
    query = own.against(model.alignment.background, BACKGROUND_SHARE)
    truth = np.array([terms.index(term) for term in study.terms])
    near = Neighbourhood.of(query)
    measured = partial(metrics_of, truth, distances=distances(terms), is_seen=[term in trained_on for term in terms])
    rows = []
    scores = own_scores(query, model, known, terms)
    sets = hand_sets(terms, names, tables)
    texts = candidates_of(terms, model.alignment, known.types, known.genes, model.embed_text).texts
    peers = marker_scores(own, known.genes, sets) | decoupler_scores(study, sets) | bridge_scores(study, texts)
    rng = np.random.default_rng(0)
    peers["random profiles"] = query.scores(
        unit_profiles(rng.normal(size=(len(terms), len(known.genes))), query.is_used)
    )
    open_labels = [each(query, model, terms, truth, near) for each in (missing_types, levels)]
    for name, each in (scores | peers).items():
        for refine in REFINEMENTS:
            if name == "SCMMGPT":
                soft = label_probabilities(each, model.alignment.scale, refine, near)
            else:
                soft = peer_probabilities(np.nan_to_num(each), refine, near)
            found = measured(soft)
            if name == "SCMMGPT":
                found |= {metric: value for each in open_labels for metric, value in each[refine].items()}
            rows.append({"set": test, "predictor": name, "refine": refine, **found})
    taught = measured(taught_probabilities(study, model, terms, seed))
    rows.append({"set": test, "predictor": "SCMPT.from_text", "refine": "self-train", **taught})
    majority = np.bincount(truth).argmax()
    rows.append(
        {
            "set": test,
            "predictor": "majority",
            "refine": "none",
            **measured(np.eye(len(terms))[np.full(len(truth), majority)]),
        }
    )
    return rows


def peer_probabilities(scores: np.ndarray, refine: str, near: Neighbourhood) -> np.ndarray:
    """As for the model, with scores at unit variance."""
    scores = averaged(scores.astype(np.float64), None if refine == "none" else near)
    soft = softmax(SHARPNESS * (scores - scores.mean()) / max(scores.std(), 1e-12), axis=1)
    return refined(soft, near.components) if refine == "self-train" else soft


def distances(terms: list[str]) -> np.ndarray:
    """Steps between terms in the Cell Ontology, shape `(n_terms, n_terms)`."""
    ontology = knowledge.cell_ontology()
    return np.array([[ontology.distance(one, other) for other in terms] for one in terms], dtype=float)


def metrics_of(truth: np.ndarray, soft: np.ndarray, distances: np.ndarray, is_seen: list[bool]) -> dict[str, float]:
    """Metrics of one predictor; types are seen where a training study has cells of them."""
    predicted, confidence = soft.argmax(axis=1), soft.max(axis=1)
    correct = predicted == truth
    surest = np.argsort(-confidence, kind="stable")[: int(0.8 * len(truth))]
    top3 = np.argsort(-soft, axis=1)[:, :3]
    columns = [str(number) for number in range(soft.shape[1])]
    sets = cumulative_sets(soft, ALPHA)
    calibration = metrics.calibration_metrics(truth.astype(str), pd.DataFrame(soft, columns=columns))
    present = np.unique(truth)
    of_each = f1_score(truth, predicted, average=None, labels=present, zero_division=0)
    seen = np.array(is_seen)[present]
    return {
        "macro_f1": float(of_each.mean()),
        "macro_f1_seen": float(of_each[seen].mean()) if seen.any() else float("nan"),
        "macro_f1_unseen": float(of_each[~seen].mean()) if (~seen).any() else float("nan"),
        "ontology_distance": float(distances[truth, predicted].mean()),
        "accuracy": float(accuracy_score(truth, predicted)),
        "recall_at_3": float((top3 == truth[:, None]).any(axis=1).mean()),
        "accuracy_at_80": float(correct[surest].mean()),
        "set_coverage": float(sets[np.arange(len(truth)), truth].mean()),
        "set_size": float(sets.sum(axis=1).mean()),
        "ece": float(calibration["ece"]),
        "error_auroc": float(roc_auc_score(~correct, -confidence)) if 0 < correct.mean() < 1 else float("nan"),
    }


def main() -> None:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"folder, or ${DATA_VARIABLE}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="*", choices=[*TESTS, *DEVELOPMENT], help="score these only; others are kept")
    parser.add_argument("--development", action="store_true", help="score the development sets, and store nothing")
    parser.add_argument("--save", type=Path, help="folder for the model of the first training sets and seed 0")
    parser.add_argument("--models", type=Path, help="folder of trained models: those in it are not trained again")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error(f"pass --data or set {DATA_VARIABLE}")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    start = time.perf_counter()
    folder = Path(arguments.data)
    names, tables, markers = read_tables(folder)
    encoder = RememberedTexts(encoders.get("minilm"))
    known = MarkerProfiles.of(markers, "human")
    print(f"{len(known.types.names)} types, {len(known.genes)} genes", flush=True)
    tests = DEVELOPMENT if arguments.development else TESTS
    if arguments.sets:
        tests = {name: train for name, train in (TESTS | DEVELOPMENT).items() if name in arguments.sets}
    wanted = {name for test, train in tests.items() for name in (test, *train)}
    studies = {name: read_study(name, folder, names) for name in sorted(wanted)}
    rows = []
    for seed in range(arguments.seeds):
        models: dict[tuple[str, ...], SCMMGPT] = {}
        for test, train in tests.items():
            if train not in models:
                stored = arguments.models and arguments.models / f"{'-'.join(train).replace(' ', '-')}-{seed}"
                if stored and stored.is_dir():
                    models[train] = SCMMGPT.load(str(stored), adata=False, text_encoder=encoder)
                else:
                    models[train] = fitted({name: studies[name] for name in train}, markers, encoder, seed)
                    if stored:
                        models[train].save(str(stored))
                print(train, models[train].alignment.scale, f"{time.perf_counter() - start:.0f} s", flush=True)
                if arguments.save is not None and train == TRAIN and seed == 0:
                    models[train].save(str(arguments.save), overwrite=True, half_precision=True)
            trained_on = {term for name in train for term in studies[name].terms}
            for row in rows_of(test, studies[test], models[train], known, names, tables, trained_on, seed):
                rows.append({"seed": seed, **row})
    table = pd.DataFrame(rows)
    mean = table.pivot_table(index=["refine", "predictor"], columns="set", values="macro_f1", sort=False)
    print(mean.assign(mean=mean.mean(axis=1)).round(3).to_string())
    own = table[table["predictor"] == "SCMMGPT"]
    trust = ["accuracy", "accuracy_at_80", "ece", "error_auroc", "recall_at_3", "set_coverage", "set_size"]
    trust += ["missing_by_novelty", "missing_by_confidence", "leaf_right", "level_right", "level_is_any_cell"]
    print(own.groupby("refine")[trust].mean().round(3).to_string())
    if not arguments.development:
        file = arguments.results / "zero_shot.json"
        kept = json.loads(file.read_text())["rows"] if arguments.sets and file.exists() else []
        order = list(TESTS)
        rows = sorted(
            [*(row for row in kept if row["set"] not in tests), *rows],
            key=lambda row: (row["seed"], order.index(row["set"])),
        )
        record = {"rows": rows, "seconds": time.perf_counter() - start, **machine_record(("scmpt-scverse", "torch"))}
        file.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
