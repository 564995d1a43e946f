"""Write a reference model with its card: sources with licences, and metrics on studies that were left out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from _left_out import Trained
from _recipe import Recipe

_COLUMNS = {
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "ece": "calibration error",
    "unknown_share": "share left unknown",
    "accuracy_of_kept": "accuracy of the others",
}


def write_model(recipe: Recipe, trained: Trained, results: Mapping[str, Any], out: Path) -> int:
    """Write `model.json`, `model.safetensors` and `README.md`; gives their size in bytes."""
    model = trained.model
    model.history_ = {}
    # So that metrics are not those of the machine that built it.
    model.push_to_hub(
        out, license=recipe.license, description=_description(recipe, results), evaluation=_table(results)
    )
    card = out / "README.md"
    call = f'{type(model).__name__}.from_pretrained("{recipe.name}")'
    card.write_text(card.read_text().replace(f'{type(model).__name__}.from_hub("{out.name}")', call))
    return sum(path.stat().st_size for path in out.iterdir())


def _table(results: Mapping[str, Any]) -> pd.DataFrame:
    """Metrics of each left-out study."""
    rows = {
        f"{record['study']}, left out": {name: record[key] for key, name in _COLUMNS.items()}
        for record in results["left_out"]
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _description(recipe: Recipe, results: Mapping[str, Any]) -> str:
    sources = "\n".join(
        f"- {study.name}: {study.source}. {study.platform}. {study.license}." for study in recipe.studies
    )
    return (
        f"{recipe.title}, by {results['candidate']}. A cell stays unknown below a confidence of "
        f"{results['min_confidence']:.2f} or above a novelty of {results['max_novelty']:.3f}: limits that 95 % of the "
        "cells of left-out studies meet, each.\n\n"
        f"## Sources\n\n{sources}\n\nThe model holds weights, names of genes and types, and digests of cells; no "
        "expression of a cell."
    )
