"""Measure descriptions on studies that the text model was not trained on: `make bench-descriptions`.

Clusters and cells are described with all labels of the set as candidates. Measured are the type that the text names,
beside that of `predict` and simpler ways to write a text; whether stated genes hold in cells that were not described;
and how near texts are to the definition of the true type.
"""

import argparse
import json
import os
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch
from _machine import machine_record
from sklearn.cluster import KMeans
from zero_shot import DATA_VARIABLE, RESULTS, TESTS, TRAIN, RememberedTexts, Study, fitted, read_study, read_tables

from scmpt_scverse import SCMMGPT, encoders, knowledge, metrics
from scmpt_scverse.pp import ExpressionReader, log_normalised_cells
from scmpt_scverse.zero_shot import Neighbourhood, Query, marker_probabilities

#: Clusters per type of a set: some types fall into several clusters, as they do for users.
_CLUSTERS_PER_TYPE = 2
#: Cells of a set whose texts are compared; embedding them takes the time.
_MOST_CELLS = 300
_BUNDLED = "scmmgpt-mini"


def clusters_of(model: SCMMGPT, cells: ad.AnnData, n_types: int, seed: int) -> np.ndarray:
    """Clusters by k-means on principal components; no label is used but their number."""
    near = Neighbourhood.of(Query(ExpressionReader(cells), model.genes))
    if near is None:
        raise ValueError("Expected more cells to cluster.")
    components = near.components
    n_clusters = min(_CLUSTERS_PER_TYPE * n_types, len(components) // 5)
    found = KMeans(n_clusters, n_init=4, random_state=seed).fit_predict(components)
    return np.array([f"cluster {number}" for number in found], dtype=object)


def majority(truth: np.ndarray, groups: np.ndarray) -> pd.Series:
    """The most frequent true label of each group."""
    return pd.Series(truth).groupby(groups).agg(lambda labels: labels.value_counts().sort_index().idxmax())


def definition_of(name: str) -> str:
    """The definition of a type; its name where there is none."""
    ontology = knowledge.cell_ontology()
    return ontology.terms[ontology.ids_by_name[name]].definition or name


def plain_text(name: str) -> str:
    """What a simpler way would write: a label and its definition."""
    return f"Most likely {name}: {definition_of(name)}"


def held_out_genes(model: SCMMGPT, cells: ad.AnnData, groups: np.ndarray, labels: list[str], seed: int) -> dict:
    """Describe half of the cells, and see in the other half whether stated genes are higher, or lower, there too."""
    half = np.random.default_rng(seed).random(cells.n_obs) < 0.5
    first = cells[half].copy()
    first.obs["cluster"] = groups[half]
    model.describe(first, "cluster", labels=labels)
    evidence = first.uns["scmmgpt_evidence"]
    reader = ExpressionReader(cells[~half].copy())
    matrix = log_normalised_cells(reader.take(np.arange(reader.n_obs)).matrix)
    columns = pd.Index(reader.genes)
    stated, held = 0, 0
    for name, rows in evidence[evidence["role"] != ""].groupby("group"):
        inside = groups[~half] == name
        if not inside.any() or inside.all():
            continue
        places = columns.get_indexer(rows["gene"])
        means, rest = (np.asarray(matrix[mask][:, places].mean(axis=0)).ravel() for mask in (inside, ~inside))
        is_higher = (rows["mean"] > rows["rest_mean"]).to_numpy()
        stated += len(rows)
        held += int((np.where(is_higher, means > rest, means < rest)).sum())
    return {"n_stated": stated, "share_held": held / max(stated, 1)}


def rows_of(name: str, study: Study, model: SCMMGPT, seed: int, *, bleu: bool) -> list[dict]:
    """Metrics of every way to write a text, for clusters and for cells of one set."""
    ontology = knowledge.cell_ontology()
    labels = [ontology.terms[term].name for term in sorted(set(study.terms))]
    truth = np.array([ontology.terms[term].name for term in study.terms], dtype=object)
    cells, rng = study.cells.copy(), np.random.default_rng(seed)
    clusters = clusters_of(model, cells, len(labels), seed)
    cells.obs["cluster"] = clusters
    soft = model.predict(cells, soft=True, labels=labels)
    query = Query(ExpressionReader(cells), model.genes)
    candidates = model._trained().candidates(labels, None)
    by_markers = marker_probabilities(query, candidates, "self-train", Neighbourhood.of(query))
    most = pd.Series(truth).value_counts().idxmax()
    rows = []
    for unit in ("clusters", "cells"):
        table = model.describe(cells, "cluster" if unit == "clusters" else None, labels=labels)
        if unit == "clusters":
            true = majority(truth, clusters).loc[table.index]
            means = soft.groupby(clusters).mean().loc[table.index]
            marked = pd.DataFrame(by_markers, columns=labels).groupby(clusters).mean().loc[table.index]
        else:
            true, means = pd.Series(truth, index=table.index), soft
            marked = pd.DataFrame(by_markers, columns=labels, index=table.index).fillna(0)
        texts = {
            "SCMMGPT.describe": table["description"].tolist(),
            "its label and definition": [plain_text(label) for label in table["label"]],
            "marker scoring and definition": [plain_text(label) for label in marked.idxmax(axis=1)],
            "majority and definition": [plain_text(most)] * len(table),
            "random and definition": [plain_text(label) for label in rng.choice(labels, len(table))],
        }
        some = np.arange(len(table))
        if len(some) > _MOST_CELLS:
            some = np.sort(rng.choice(some, _MOST_CELLS, replace=False))
        accuracy = float((means.idxmax(axis=1) == true).mean())
        for writer, written in texts.items():
            found = metrics.description_metrics(
                written, [definition_of(label) for label in true], labels=labels, y_true=true.to_numpy(), distance=steps
            )
            compared = metrics.description_metrics(
                [written[place] for place in some],
                [definition_of(true.iloc[place]) for place in some],
                embed=model.embed_text,
                bleu=bleu,
            )
            rows.append(
                {
                    "set": name,
                    "unit": unit,
                    "writer": writer,
                    "accuracy_of_predict": accuracy,
                    **found.to_dict(),
                    **compared.drop("n_texts").to_dict(),
                }
            )
        if unit == "clusters":
            rows[-len(texts)] |= held_out_genes(model, study.cells.copy(), clusters, labels, seed)
    return rows


def retrieval_rows(name: str, study: Study, model: SCMMGPT, seed: int) -> list[dict]:
    """Cells find texts, and texts find cells, among all types that the model knows; per cell, and per cluster.

    Scores are the probabilities without refinement: no cell is scored by others. Cells whose type the model does not
    know are left out.
    """
    types = model._trained().types
    texts = dict(zip(types.terms, types.names, strict=True))
    truth = np.array([texts.get(term, "") for term in study.terms], dtype=object)
    known = np.flatnonzero(truth != "")
    cells = study.cells.copy()
    scores = model.predict(cells, soft=True, refine="none").iloc[known]
    clusters = clusters_of(model, cells, len(set(study.terms)), seed)[known]
    rows = []
    for unit, groups in (("cells", None), ("clusters", clusters)):
        found = metrics.retrieval_metrics(pd.Series(truth[known], index=scores.index), scores, groups=groups)
        for direction, row in found.iterrows():
            rows.append({"set": name, "unit": unit, "direction": direction, **row.to_dict()})
    return rows


def steps(one: str, other: str) -> float:
    """Steps between two names of the Cell Ontology."""
    ontology = knowledge.cell_ontology()
    return float(ontology.distance(ontology.ids_by_name[one], ontology.ids_by_name[other]))


def model_for(train: tuple[str, ...], folder: Path, stored: Path | None, encoder: RememberedTexts) -> SCMMGPT:
    """The bundled model where it was trained on the same sets, else a stored one, else one that is trained now."""
    if train == TRAIN:
        return SCMMGPT.from_pretrained(_BUNDLED)
    path = None if stored is None else stored / f"{'-'.join(train).replace(' ', '-')}-0"
    if path is not None and path.is_dir():
        return SCMMGPT.load(str(path), adata=False, text_encoder=encoder)
    names, _, markers = read_tables(folder)
    model = fitted({name: read_study(name, folder, names) for name in train}, markers, encoder, 0)
    if path is not None:
        model.save(str(path))
    return model


def has_bleu() -> bool:
    """Whether the package is there that computes BLEU."""
    try:
        import sacrebleu  # noqa: F401
    except ImportError:
        print("BLEU is left out; install scmpt-scverse[describe]")
        return False
    return True


def main() -> None:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"folder, or ${DATA_VARIABLE}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", nargs="+", choices=list(TESTS), default=list(TESTS))
    parser.add_argument("--models", type=Path, help="folder of trained models: those in it are not trained again")
    parser.add_argument(
        "--only-retrieval", action="store_true", help="keep other results that are stored, and retrieval of other sets"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error(f"pass --data or set {DATA_VARIABLE}")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    start, folder, bleu = time.perf_counter(), Path(arguments.data), has_bleu()
    names = pd.read_csv(folder / "labels_cl.tsv", sep="\t")
    encoder = RememberedTexts(encoders.get("minilm"))
    rows: list[dict] = []
    retrieval: list[dict] = []
    for name in arguments.sets:
        model = model_for(TESTS[name], folder, arguments.models, encoder)
        study = read_study(name, folder, names)
        retrieval += retrieval_rows(name, study, model, arguments.seed)
        print(pd.DataFrame(retrieval).round(3).to_string(), flush=True)
        if arguments.only_retrieval:
            continue
        rows += rows_of(name, study, model, arguments.seed, bleu=bleu)
        shown = ["set", "unit", "writer", "accuracy_of_predict", "label_accuracy", "rouge_l"]
        print(pd.DataFrame(rows)[shown].round(3).to_string(), flush=True)
    file = arguments.results / "descriptions.json"
    if arguments.only_retrieval:
        record = json.loads(file.read_text())
        retrieval = [row for row in record.get("retrieval", []) if row["set"] not in arguments.sets] + retrieval
    else:
        record = {
            "seconds": time.perf_counter() - start,
            "seed": arguments.seed,
            "rows": rows,
            **machine_record(["scmpt-scverse", "torch"]),
        }
    file.write_text(json.dumps(record | {"retrieval": retrieval}, indent=1) + "\n")


if __name__ == "__main__":
    main()
