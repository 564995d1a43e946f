"""Numbers and the table about what seeing the cells of a set is worth, from `results/pretraining_leak.json`."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _accuracy_numbers import DEFAULT
from _markdown import markdown, slug

_PREDICTORS = {"expression alone": "`scgpt-mini` alone", DEFAULT: "default model"}
_GROUPS = {
    "study": "mean of the sets of the study",
    "unseen": "mean of the sets that neither has seen",
    "seeing": "**seeing the cells: the difference between the two**",
}


def leak_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of every study: the summary, and the default model and `scgpt-mini` alone on each set."""
    for study, found in record["studies"].items():
        for arm, n_steps in zip(("with", "without"), found["n_steps"], strict=True):
            yield f"leak.{slug(study)}.n_steps.{arm}", f"{n_steps:,}"
        for row in found["summary"]:
            name = f"leak.{slug(study)}.{slug(row['predictor'])}.{row['group']}"
            yield name, f"{row['difference']:+.3f}"
            yield f"{name}.interval", f"{row['lower']:+.3f} to {row['upper']:+.3f}"
        for row in found["rows"]:
            name = f"leak.{slug(study)}.{slug(row['predictor'])}.{slug(row['set'])}"
            yield f"{name}.with", f"{row['macro_f1_with']:.3f}"
            yield f"{name}.without", f"{row['macro_f1_without']:.3f}"
            yield f"{name}.difference", f"{row['difference']:+.3f}"


def leak_table(record: Mapping[str, Any]) -> str:
    """One row per set and predictor: macro F1 with either encoder, and the difference."""
    if not record["studies"]:
        return "Not measured yet.\n"
    texts = []
    for study, found in record["studies"].items():
        rows = pd.DataFrame(found["rows"]).sort_values("is_of_study", ascending=False, kind="stable")
        names = {name: title for name, title in _PREDICTORS.items() if name in set(rows["predictor"])}
        lines: dict[str, list[str]] = {}
        for name, of_set in rows.groupby("set", sort=False):
            seen = "" if of_set["is_of_study"].all() else " (control)"
            lines[f"{name}{seen}"] = [
                text
                for predictor in names
                for row in of_set[of_set["predictor"] == predictor].to_dict("records")
                for text in (f"{row['macro_f1_with']:.3f}", f"{row['macro_f1_without']:.3f}", _span(row))
            ]
        for group, title in _GROUPS.items():
            of_group = {row["predictor"]: row for row in found["summary"] if row["group"] == group}
            lines[title] = [text for predictor in names for text in ("", "", _span(of_group[predictor]))]
        columns = [f"{name}: {what}" for name in names.values() for what in ("seen", "not seen", "difference")]
        table = pd.DataFrame.from_dict(lines, orient="index", columns=columns)
        epochs = f"both encoders trained for {found['max_epochs']} epochs"
        steps = " and ".join(f"{n_steps:,}" for n_steps in found["n_steps"])
        texts.append(f"Without the cells of *{study}*, {epochs} ({steps} steps):\n\n{markdown(table, 'set')}")
    return "\n".join(texts)


def _span(row: Mapping[str, Any]) -> str:
    return f"{row['difference']:+.3f} ({row['lower']:+.3f} to {row['upper']:+.3f})"
