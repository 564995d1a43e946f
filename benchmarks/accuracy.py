"""Measure accuracy on real cells, every predictor on the same splits: `make bench-accuracy`.

Results are appended line by line to `results/accuracy.partial.jsonl`, so an interrupted run continues where it
stopped. A complete run stores them as `results/accuracy.json`; `make numbers` fills them into the documentation.
Every core works on a set of its own with one thread: most sets are too small for two to share.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _accuracy_cells import LABELS_KEY, TEXT_MODEL, read, replicates_of
from _accuracy_numbers import DEFAULT
from _accuracy_predictors import (
    BASELINES,
    OPTIONAL,
    PREDICTORS,
    WITH_HIDDEN_LABELS,
    Prediction,
    split_conformal_sets,
)
from _accuracy_sets import N_PARTITIONS_OF_FEW, SETS, CellSet
from _few_shot_models import text_model_without
from _machine import machine_record
from anndata import AnnData
from sklearn.metrics import roc_auc_score

from scmpt_scverse import metrics
from scmpt_scverse._folders import cache_folder
from scmpt_scverse._types import StrArray
from scmpt_scverse.cli._group import quiet_libraries

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("scmpt-scverse", "torch", "numpy", "scipy", "scikit-learn", "scvi-tools")
DATA_VARIABLE = "SCMPT_BENCHMARK_DATA"
#: Labels that are hidden in turn, the most frequent ones, in the first replicate of a set.
N_HIDDEN = 3
#: Fewer cells on either side say nothing about a share.
_MIN_CELLS = 20


def measure(
    cell_set: CellSet,
    folder: Path | None,
    cache: Path,
    names: list[str],
    n_partitions: int,
    done: set[tuple[object, ...]],
    path: Path,
) -> str:
    """Append what is missing of one set to the file at `path`, and say how it went."""
    quiet_libraries()
    start = time.perf_counter()
    cells = read(cell_set, folder, is_embedded=not set(names) <= set(BASELINES | OPTIONAL))
    if cells is None:
        return f"{cell_set.name}: left out, {', '.join(cell_set.files)} not found; pass --data"
    if cell_set.study is not None and folder is not None:
        cells.uns[TEXT_MODEL] = str(text_model_without(cell_set.study, folder, cache))
    for row in rows_of(cell_set, cells, names, n_partitions, done):
        with path.open("a") as file:  # one short write, which no other process comes between
            file.write(json.dumps(row) + "\n")
    return f"{cell_set.name}: done in {time.perf_counter() - start:.0f} s"


def rows_of(
    cell_set: CellSet, cells: AnnData, names: list[str], n_partitions: int, done: set[tuple[object, ...]]
) -> Iterator[dict]:
    """Metrics of each predictor on each split, those that are `done` left out."""
    predictors = PREDICTORS | OPTIONAL
    labels = cells.obs[LABELS_KEY].to_numpy(dtype=object)
    for replicate, folds in enumerate(replicates_of(cell_set, cells, n_partitions)):
        for name in names:
            for hidden in (None, *hidden_labels(cells, replicate, name)):
                key = {"set": cell_set.name, "replicate": replicate, "predictor": name, "hidden": hidden}
                if tuple(key.values()) in done:
                    continue
                torch.set_num_threads(1)  # scikit-learn's neighbours leave more
                predict = partial(predictors[name], seed=replicate)
                start = time.perf_counter()
                try:
                    if hidden is None:
                        predictions = [predict(cells[train].copy(), cells[test].copy()) for train, test in folds]
                        seconds = time.perf_counter() - start
                        truth = labels[np.concatenate([test for _, test in folds])]
                        found = known_metrics(truth, Prediction.joined(predictions))
                    else:
                        train, test = folds[0]
                        prediction = predict(cells[train[labels[train] != hidden]].copy(), cells[test].copy())
                        seconds = time.perf_counter() - start
                        found = novelty(labels[test] == hidden, prediction)
                except Exception as error:  # noqa: BLE001  (a predictor that fails is a row that says so)
                    yield {**key, "error": f"{type(error).__name__}: {error}"}
                    continue
                yield {**key, "seconds": round(seconds, 2), **found}


def hidden_labels(cells: AnnData, replicate: int, predictor: str) -> list[str]:
    """Labels to hide: of the most frequent ones, as long as two others are left to learn."""
    if replicate or predictor not in WITH_HIDDEN_LABELS:
        return []
    counts = cells.obs[LABELS_KEY].value_counts()
    return list(counts.index[: min(N_HIDDEN, len(counts) - 2)])


def known_metrics(truth: StrArray, prediction: Prediction) -> dict[str, float]:
    """Accuracy, calibration, and conformal sets.

    A model calibrates its sets itself; for the others this is done on one half of the test cells.
    """
    soft = prediction.probabilities
    found = metrics.classification_metrics(truth, soft.idxmax(axis=1)).to_dict()
    found |= metrics.calibration_metrics(truth, soft)[["ece", "brier", "nll"]].to_dict()
    if prediction.uncalibrated is not None:
        found["ece_before"] = float(metrics.calibration_metrics(truth, prediction.uncalibrated)["ece"])
    if prediction.sets is not None:
        return found | coverage(truth, prediction.sets)
    order = np.random.default_rng(0).permutation(len(truth))
    calibration, fresh = order[: len(order) // 2], order[len(order) // 2 :]
    if len(calibration) >= _MIN_CELLS:
        sets = split_conformal_sets(soft.iloc[calibration], truth[calibration], soft.iloc[fresh])
        found |= coverage(truth[fresh], sets)
    return found


def coverage(truth: StrArray, sets: pd.DataFrame) -> dict[str, float]:
    """Share of cells whose set holds their label, and how many labels a set holds."""
    holds = [label in sets and bool(sets[label].iloc[row]) for row, label in enumerate(truth)]
    return {"coverage": float(np.mean(holds)), "set_size": float(sets.sum(axis=1).mean())}


def novelty(is_hidden: "np.ndarray", prediction: Prediction) -> dict[str, float]:
    """Area under the ROC curve of every score that should be higher for cells of a label that was not learned."""
    if not 0 < is_hidden.sum() < len(is_hidden):
        return {}
    scores = {"1 - confidence": 1 - prediction.probabilities.max(axis=1).to_numpy(), **prediction.novelty()}
    return {f"auroc {name}": float(roc_auc_score(is_hidden, score)) for name, score in scores.items()}


def main() -> None:
    """Measure what is missing, store, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"folder, or ${DATA_VARIABLE}")
    parser.add_argument("--sets", nargs="+", help="names of sets; all by default")
    parser.add_argument("--predictors", nargs="+", help=f"names; all by default, without {', '.join(OPTIONAL)}")
    parser.add_argument(
        "--partitions", type=int, default=N_PARTITIONS_OF_FEW, help="of the sets of few cells, as the page has them"
    )
    parser.add_argument("--cache", type=Path, default=cache_folder() / "few_shot", help="folder of text models")
    parser.add_argument("--again", nargs="*", help="forget what is stored of these predictors, or of all, first")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to store results in")
    arguments = parser.parse_args()
    partial_path, stored_path = (arguments.results / f"accuracy{end}" for end in (".partial.jsonl", ".json"))
    names = arguments.predictors or list(PREDICTORS)
    chosen = [cell_set for cell_set in SETS if arguments.sets is None or cell_set.name in arguments.sets]
    rows = [row for row in stored_rows(partial_path, stored_path) if "error" not in row]
    took = Counter[str]()
    for row in rows:
        took[row["set"]] += row["seconds"]
    longest_first = sorted(chosen, key=lambda cell_set: -took[cell_set.name])
    if arguments.again is not None:
        rows = [row for row in rows if arguments.again and row["predictor"] not in arguments.again]
    arguments.results.mkdir(exist_ok=True)
    partial_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = {(row["set"], row["replicate"], row["predictor"], row["hidden"]) for row in rows}
    if DEFAULT in names and arguments.data is not None:
        for study in dict.fromkeys(filter(None, (cell_set.study for cell_set in chosen))):
            text_model_without(study, arguments.data, arguments.cache)  # before several processes ask for it
    one = partial(
        measure,
        folder=arguments.data,
        cache=arguments.cache,
        names=names,
        n_partitions=arguments.partitions,
        done=done,
        path=partial_path,
    )
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes to come
    start = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for outcome in pool.map(one, longest_first):
            print(outcome, flush=True)
    print(f"all: {time.perf_counter() - start:.0f} s")
    in_order = {cell_set.name: position for position, cell_set in enumerate(SETS)}
    rows = sorted(stored_rows(partial_path, stored_path), key=lambda row: in_order[row["set"]])
    seconds = sum(row.get("seconds", 0) for row in rows)
    record = {"rows": rows, "seconds": seconds, **machine_record(PACKAGES), "threads": 1}
    stored_path.write_text(json.dumps(record, indent=1) + "\n")
    partial_path.unlink()
    failed = pd.DataFrame([row for row in rows if "error" in row])
    if len(failed):
        print(failed[["set", "replicate", "predictor", "error"]].to_string())
        sys.exit(1)


def stored_rows(partial_path: Path, stored_path: Path) -> list[dict]:
    """What an interrupted run left, else what the last complete one stored."""
    if partial_path.exists():
        return [json.loads(line) for line in partial_path.read_text().splitlines()]
    return json.loads(stored_path.read_text())["rows"] if stored_path.exists() else []


if __name__ == "__main__":
    main()
