"""Numbers about accuracy, by name, and what the page about it begins with: the headline, the summary and the sets."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _accuracy_sets import SEEN, SETS, SMALLEST, UNSEEN
from _markdown import markdown, slug

from scmpt_scverse.metrics import mean_interval

#: What is recommended, and what it has to beat.
DEFAULT = "mini"
SIMPLE = ("LR expression", "LR HVG + PCA", "CellTypist")
#: Rows of the summary, and what they are for a reader who has not seen the list of predictors yet.
_SUMMARISED = {
    DEFAULT: "default model (preset `mini`)",
    "concat": "the paper's head (concat)",
    "expression alone": "`scgpt-mini` alone",
    "counts alone": "expression itself alone",
    "CellTypist": "CellTypist",
    "LR HVG + PCA": "logistic regression on principal components",
    "LR expression": "logistic regression on all genes",
}
#: Sets whose groups are held out whole: label sets promise nothing about those.
_HELD_OUT_WHOLE = re.compile(r"donors|condition|study|batches|114")
#: Of the models in the table of modalities alone and together.
_PARTS = (
    "text alone",
    "expression alone",
    "counts alone",
    "concat",
    "stacked",
    "stacked + counts",
    DEFAULT,
    "LR expression",
)
_METRICS = ("accuracy", "macro_f1", "ece", "coverage", "set_size")


def known_labels(record: Mapping[str, Any]) -> pd.DataFrame:
    """Rows in which no label was hidden."""
    rows = pd.DataFrame(record["rows"])
    return rows[rows["hidden"].isna()]


def by_set(known: pd.DataFrame, metric: str = "macro_f1") -> pd.DataFrame:
    """Mean over the replicates, `(n_predictors, n_sets)`."""
    return known.pivot_table(index="predictor", columns="set", values=metric)


def groups_of(sets: pd.Index) -> dict[str, list[str]]:
    """Sets by whether the encoder has seen their cells, with and without the smallest one."""
    groups = {"unseen": UNSEEN, "seen": SEEN, "all": tuple(each.name for each in SETS)}
    groups |= {
        f"{name}_without_smallest": [each for each in groups[name] if each != SMALLEST] for name in ("seen", "all")
    }
    return {name: [each for each in members if each in sets] for name, members in groups.items()}


def accuracy_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """All of them as text."""
    known = known_labels(record)
    for metric in _METRICS:
        wide = by_set(known, metric)
        for predictor, values in wide.iterrows():
            yield f"accuracy.mean.{slug(predictor)}.{metric}", f"{values.mean():.3f}"
            for name, value in values.items():
                yield f"accuracy.{slug(name)}.{slug(predictor)}.{metric}", f"{value:.3f}"
    f1 = by_set(known)
    yield "accuracy.n_sets", f"{f1.shape[1]}"
    for group, members in groups_of(f1.columns).items():
        yield f"accuracy.{group}.n_sets", f"{len(members)}"
        for predictor, values in f1[members].iterrows():
            yield f"accuracy.{group}.{slug(predictor)}.macro_f1", f"{values.mean():.3f}"
    for name in ("stacked", DEFAULT):
        gap_to_simple = (f1.loc[list(SIMPLE)].max() - f1.loc[name]).max()
        gap_to_parts = (f1.loc[["text alone", "expression alone"]].max() - f1.loc[name]).max()
        yield f"accuracy.{slug(name)}.largest_gap_to_simple", f"{gap_to_simple:.3f}"
        yield f"accuracy.{slug(name)}.largest_gap_to_parts", f"{gap_to_parts:.3f}"
        lead = f1.loc[name] - f1.loc["CellTypist"]
        yield f"accuracy.{slug(name)}.lead", f"{lead.mean():.3f}"
        yield f"accuracy.{slug(name)}.lead_without_smallest", f"{lead.drop(SMALLEST).mean():.3f}"
    by_cell = [name for name in f1 if not _HELD_OUT_WHOLE.search(name)]
    both = by_set(known, "coverage").loc[["stacked", DEFAULT], by_cell]
    yield "accuracy.stacked.lowest_coverage", f"{both.min(axis=None):.3f}"
    yield "accuracy.stacked.highest_coverage", f"{both.max(axis=None):.3f}"
    embryo = known[known["set"] == "embryo"]
    n_wrong = ((1 - embryo["accuracy"]) * embryo["n_cells"]).groupby(embryo["predictor"]).sum()
    for name in ("stacked", "text alone", "expression alone"):
        yield f"accuracy.embryo.{slug(name)}.n_wrong", f"{n_wrong[name]:.0f}"
    yield "accuracy.embryo.n_predicted", f"{embryo.loc[embryo['predictor'] == 'stacked', 'n_cells'].sum():.0f}"
    in_epochs = known["predictor"].isin(["concat", "gated", "attention"])
    yield "accuracy.minutes", f"{record['seconds'] / 60:.0f}"
    yield "accuracy.minutes_in_epochs", f"{known.loc[in_epochs, 'seconds'].sum() / 60:.0f}"


def headline(record: Mapping[str, Any]) -> str:
    """The default model against the simple predictors, first on the sets that the encoder has never seen."""
    f1 = by_set(known_labels(record))
    groups = groups_of(f1.columns)
    means = f1[groups["unseen"]].mean(axis=1)
    best = means.loc[list(SIMPLE)].idxmax()
    others = [name for name in (*SIMPLE, "concat") if name != best]
    listed = ", ".join(f"{means[name]:.3f} for {_named(name)}" for name in others[:-1])
    gain = mean_interval(f1.loc[DEFAULT, groups["unseen"]] - f1.loc[best, groups["unseen"]])
    leads = {name: (f1.loc[DEFAULT, sets] - f1.loc["CellTypist", sets]).mean() for name, sets in groups.items()}
    sentences = (
        f"On the {len(groups['unseen'])} sets whose cells `scgpt-mini` has never seen, the default model has a mean "
        f"macro F1 of **{means[DEFAULT]:.3f}**, against {means[best]:.3f} for {_named(best)}, {listed} and "
        f"{means[others[-1]]:.3f} for {_named(others[-1])}.",
        f"Against {_named(best)} that is a difference of {gain['mean']:+.3f} (95 % interval over the sets "
        f"{gain['lower']:+.3f} to {gain['upper']:+.3f}): {_verdict(gain)}",
        f"Its head on expression itself, without any encoder, has {means['counts alone']:.3f}.\n\n"
        f"The encoder was pre-trained, without labels, on cells of the other {len(groups['seen'])} sets.",
        f"There the default model is {leads['seen']:.3f} above CellTypist, and {leads['seen_without_smallest']:.3f} "
        f"without *{SMALLEST}*, the smallest set.",
        f"Over all {len(groups['all'])} sets it is {leads['all']:.3f} above, and {leads['all_without_smallest']:.3f} "
        "without that one set.",
    )
    return " ".join(sentences) + "\n"


def summary(record: Mapping[str, Any]) -> str:
    """Mean macro F1 of the main predictors, by group of sets."""
    f1 = by_set(known_labels(record))
    groups = groups_of(f1.columns)
    titles = {
        "unseen": "{} sets never seen",
        "seen": "{} sets seen",
        "seen_without_smallest": "{} seen, without *" + SMALLEST + "*",
        "all": "all {}",
        "all_without_smallest": "{}, without *" + SMALLEST + "*",
    }
    columns = {
        title.format(len(groups[group])): f1[groups[group]].mean(axis=1).map("{:.3f}".format)
        for group, title in titles.items()
    }
    rows = [name for name in _SUMMARISED if name in f1.index]
    return markdown(pd.DataFrame(columns).loc[rows].rename(_SUMMARISED), "mean macro F1")


def parts(record: Mapping[str, Any]) -> str:
    """Macro F1 of the modalities alone and together, on sets that the encoder has not seen."""
    wide = by_set(known_labels(record)).loc[list(_PARTS), list(UNSEEN)]
    return markdown(wide.map("{:.3f}".format))


def _named(predictor: str) -> str:
    text = _SUMMARISED[predictor]
    return text if predictor == "CellTypist" else text.replace(" (concat)", "")


def _verdict(gain: Mapping[str, float]) -> str:
    if gain["lower"] <= 0 <= gain["upper"]:
        return "these sets do not tell which of the two is better."
    return f"the default model is {'better' if gain['mean'] > 0 else 'worse'} on these sets."
