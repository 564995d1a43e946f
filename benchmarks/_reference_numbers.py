"""Numbers and tables about reference models: how well studies that were left out are annotated."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _markdown import markdown

_BASELINES = {
    "logistic regression, HVG and PCA": "logistic regression, HVG and PCA",
    "CellTypist": "CellTypist",
}


def reference_numbers(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of each reference model, by its name."""
    for name, record in results.items():
        for key, value in record["summary"].items():
            yield f"reference.{name}.{key.replace(', ', '_').replace(' ', '_')}", f"{value:.3f}"
        yield f"reference.{name}.least_macro_f1", f"{record['least_macro_f1']:.2f}"


def studies_table(record: Mapping[str, Any]) -> str:
    """One row per left-out study, with the better one of both ways to give a baseline genes."""
    rows = {}
    for study in record["left_out"]:
        row = {
            "cells": f"{study['n_cells']:,}",
            "types": str(len(study["types"])),
            "macro F1": f"{study['macro_f1']:.3f}",
        }
        for title, name in _BASELINES.items():
            best = max(value for key, value in study["baselines"].items() if key.startswith(name))
            row[title] = f"{best:.3f}"
        rows[study["study"]] = row
    means = record["summary"]
    mean = {"cells": "", "types": "", "macro F1": f"{means['macro_f1']:.3f}"}
    for title in _BASELINES:
        values = [float(row[title]) for row in rows.values()]
        mean[title] = f"{sum(values) / len(values):.3f}"
    return markdown(pd.DataFrame.from_dict({**rows, "mean": mean}, orient="index"))


def types_table(record: Mapping[str, Any]) -> str:
    """F1 of each type in each left-out study."""
    columns = {study["study"]: study["types"] for study in record["left_out"]}
    table = pd.DataFrame(columns)
    return markdown(table.map(lambda value: "" if pd.isna(value) else f"{value:.3f}"))


def trust_table(record: Mapping[str, Any]) -> str:
    """How far what is said of cells can be trusted: one row per left-out study and its parts, then of other tissues."""
    rows = {}
    for study in [*record["left_out"], *record["elsewhere"]]:
        rows[study["study"]] = _trust(study)
        rows |= {f"{study['study']}, {part}": _trust(values) for part, values in study.get("parts", {}).items()}
    return markdown(pd.DataFrame.from_dict(rows, orient="index"))


def outside_table(record: Mapping[str, Any]) -> str:
    """How well cells of types that were not trained on are told from the others."""
    rows = {}
    for study in [*record["left_out"], *record["elsewhere"]]:
        if study["n_outside"]:
            found = study["auroc_outside"]
            rows[f"{study['study']}: {study['n_outside']:,} cells of types that no model claims"] = _aurocs(found)
        for name, found in study.get("hidden", {}).items():
            rows[f"{study['study']}: {name}, left out of training"] = _aurocs(found)
    return markdown(pd.DataFrame.from_dict(rows, orient="index"))


def _trust(values: Mapping[str, Any]) -> dict[str, str]:
    outside = values["unknown_share_outside"]
    return {
        "accuracy": f"{values['accuracy']:.3f}",
        "calibration error": f"{values['ece']:.3f}",
        "left unknown": f"{values['unknown_share']:.0%}".replace("%", " %"),
        "accuracy of the others": f"{values['accuracy_of_kept']:.3f}",
        "cells of other types left unknown": "" if pd.isna(outside) else f"{outside:.0%}".replace("%", " %"),
    }


def _aurocs(found: Mapping[str, float]) -> dict[str, str]:
    return {
        f"AUROC of {title}": "" if pd.isna(found[mark]) else f"{found[mark]:.3f}"
        for mark, title in (("doubt", "1 - confidence"), ("novelty", "novelty"))
    }
