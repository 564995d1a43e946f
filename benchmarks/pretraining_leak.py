"""Measure how much it is worth that `scgpt-mini` has seen the cells of a benchmark set: `make bench-leak`.

The encoder is pre-trained once more by the same recipe without the files of one study. Then both encoders, the bundled
one and the new one, predict the sets of that study on the splits of the accuracy benchmark. They also predict the sets
that neither has seen, because the new encoder was trained on fewer cells, and in fewer steps. Seeing the cells is worth
what the sets of the study lose beyond that. With `--max-epochs`, both are trained anew for a shorter time. Stores
`results/pretraining_leak.json`; `make numbers` fills the page.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _accuracy_sets import SETS
from _leak_predictions import PREDICTORS, predictions
from _machine import machine_record
from _markdown import slug
from _pretraining_corpus import CORPUS, ENCODER, STUDIES
from joblib import Memory

from scmpt_scverse import encoders
from scmpt_scverse._statistics import COVERAGE
from scmpt_scverse._types import FloatArray, IntArray, StrArray
from scmpt_scverse.cli._group import quiet_libraries
from scmpt_scverse.encoders import PretrainingRecipe, ScGPTEncoder

RESULT = Path(__file__).parent / "results" / "pretraining_leak.json"
DATA_VARIABLE = "SCMPT_BENCHMARK_DATA"
N_RESAMPLES = 2000


def encoder_of(left_out: str | None, max_epochs: int, data: Path, folder: Path) -> ScGPTEncoder:
    """The encoder pre-trained without one study, or on all; the bundled one, one of the folder, or a new one."""
    recipe = PretrainingRecipe(max_epochs=max_epochs)
    if left_out is None and recipe == PretrainingRecipe():
        return encoders.get(ENCODER)
    epochs = "" if recipe == PretrainingRecipe() else f"-{max_epochs}-epochs"
    out = folder / f"{ENCODER}{epochs}{'' if left_out is None else f'-without-{slug(left_out)}'}"
    used = [file for file in CORPUS if file.study != left_out]
    if not out.exists():
        encoders.pretrain([data / file.name for file in used], out, recipe=recipe, compact=True)
    made = json.loads((out / "args.json").read_text())["pretraining"]
    if made["max_epochs"] != max_epochs or made["data"] != [file.digest for file in used]:
        raise SystemExit(
            f"Expected {out} to be trained for {max_epochs} epochs on {', '.join(file.name for file in used)}; it was "
            f"not. Remove the folder, and pass the files that {ENCODER} was trained on by --data."
        )
    return encoders.get(out)


def resampled_f1(truth: StrArray, replicates: list[tuple[IntArray, StrArray]], counts: IntArray) -> FloatArray:
    """Macro F1 in every resample of the cells, mean over the replicates; shape `(n_resamples,)`.

    Parameters
    ----------
    truth
        Label of each cell of the set.
    replicates
        Rows of the cells that were predicted, and their predicted labels.
    counts
        How often each cell is in each resample, shape `(n_resamples, n_cells)`.
    """
    names, codes = np.unique(truth, return_inverse=True)
    scores = []
    for rows, predicted in replicates:
        is_true = codes[rows, None] == np.arange(len(names))
        is_predicted = pd.Index(names).get_indexer(predicted)[:, None] == np.arange(len(names))
        n_true, n_predicted, n_right = (
            counts[:, rows] @ each.astype(np.float64) for each in (is_true, is_predicted, is_true & is_predicted)
        )
        f1 = 2 * n_right / np.maximum(n_true + n_predicted, 1)
        occurs = n_true > 0
        scores.append((f1 * occurs).sum(axis=1) / occurs.sum(axis=1))
    values: FloatArray = np.mean(scores, axis=0)
    return values


def resamples(n_cells: int) -> IntArray:
    """How often each cell is in each resample; the first holds every cell once."""
    drawn = np.random.default_rng(0).multinomial(n_cells, np.full(n_cells, 1 / n_cells), size=N_RESAMPLES)
    return np.concatenate([np.ones((1, n_cells), dtype=np.int64), drawn])


def with_interval(values: FloatArray) -> dict[str, float]:
    """The value, which is the first, and its percentile interval over the resamples."""
    lower, upper = np.quantile(values[1:], [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return {"difference": float(values[0]), "lower": float(lower), "upper": float(upper)}


def compare(
    study: str, predictors: list[str], arms: tuple[ScGPTEncoder, ScGPTEncoder], data: Path, memory: Memory
) -> dict[str, Any]:
    """Macro F1 with both encoders on the sets of the study and on those that neither has seen, and the difference.

    Parameters
    ----------
    study
        The one that the second encoder has not seen.
    predictors
        Those of `PREDICTORS` to compare.
    arms
        The encoder trained on all studies, and the one without.
    data
        Folder of the sets.
    memory
        Keeps predictions.
    """
    predict = memory.cache(predictions, ignore=["data"])
    rows, gains = [], []
    for cell_set in SETS:
        is_of_study = any(name in cell_set.files for name in STUDIES[study])
        if cell_set.is_seen and not is_of_study:
            continue  # both have seen it
        if not all((data / name).is_file() for name in cell_set.files):
            print(f"{cell_set.name}: left out, {', '.join(cell_set.files)} not found; pass --data")
            continue
        for predictor in predictors:
            scores = []
            for encoder in arms:
                found = predict(cell_set, predictor, encoder.fingerprint, str(encoder.folder), data)
                counts = resamples(len(found.labels))
                scores.append(resampled_f1(found.labels, found.replicates, counts))
            gains.append((is_of_study, predictor, scores[0] - scores[1]))
            values = {"macro_f1_with": float(scores[0][0]), "macro_f1_without": float(scores[1][0])}
            values |= {**with_interval(gains[-1][2]), "n_cells": len(found.labels)}
            rows.append({"set": cell_set.name, "is_of_study": is_of_study, "predictor": predictor, **values})
            print(rows[-1], flush=True)
    return {"rows": rows, "summary": list(summarised(gains))}


def summarised(gains: list[tuple[bool, str, FloatArray]]) -> Iterator[dict[str, Any]]:
    """Mean gain of the sets of the study, of those that neither encoder has seen, and the difference of the two."""
    for predictor in dict.fromkeys(name for _, name, _ in gains):
        of_predictor = [(is_of_study, values) for is_of_study, name, values in gains if name == predictor]
        of_study, of_others = (
            np.mean([values for is_of_study, values in of_predictor if is_of_study == group], axis=0)
            for group in (True, False)
        )
        groups = {"study": of_study, "unseen": of_others, "seeing": of_study - of_others}
        for group, values in groups.items():
            yield {"predictor": predictor, "group": group, **with_interval(values)}


def main() -> None:
    """Pre-train, compare, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"folder, or ${DATA_VARIABLE}")
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES), help="to leave out, in turn")
    parser.add_argument("--predictors", nargs="+", choices=PREDICTORS, default=list(PREDICTORS))
    parser.add_argument(
        "--max-epochs",
        type=int,
        default=PretrainingRecipe().max_epochs,
        help="of both encoders; with fewer than the bundled one had, that one is trained once more, too",
    )
    parser.add_argument(
        "--encoders",
        type=Path,
        default=Path(tempfile.gettempdir()) / "scmpt-pretraining-leak",
        help="folder to keep encoders and predictions in, so that an interrupted run resumes",
    )
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error(f"Expected a folder with the sets of cells; found none. Pass --data, or set {DATA_VARIABLE}.")
    quiet_libraries()
    torch.set_num_threads(1)
    arguments.encoders.mkdir(parents=True, exist_ok=True)
    memory = Memory(arguments.encoders / "predictions", verbose=0)
    stored = json.loads(RESULT.read_text()) if RESULT.exists() else {"studies": {}}
    for study in arguments.studies:
        arms = [encoder_of(each, arguments.max_epochs, arguments.data, arguments.encoders) for each in (None, study)]
        stored["studies"][study] = {
            "max_epochs": arguments.max_epochs,
            "n_steps": [int(pd.read_csv(arm.folder / "history.csv")["step"].max()) for arm in arms],
            **compare(study, arguments.predictors, (arms[0], arms[1]), arguments.data, memory),
        }
        stored |= machine_record(("scmpt-scverse", "torch", "scikit-learn"))
        RESULT.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
