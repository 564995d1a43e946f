"""The tables of the documentation page about accuracy."""

from pathlib import Path
from typing import Any

import pandas as pd

from scmpt_scverse import metrics

PAGE = Path(__file__).parents[1] / "docs" / "user_guide" / "accuracy.md"
_BEGIN, _END = "<!-- table: accuracy -->\n", "<!-- /table -->\n"
#: Predictors that the others are compared with.
_REFERENCES = (
    "LR expression",
    "LR HVG + PCA",
    "kNN PCA",
    "CellTypist",
    "text alone",
    "expression alone",
    "counts alone",
)


def write_page(record: dict[str, Any]) -> None:
    """Put the tables into the page, between its markers."""
    before, rest = PAGE.read_text().split(_BEGIN)
    PAGE.write_text(before + _BEGIN + tables(record) + _END + rest.split(_END)[1])


def tables(record: dict[str, Any]) -> str:
    """All tables as Markdown."""
    rows = pd.DataFrame(record["rows"])
    known = rows[rows["hidden"].isna()].drop(columns="hidden")
    parts = [
        f"Measured in {record['seconds'] / 60:.0f} minutes of one core; versions: "
        + ", ".join(f"{name} {number}" for name, number in record["versions"].items())
        + ".\n",
        "### Macro F1\n",
        "Mean over the replicates, their number after the name of the set. The highest value of each set is bold.\n",
        by_set(known, "macro_f1", best=True),
        "Half the width of the 95 % interval:\n",
        by_set(known, "macro_f1", half_width=True),
        "### Differences in macro F1\n",
        "Mean difference over all sets to the predictor at the top of the column, each set counted once, and in "
        "parentheses the lowest of a set.\n",
        differences(known),
        "### Calibration\n",
        "Expected calibration error; lower is better.\n",
        by_set(known, "ece"),
    ]
    if "ece_before" in known:
        parts += ["Before calibration:\n", by_set(known.dropna(subset="ece_before"), "ece_before")]
    if "coverage" in known:
        parts += [
            "### Conformal sets\n",
            "Share of cells whose set holds the true label, where 0.90 was asked for: models of this "
            "package calibrate their sets on training cells; those of the others are calibrated on one half of the "
            "test cells and tried on the other, where there are at least 40.\n",
            by_set(known, "coverage"),
            "Labels in a set:\n",
            by_set(known, "set_size"),
        ]
    scores = [column for column in rows if column.startswith("auroc")]
    if scores:
        parts += [
            "### Labels that were not learned\n",
            "Area under the ROC curve with which a score tells cells of a hidden label from the others; mean over the "
            "labels hidden.\n",
            hidden(rows[rows["hidden"].notna()], scores),
        ]
    parts += ["### Seconds to train and predict\n", by_set(known, "seconds", digits=1)]
    return "\n".join(parts) + "\n"


def by_set(known: pd.DataFrame, metric: str, *, best: bool = False, half_width: bool = False, digits: int = 3) -> str:
    """One row per predictor, with the mean over the sets and one column per set."""
    summary = metrics.replicate_summary(known, by=["set", "predictor"])
    summary = summary[summary["metric"] == metric].assign(half=summary["upper"] - summary["mean"])
    wide = summary.pivot(index="predictor", columns="set", values="half" if half_width else "mean")
    n_replicates = summary.groupby("set")["n_replicates"].max()
    wide = _in_order(wide, known)
    text = wide.map(lambda value: "" if pd.isna(value) else f"{value:.{digits}f}")
    if best:
        for name in wide:
            winner = wide[name].idxmax()
            text.loc[winner, name] = f"**{text.loc[winner, name]}**"
    if not half_width:
        complete = wide.notna().all(axis=1)
        means = [f"{mean:.{digits}f}" if ok else "" for mean, ok in zip(wide.mean(axis=1), complete, strict=True)]
        text.insert(0, "mean", means)  # first, since a wide table is cut on the right
    text.columns = [f"{name} ({n_replicates[name]})" if name in n_replicates else name for name in text]
    return markdown(text)


def differences(known: pd.DataFrame) -> str:
    """Each predictor less each baseline and single modality, means of sets."""
    means = _in_order(known.pivot_table(index="predictor", columns="set", values="macro_f1"), known)
    references = [name for name in _REFERENCES if name in means.index]
    lines = {}
    for name in means.index:
        gaps = means.loc[name] - means.loc[references]
        lines[name] = [
            "" if name == reference else f"{gaps.loc[reference].mean():+.3f} ({gaps.loc[reference].min():+.3f})"
            for reference in references
        ]
    return markdown(pd.DataFrame.from_dict(lines, orient="index", columns=references))


def hidden(rows: pd.DataFrame, scores: list[str]) -> str:
    """One row per predictor and score, one column per set."""
    means = rows.groupby(["predictor", "set"])[scores].mean().stack().rename("auroc").reset_index()
    means["predictor"] += ": " + means.pop("level_2").str.removeprefix("auroc ")
    wide = means.pivot(index="predictor", columns="set", values="auroc")
    wide = wide[list(rows["set"].unique())]
    wide.insert(0, "mean", wide.mean(axis=1))
    return markdown(wide.map(lambda value: "" if pd.isna(value) else f"{value:.3f}"))


def _in_order(wide: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Predictors and sets in the order in which they were stored."""
    predictors = [name for name in rows["predictor"].unique() if name in wide.index]
    return wide.loc[predictors, [name for name in rows["set"].unique() if name in wide]]


def markdown(text: pd.DataFrame) -> str:
    """A table of text, with the row names as first column."""
    lines = ["| | " + " | ".join(text.columns) + " |", "|---|" + "---|" * len(text.columns)]
    lines += [f"| {name} | " + " | ".join(row) + " |" for name, row in zip(text.index, text.to_numpy(), strict=True)]
    return "\n".join(lines) + "\n"
