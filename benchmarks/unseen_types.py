"""Measure annotation by text of types that were never trained on: `make bench-unseen-types`.

Eight types at a time are hidden: their cells, and those of their kinds, everywhere (R1), and their rows of the marker
tables, too (R0). The same tables and studies as in `zero_shot.py`, and the same tests.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch
from _machine import machine_record
from sklearn.metrics import f1_score
from zero_shot import (
    DATA_VARIABLE,
    RESULTS,
    TESTS,
    RememberedTexts,
    Study,
    hand_sets,
    marker_scores,
    read_study,
    read_tables,
)

from scmpt_scverse import encoders
from scmpt_scverse.knowledge import cell_ontology
from scmpt_scverse.module import Standardisation, TextAlignment, TowerOptions, unit_profiles
from scmpt_scverse.pp import ExpressionReader
from scmpt_scverse.zero_shot import (
    BACKGROUND_SHARE,
    MarkerProfiles,
    Query,
    TrainingStudy,
    candidates_of,
    label_scores,
    labelled_cells,
    sources_of,
    spread,
    training_studies,
)

N_HIDDEN = 8


def hold_outs(terms: list[str], n: int) -> list[list[str]]:
    """Random choices of types."""
    return [sorted(np.random.default_rng(seed).choice(terms, N_HIDDEN, replace=False)) for seed in range(n)]


def with_kinds(terms: list[str]) -> set[str]:
    """Terms and everything that is a kind of them."""
    ontology = cell_ontology()
    return set(terms).union(*(ontology.descendants(term) for term in terms))


def aligned(
    studies: dict[str, Study], known: MarkerProfiles, hidden: set[str], encoder: RememberedTexts, seed: int
) -> TextAlignment:
    """Trained on the cells of other types; parts weighed by their spread over those cells."""
    cells = ad.concat(
        {name: study.cells[[term not in hidden for term in study.terms]] for name, study in studies.items()},
        join="outer",
        label="study",
        fill_value=0,
    )
    cells.obs_names_make_unique()
    terms = np.concatenate([[term for term in study.terms if term not in hidden] for study in studies.values()])
    groups = cells.obs["study"].to_numpy(dtype=object)
    found, texts = training_studies(sources_of(cells, ExpressionReader, terms, groups), known, encoder.encode_texts)
    markers = np.pad(known.values, ((0, len(texts) - len(known.values)), (0, 0)))
    labelled = [labelled_cells(study, seed=number) for number, study in enumerate(found)]
    alignment = TextAlignment.fit(texts, markers, labelled, TowerOptions(seed=seed))
    return replace(
        alignment,
        type_texts=alignment.type_texts[: len(known.values)],
        type_markers=alignment.type_markers[: len(known.values)],
        scale=replace(alignment.scale, **spreads(alignment, found, texts)),
        background=Standardisation.average([study.query.own for study in found]),
    )


def spreads(alignment: TextAlignment, studies: list[TrainingStudy], texts: np.ndarray) -> dict[str, float]:
    """Standard deviation of each part of a score over the cells and labels of the training studies."""
    found: dict[str, list[float]] = {"tower": [], "ridge": [], "markers": []}
    for study in studies:
        of_labels = texts[study.types].mean(axis=1) - alignment.center
        found["tower"].append(spread(study.query, alignment.written(of_labels)))
        found["ridge"].append(spread(study.query, alignment.guessed(of_labels)))
        found["markers"].append(spread(study.query, alignment.type_markers[study.types] @ alignment.axes.T))
    return {name: float(np.mean([each for each in values if each])) for name, values in found.items()}


def measured(truth: np.ndarray, scores: np.ndarray, terms: list[str], hidden: set[str]) -> dict[str, float]:
    """Macro F1 over unseen types, over seen ones, and where only unseen types are candidates."""
    unseen = [number for number, term in enumerate(terms) if term in hidden]
    seen = [number for number in range(len(terms)) if number not in unseen]
    predicted = scores.argmax(axis=1)
    found = {
        name: float(f1_score(truth, predicted, average="macro", labels=labels, zero_division=0))
        for name, labels in (("unseen", unseen), ("seen", seen))
        if labels
    }
    if len(unseen) > 1:
        rows = np.flatnonzero(np.isin(truth, unseen))
        among = np.array(unseen)[scores[rows][:, unseen].argmax(axis=1)]
        found["unseen_only"] = float(f1_score(truth[rows], among, average="macro", labels=unseen, zero_division=0))
        found["unseen_only_chance"] = 1 / len(unseen)
    return found


def rows_of(
    test: str, study: Study, alignment: TextAlignment, known: MarkerProfiles, hidden: set[str], encode, peers: dict
) -> list[dict]:
    """Metrics of every predictor on one test set."""
    terms = sorted(set(study.terms))
    query = Query(ExpressionReader(study.cells), known.genes, alignment.background, BACKGROUND_SHARE)
    truth = np.array([terms.index(term) for term in study.terms])
    candidates = candidates_of(terms, alignment, known.types, known.genes, encode)
    used = query.is_used
    scores = {
        "SCMMGPT": label_scores(query, alignment, candidates),
        "its text tower": query.scores(unit_profiles(alignment.written(candidates.texts), used)),
        "its ridge": query.scores(unit_profiles(alignment.guessed(candidates.texts), used)),
    }
    return [
        {"set": test, "predictor": name, **measured(truth, np.nan_to_num(each), terms, hidden)}
        for name, each in (scores | peers).items()
    ]


def main() -> None:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"folder, or ${DATA_VARIABLE}")
    parser.add_argument("--hold-outs", type=int, default=5)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error(f"pass --data or set {DATA_VARIABLE}")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    start = time.perf_counter()
    folder = Path(arguments.data)
    names, tables, markers = read_tables(folder)
    encoder = RememberedTexts(encoders.get("minilm"))
    studies = {
        name: read_study(name, folder, names)
        for name in dict.fromkeys([*TESTS, *(each for train in TESTS.values() for each in train)])
    }
    tested = sorted({term for test in TESTS for term in studies[test].terms})
    genes = MarkerProfiles.of(markers, "human").genes
    peers = {}
    for test in TESTS:
        terms = sorted(set(studies[test].terms))
        query = Query(ExpressionReader(studies[test].cells), genes)
        peers[test] = marker_scores(query, genes, hand_sets(terms, names, tables))
    rows = []
    for number, chosen in enumerate(hold_outs(tested, arguments.hold_outs)):
        hidden = with_kinds(chosen)
        for regime in ("R0", "R1"):
            rows_known = markers if regime == "R1" else markers[~markers["term"].isin(hidden)]
            known = MarkerProfiles.of(rows_known, "human")
            models: dict[tuple[str, ...], TextAlignment] = {}
            for test, train in TESTS.items():
                if train not in models:
                    some = {name: studies[name] for name in train}
                    models[train] = aligned(some, known, hidden, encoder, seed=number)
                # Marker scoring needs the rows, which R0 hides.
                beside = peers[test] if regime == "R1" else {}
                found = rows_of(test, studies[test], models[train], known, hidden, encoder.encode_texts, beside)
                rows += [{"hold_out": number, "regime": regime, **row} for row in found]
            print(number, regime, f"{time.perf_counter() - start:.0f} s", flush=True)
    table = pd.DataFrame(rows)
    columns = ["unseen", "seen", "unseen_only", "unseen_only_chance"]
    print(table.groupby(["regime", "predictor"], sort=False)[columns].mean().round(3).to_string())
    record = {"rows": rows, "seconds": time.perf_counter() - start, **machine_record(("scmpt-scverse", "torch"))}
    (arguments.results / "unseen_types.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
