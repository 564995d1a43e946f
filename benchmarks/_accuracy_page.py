"""The full tables of the documentation page about accuracy, folded, and what each predictor is."""

from typing import Any

import pandas as pd
from _accuracy_numbers import DEFAULT, groups_of, known_labels
from _accuracy_sets import SEEN
from _code_constants import constants
from _markdown import folded, markdown

from scmpt_scverse import metrics

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
#: Stands after the name of a set whose cells the encoder was pre-trained on.
_MARK = "†"


def tables(record: dict[str, Any]) -> str:
    """All tables as Markdown."""
    known = known_labels(record).drop(columns="hidden")
    seen = [name for name in known["set"].unique() if name in SEEN]
    mark = f"{_MARK}: of these cells, `scgpt-mini` saw some in its pre-training, without labels.\n"
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    parts = [
        f"Measured in {record['seconds'] / 60:.0f} minutes of one core; versions: {versions}. {mark}",
        "### Macro F1\n",
        "Mean over the replicates, their number after the name of the set. The highest value of each set is bold.\n",
        folded("Macro F1 of every predictor on every set", by_set(known, "macro_f1", best=True)),
        folded("Half the width of the 95 % interval", by_set(known, "macro_f1", half_width=True)),
        "### Differences in macro F1\n",
        "Mean difference over the sets to the predictor at the top of the column, each set counted once, and in "
        "parentheses the lowest of a set.\n",
        folded("On the sets never seen", differences(known[~known["set"].isin(seen)])),
        folded("On all sets", differences(known)),
        "### Calibration\n",
        "Expected calibration error; lower is better.\n",
        folded("After calibration", by_set(known, "ece")),
    ]
    if "ece_before" in known:
        parts += [folded("Before calibration", by_set(known.dropna(subset="ece_before"), "ece_before"))]
    if "coverage" in known:
        parts += [
            "### Conformal sets\n",
            "Share of cells whose set holds the true label, where 0.90 was asked for: models of this "
            "package calibrate their sets on training cells; those of the others are calibrated on one half of the "
            "test cells and tried on the other, where there are at least 40.\n",
            folded("Coverage", by_set(known, "coverage")),
            folded("Labels in a set", by_set(known, "set_size")),
        ]
    rows = pd.DataFrame(record["rows"])
    scores = [column for column in rows if column.startswith("auroc")]
    if scores:
        parts += [
            "### Labels that were not learned\n",
            "Area under the ROC curve with which a score tells cells of a hidden label from the others; mean over the "
            "labels hidden.\n",
            folded("Scores of novelty", hidden(rows[rows["hidden"].notna()], scores)),
        ]
    parts += ["### Time\n", folded("Seconds to train and predict", by_set(known, "seconds", digits=1))]
    return "\n" + "\n".join(parts) + "\n"


def predictors() -> str:
    """What every row of the tables is; numbers are those of the code."""
    of = constants()
    components = f"{of['components.n_components']} components of {of['components.n_genes']} variable genes"
    meanings = {
        "majority": "the most frequent label",
        "LR expression": "logistic regression on standardised log-normalised expression",
        "LR HVG + PCA": f"the same on {components}, scaled",
        "kNN PCA": f"the {of['knn.n_neighbors']} nearest cells in {components}, not scaled",
        "CellTypist": (
            "`celltypist.train` with its defaults {cite:p}`dominguezconde2022celltypist`, trained by our code, because "
            "its classifier asks for an option that scikit-learn has dropped"
        ),
        "text alone, expression alone, counts alone": (
            f"the model with one modality; counts are expression itself, of {of['counts.n_genes']} variable genes"
        ),
        "concat, gated, attention, stacked": ("the model with both, by each way to fuse them; `concat` is the paper's"),
        "stacked + counts": "with expression itself as a third modality",
        DEFAULT: (
            "the default of `SCMPT`: texts about genes in place of sentences, and what a text model knows of cell "
            "types as a fourth modality; on studies whose labels `scmmgpt-mini` has learned, one trained without them"
        ),
    }
    return markdown(pd.DataFrame.from_dict(meanings, orient="index", columns=["what it is"]), "row")


def by_set(known: pd.DataFrame, metric: str, *, best: bool = False, half_width: bool = False, digits: int = 3) -> str:
    """One row per predictor, with the means over groups of sets and one column per set."""
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
    text.columns = [f"{name}{_MARK if name in SEEN else ''} ({n_replicates[name]})" for name in text]
    if not half_width:
        groups = groups_of(wide.columns)
        for place, group in enumerate(("unseen", "seen")):  # first, since a wide table is cut on the right
            means = wide[groups[group]].mean(axis=1, skipna=False)
            title = f"mean of {len(groups[group])} {'never seen' if group == 'unseen' else f'seen{_MARK}'}"
            text.insert(place, title, means.map(lambda mean: "" if pd.isna(mean) else f"{mean:.{digits}f}"))
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
    means = rows.groupby(["predictor", "set"])[scores].mean().stack().dropna().rename("auroc").reset_index()
    means["predictor"] += ": " + means.pop("level_2").str.removeprefix("auroc ")
    wide = means.pivot(index="predictor", columns="set", values="auroc")
    wide = wide[list(rows["set"].unique())]
    text = wide.map(lambda value: "" if pd.isna(value) else f"{value:.3f}")
    text.columns = [f"{name}{_MARK if name in SEEN else ''}" for name in text]
    text.insert(0, "mean", wide.mean(axis=1).map("{:.3f}".format))
    return markdown(text)


def _in_order(wide: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Predictors and sets in the order in which they were stored."""
    predictors = [name for name in rows["predictor"].unique() if name in wide.index]
    return wide.loc[predictors, [name for name in rows["set"].unique() if name in wide]]
