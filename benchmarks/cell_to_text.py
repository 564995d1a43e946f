"""Measure what a network from cells to texts adds on studies that were not trained on: `make bench-cell-to-text`.

A Q-Former over the tokens of `scgpt-mini`, the linear maps that it has to beat, tower and markers, and their sum. The
studies that are held out in development decide; the test sets only report.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _machine import machine_record
from sklearn.linear_model import Ridge
from zero_shot import (
    DATA_VARIABLE,
    DEVELOPMENT,
    RESULTS,
    TABLES,
    TESTS,
    RememberedTexts,
    Study,
    distances,
    metrics_of,
    peer_probabilities,
    read_study,
)

from scmpt_scverse import encoders, knowledge
from scmpt_scverse.module import (
    CellTokens,
    CellToText,
    LabelledStudy,
    QFormerOptions,
    Scale,
    TextAlignment,
    TokenStudy,
    TowerOptions,
    TrainingRun,
    unit_profiles,
)
from scmpt_scverse.pp import ExpressionReader
from scmpt_scverse.zero_shot import (
    Candidates,
    MarkerProfiles,
    Neighbourhood,
    Query,
    candidates_of,
    cell_tokens,
    fit_cell_to_text,
    marker_tokens,
    text_scores,
    training_texts,
)

CELL_ENCODER = "scgpt-mini"
#: A linear map needs a higher learning rate, and sees no gene.
LINEAR = {"lr": 3e-3, "n_steps": 200, "n_genes": 1, "matching": 0.0}
RIDGE_PENALTY = 0.1
ENSEMBLE = "tower + markers"
#: As it is, and refined on the query.
WAYS = ("none", "self-train")
#: Cells of each label that a tower learns from, as many as of a Q-Former.
MAX_CELLS = 300


def token_study(study: Study, tokens: CellTokens, row_of: dict[str, int]) -> TokenStudy:
    """The cells of a study with their labels as rows of the texts."""
    terms, codes = np.unique(study.terms.astype(str), return_inverse=True)
    return TokenStudy(tokens, codes, np.array([row_of[term] for term in terms]))


def ridge_scores(studies: list[TokenStudy], texts: np.ndarray, tokens: CellTokens, labels: np.ndarray) -> np.ndarray:
    """Cosine of texts with what ridge regression, every label weighing the same, makes of the token of the cell."""
    first, targets, weights = [], [], []
    for study in studies:
        counts = np.bincount(study.codes)
        first.append(study.tokens.first)
        targets.append(texts[study.types[study.codes]])
        weights.append(1 / counts[study.codes])
    rows = np.concatenate(first)
    seen = np.isfinite(rows).all(axis=1)
    rows, targets, weights = rows[seen], np.concatenate(targets)[seen], np.concatenate(weights)[seen]
    penalty = RIDGE_PENALTY * weights.sum() * rows.var(axis=0).mean()
    written = Ridge(penalty).fit(rows, targets, sample_weight=weights).predict(np.nan_to_num(tokens.first))
    written /= np.linalg.norm(written, axis=1, keepdims=True)
    scores = written @ (labels / np.linalg.norm(labels, axis=1, keepdims=True)).T
    return scores - scores.mean(axis=0)


def labelled_study(study: TokenStudy, query: Query, seed: int) -> LabelledStudy:
    """Some cells of each label, as a tower learns from them."""
    rng = np.random.default_rng(seed)
    by_label = [np.flatnonzero(study.codes == code) for code in range(len(study.types))]
    rows = np.concatenate([rng.choice(each, min(len(each), MAX_CELLS), replace=False) for each in by_label])
    genes = np.flatnonzero(query.is_used)
    values = np.vstack([query.standardisation.dense(chunk)[:, genes] for chunk in query.chunks()])
    return LabelledStudy(values[rows], genes, study.codes[rows], study.types)


def ensemble_scores(query: Query, alignment: TextAlignment, candidates: Candidates) -> np.ndarray:
    """Tower and markers, each at variance 1 over the cells of the query."""
    written = query.scores(unit_profiles(alignment.written(candidates.texts), query.is_used))
    known = query.scores(unit_profiles(candidates.markers, query.is_used)[candidates.markers.any(axis=1)])
    scale = Scale(tower=float(np.nanstd(written)), markers=float(np.nanstd(known)))
    parts = replace(alignment, scale=scale).parts(candidates.texts, candidates.markers, query.is_used)
    return query.scores(parts["tower"] + parts["markers"])


def unit(scores: np.ndarray) -> np.ndarray:
    """Scores at variance 1 over cells and labels."""
    return scores / np.nanstd(scores)


class Bench:
    """Studies, tokens, texts and markers, read once."""

    def __init__(self, folder: Path, tokens: Path, wanted: list[str]) -> None:
        self.names = pd.read_csv(folder / "labels_cl.tsv", sep="\t")
        self.texts = RememberedTexts(encoders.get("minilm"))
        encoder = encoders.get(CELL_ENCODER)
        read = [
            knowledge.match_genes(knowledge.read_markers(folder / file), encoder.vocabulary) for file in TABLES.values()
        ]
        self.markers = knowledge.merge_markers(read)
        self.known = MarkerProfiles.of(self.markers, "human")
        self.studies = {name: read_study(name, folder, self.names) for name in wanted}
        self.tokens = {name: self._tokens(name, encoder, tokens / name.replace(" ", "_")) for name in wanted}
        self.marker_cells = marker_tokens(self.known, encoder)
        self._fits: dict[tuple, Any] = {}
        self.queries = {name: Query(ExpressionReader(self.studies[name].cells), self.known.genes) for name in wanted}

    def rows_of(self, test: str, train: tuple[str, ...], seed: int) -> list[dict]:
        """Metrics of every predictor on one set."""
        study, tokens = self.studies[test], self.tokens[test]
        labels = sorted({term for name in train for term in self.studies[name].terms})
        texts, rows = training_texts(self.known.types, labels, self._encode)
        n_types = len(self.known.types.terms)
        terms = [*self.known.types.terms, *(label for label, row in zip(labels, rows, strict=True) if row >= n_types)]
        row_of = dict(zip(labels, rows.tolist(), strict=True))
        real = [token_study(self.studies[name], self.tokens[name], row_of) for name in train]
        names = sorted(set(study.terms))
        truth = np.array([names.index(term) for term in study.terms])
        query = self.queries[test]
        alignment = self._remembered(("tower", train, seed), lambda: self._alignment(texts, real, train, seed))
        candidates = candidates_of(names, alignment, self.known.types, self.known.genes, self._encode)
        scores = {ENSEMBLE: ensemble_scores(query, alignment, candidates)}
        label_texts, centred = candidates.texts, texts.mean(axis=1) - alignment.center
        scores["ridge, real cells"] = ridge_scores(real, centred, tokens, label_texts)
        for what, studies in {"real cells": real, "real and marker cells": [*real, self.marker_cells]}.items():
            matching = 0.0 if studies is real else 1.0
            linear = self._remembered(
                (f"linear, {what}", train, seed),
                lambda studies=studies: self._fit(texts, terms, studies, QFormerOptions(seed=seed, **LINEAR), "linear"),
            )
            scores[f"linear map, {what}"] = text_scores(linear, tokens, label_texts)
            qformer = self._remembered(
                (f"Q-Former, {what}", train, seed),
                lambda studies=studies, matching=matching: self._fit(
                    texts, terms, studies, QFormerOptions(seed=seed, matching=matching), "qformer"
                ),
            )
            scores[f"Q-Former, {what}"] = text_scores(qformer, tokens, label_texts, n_matched=0)
            if matching:
                scores[f"Q-Former with matching, {what}"] = text_scores(qformer, tokens, label_texts)
        for name in ("linear map", "Q-Former"):
            scores[f"{ENSEMBLE} + {name}"] = scores[ENSEMBLE] + unit(scores[f"{name}, real and marker cells"])
        near = Neighbourhood.of(query)
        return [
            {
                "set": test,
                "development": test in DEVELOPMENT and train == DEVELOPMENT[test],
                "seed": seed,
                "predictor": name,
                "refine": refine,
                **metrics_of(
                    truth,
                    peer_probabilities(np.nan_to_num(each), refine, near),
                    distances(names),
                    [name in labels for name in names],
                ),
            }
            for name, each in scores.items()
            for refine in WAYS
        ]

    def _remembered(self, key: tuple, fit: Callable[[], Any]) -> Any:
        """What was trained on the same studies for another set."""
        if key not in self._fits:
            start = time.perf_counter()
            self._fits[key] = fit()
            print(f"  {key[0]}: {time.perf_counter() - start:.0f} s", flush=True)
        return self._fits[key]

    def _alignment(self, texts: np.ndarray, real: list[TokenStudy], train: tuple[str, ...], seed: int) -> TextAlignment:
        """A tower that learns from the same cells and markers."""
        n_types = len(self.known.values)
        markers = np.pad(self.known.values, ((0, len(texts) - n_types), (0, 0)))
        studies = [labelled_study(study, self.queries[name], seed) for study, name in zip(real, train, strict=True)]
        fit = TextAlignment.fit(texts, markers, studies, TowerOptions(seed=seed), run=TrainingRun("cpu"))
        return replace(fit, type_texts=fit.type_texts[:n_types], type_markers=fit.type_markers[:n_types])

    def _fit(self, texts, terms, studies, options: QFormerOptions, reader: str) -> CellToText:
        return fit_cell_to_text(texts, terms, studies, options, reader=reader, run=TrainingRun("cpu"))

    def _encode(self, texts: list[str]) -> np.ndarray:
        return self.texts.encode_texts(texts, precision="float32")

    def _tokens(self, name: str, encoder, folder: Path) -> CellTokens:
        if (folder / "index.npz").exists():
            return CellTokens.open(folder)
        print(f"tokens of {name}", flush=True)
        return cell_tokens(ExpressionReader(self.studies[name].cells), encoder, folder=folder)


def main() -> None:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"folder, or ${DATA_VARIABLE}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="train with these; others are kept")
    parser.add_argument("--tokens", type=Path, help="folder in which tokens are kept for the next run")
    parser.add_argument("--sets", nargs="+", choices=[*DEVELOPMENT, *TESTS], help="score these only; others are kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error(f"pass --data or set {DATA_VARIABLE}")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    start = time.perf_counter()
    sets = [item for item in (*DEVELOPMENT.items(), *TESTS.items()) if item[0] in (arguments.sets or [item[0]])]
    wanted = sorted({name for test, train in sets for name in (test, *train)})
    path = arguments.results / "cell_to_text.json"
    before = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = [row for row in before if row["set"] not in dict(sets) or row["seed"] not in arguments.seeds]
    with tempfile.TemporaryDirectory() as kept:
        bench = Bench(Path(arguments.data), arguments.tokens or Path(kept), wanted)
        for seed in arguments.seeds:
            for test, train in sets:
                print(f"{test}, seed {seed}, {time.perf_counter() - start:.0f} s", flush=True)
                rows += bench.rows_of(test, train, seed)
                record = {"rows": rows, "seconds": time.perf_counter() - start, "cell_encoder": CELL_ENCODER}
                record |= machine_record(("scmpt-scverse", "torch", "transformers"))
                path.write_text(json.dumps(record, indent=1) + "\n")
    table = pd.DataFrame(rows)
    for refine in WAYS:
        some = table[table["refine"] == refine]
        mean = some.pivot_table(index="predictor", columns=["development", "set"], values="macro_f1", sort=False)
        print(refine, mean.round(3).to_string(), sep="\n")


if __name__ == "__main__":
    main()
