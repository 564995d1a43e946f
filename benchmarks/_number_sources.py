"""Every number and table that a document can show, by name, computed from the stored results and the code."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from _accuracy_numbers import accuracy_numbers, headline, parts, summary
from _accuracy_page import predictors, tables as accuracy_tables
from _atlas_numbers import atlas_numbers, atlas_table, caps_table
from _cell_to_text_numbers import cell_to_text_numbers, cell_to_text_table
from _code_constants import constants
from _description_numbers import description_numbers, descriptions_sets, descriptions_table, retrieval_table
from _encoder_numbers import corpus_table, encoder_numbers, lengths_table, mini_table, variants_table
from _explanation_numbers import explanation_numbers, faithfulness_table, markers_table, order_table
from _few_shot_numbers import few_shot_gains, few_shot_numbers, few_shot_table
from _generation_numbers import generation_numbers, generation_tables
from _laptop_numbers import laptop_numbers, laptop_table
from _leak_numbers import leak_numbers, leak_table
from _markdown import markdown, slug
from _panel_numbers import panel_numbers, sizes_table, tissue_table
from _reference_numbers import (
    outside_table,
    reference_numbers,
    studies_table,
    trust_table as reference_trust_table,
    types_table,
)
from _spatial_numbers import recall_table, spatial_numbers, spatial_table
from _species_numbers import species_table
from _speed_numbers import GPU, MACHINES, gpu_table, speed_numbers, speed_table
from _zero_shot_numbers import (
    levels_table,
    missing_table,
    seeds_table,
    sets_table,
    trust_table,
    unseen_numbers,
    unseen_table,
    zero_shot_numbers,
    zero_shot_table,
)
from _zoo_tables import zoo_tables

#: Stored results that documents draw on.
_STORED = (
    "accuracy",
    "atlas",
    "cell_to_text",
    "demo",
    "descriptions",
    "encoder_probes",
    "explanations",
    "few_shot",
    "generation",
    "label_caps",
    "laptop",
    "mutation",
    "panels",
    "pretraining_leak",
    "references",
    "spatial",
    "species",
    "token_lengths",
    "unseen_types",
    "zero_shot",
    *MACHINES.values(),
    GPU,
)
#: Rows of the demo that the README shows, with the names they have there.
_DEMO_METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "ece": "calibration error"}


def read_results(folder: Path) -> dict[str, Any]:
    """Contents of the stored results by name."""
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in _STORED}


def numbers_of(results: Mapping[str, Any]) -> dict[str, str]:
    """All numbers as text."""
    return dict(
        [
            *accuracy_numbers(results["accuracy"]),
            *atlas_numbers(results["atlas"]),
            *cell_to_text_numbers(results["cell_to_text"]),
            *laptop_numbers(results["laptop"]),
            *leak_numbers(results["pretraining_leak"]),
            *encoder_numbers(results["encoder_probes"]),
            *_demo(results["demo"]),
            *description_numbers(results["descriptions"]),
            *explanation_numbers(results["explanations"]["sets"]),
            *few_shot_numbers(results["few_shot"]),
            *generation_numbers(results["generation"]),
            *_mutation(results["mutation"]),
            *panel_numbers(results["panels"]),
            *reference_numbers(results["references"]),
            *spatial_numbers(results["spatial"]),
            *speed_numbers(results),
            *zero_shot_numbers(results["zero_shot"]),
            *unseen_numbers(results["unseen_types"]),
            *((f"code.{name}", value) for name, value in constants().items()),
        ]
    )


def tables_of(results: Mapping[str, Any]) -> dict[str, str]:
    """All tables as Markdown, each with an empty line before and after it."""
    explained = results["explanations"]["sets"]
    found = {
        "accuracy.headline": headline(results["accuracy"]),
        "accuracy.summary": summary(results["accuracy"]),
        "accuracy.predictors": predictors(),
        "accuracy": accuracy_tables(results["accuracy"]),
        "atlas": atlas_table(results["atlas"]),
        "cell_to_text": cell_to_text_table(results["cell_to_text"]),
        "parts": parts(results["accuracy"]),
        "pretraining_leak": leak_table(results["pretraining_leak"]),
        "scgpt-mini.data": corpus_table(),
        "encoders.lengths": lengths_table(results["token_lengths"]),
        "encoders.mini": mini_table(results["encoder_probes"]),
        "encoders.sentences": variants_table(results["encoder_probes"], "sentences"),
        "encoders.texts": variants_table(results["encoder_probes"], "texts"),
        "demo.comparison": f"{results['demo']['comparison']}\n",
        "demo": _demo_table(results["demo"]),
        "descriptions.clusters": descriptions_table(results["descriptions"], "clusters"),
        "descriptions.cells": descriptions_table(results["descriptions"], "cells"),
        "descriptions.sets": descriptions_sets(results["descriptions"]),
        "descriptions.retrieval": retrieval_table(results["descriptions"]),
        "label_caps": caps_table(results["label_caps"]),
        "laptop": laptop_table(results["laptop"]),
        "mutation": _mutation_table(results["mutation"]),
        "explanations.faithfulness": faithfulness_table(explained),
        "explanations.order": order_table(explained),
        "explanations.markers": markers_table(explained),
        "few_shot.unseen": few_shot_table(results["few_shot"], "unseen"),
        "few_shot.seen": few_shot_table(results["few_shot"], "seen"),
        "few_shot.groups": few_shot_table(results["few_shot"], "groups"),
        "few_shot.gains": few_shot_gains(results["few_shot"]),
        "panels.tissue": tissue_table(results["panels"]),
        "panels.sizes": sizes_table(results["panels"]),
        "reference.studies": studies_table(results["references"]["blood-mini"]),
        "reference.types": types_table(results["references"]["blood-mini"]),
        "reference.trust": reference_trust_table(results["references"]["blood-mini"]),
        "reference.outside": outside_table(results["references"]["blood-mini"]),
        "spatial": spatial_table(results["spatial"]),
        "spatial.recall": recall_table(results["spatial"]),
        "species": species_table(results["species"]),
        **generation_tables(results["generation"]),
        "speed": speed_table(results),
        "speed.gpu": gpu_table(results),
        "zero_shot": zero_shot_table(results["zero_shot"]),
        "zero_shot.seeds": seeds_table(results["zero_shot"]),
        "unseen_types": unseen_table(results["unseen_types"]),
        "zero_shot.trust": trust_table(results["zero_shot"]),
        "zero_shot.missing": missing_table(results["zero_shot"]),
        "zero_shot.levels": levels_table(results["zero_shot"]),
        "zero_shot.sets": sets_table(results["zero_shot"]),
        **zoo_tables(),
    }
    return {name: f"\n{text.strip()}\n\n" for name, text in found.items()}


def _demo_means(record: Mapping[str, Any]) -> pd.DataFrame:
    scores = pd.DataFrame(record["scores"])
    return scores.groupby("predictor", sort=False)[list(_DEMO_METRICS)].mean()


def _demo(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for predictor, values in _demo_means(record).iterrows():
        for metric, value in values.items():
            yield f"demo.{slug(predictor)}.{metric}", f"{value:.3f}"
    yield "demo.hidden_label", record["hidden_label"]
    yield "demo.novelty_auroc", f"{record['novelty_auroc']:.3f}"
    yield "demo.doubt_auroc", f"{record['doubt_auroc']:.3f}"
    yield "demo.coverage", f"{record['coverage']:.1%}".replace("%", " %")
    yield "demo.mean_set_size", f"{record['mean_set_size']:.2f}"


def _demo_table(record: Mapping[str, Any]) -> str:
    means = _demo_means(record)
    return markdown(means.map(lambda value: f"{value:.3f}").rename(columns=_DEMO_METRICS))


def _mutation(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "mutation.score", f"{record['score']:.0%}".replace("%", " %")
    for name in ("date", "sample", "seed", "n_possible"):
        yield f"mutation.{name}", f"{record[name]}"


def _mutation_table(record: Mapping[str, Any]) -> str:
    return markdown(pd.DataFrame.from_dict(record["packages"], orient="index").map(str))
