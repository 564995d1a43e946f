"""Numbers and tables about annotation without a reference."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _markdown import markdown, slug

#: Names of the ways to refine, as the page has them.
_WAYS = {"none": "raw", "smooth": "smoothed", "self-train": "refined"}
_REGIMES = {"R0": "hidden", "R1": "known"}
_TRUST = {
    "accuracy": "accuracy",
    "accuracy_at_80": "accuracy, surest 80 %",
    "recall_at_3": "recall at 3",
    "macro_f1_seen": "macro F1, types trained on",
    "macro_f1_unseen": "macro F1, others",
    "ontology_distance": "ontology distance",
    "ece": "calibration error",
    "error_auroc": "AUROC of errors",
}
_MISSING = {"missing_by_novelty": "novelty", "missing_by_confidence": "1 - confidence"}
_LEVELS = {
    "leaf_right": "most probable type is right",
    "level_right": "level is right",
    "level_probability": "probability of the level",
    "level_is_any_cell": "level is any cell",
}
_SETS = {"set_coverage": "share that holds the true label", "set_size": "labels per set"}


def _means(record: Mapping[str, Any], metric: str) -> pd.DataFrame:
    """Mean over seeds, one row per predictor and way, one column per set."""
    rows = pd.DataFrame(record["rows"])
    table = rows.pivot_table(index=["predictor", "refine"], columns="set", values=metric, sort=False)
    return table[list(dict.fromkeys(rows["set"]))]


def zero_shot_table(record: Mapping[str, Any]) -> str:
    """Macro F1 of every predictor: mean over sets in each way, then each set as it is."""
    scores = _means(record, "macro_f1")
    by_way = scores.mean(axis=1).unstack("refine").rename(columns=_WAYS)[list(_WAYS.values())]
    raw = scores.xs("none", level="refine")
    table = pd.concat([by_way, raw], axis=1).reindex(dict.fromkeys(scores.index.get_level_values("predictor")))
    return markdown(table.map(lambda value: "" if pd.isna(value) else f"{value:.3f}"), "predictor")


def trust_table(record: Mapping[str, Any]) -> str:
    """How far the confidence of the model can be trusted, mean over sets, in each way."""
    return _by_way(record, _TRUST, "SCMMGPT")


def _by_way(record: Mapping[str, Any], columns: Mapping[str, str], index: str) -> str:
    """Mean over sets of some metrics of the model, one row per way to refine."""
    measured = {metric for row in record["rows"] for metric in row}
    if not measured.issuperset(columns):
        return "The stored run did not measure it yet."
    means = {title: _means(record, metric).loc["SCMMGPT"].mean(axis=1) for metric, title in columns.items()}
    table = pd.DataFrame(means).rename(index=_WAYS).loc[list(_WAYS.values())]
    return markdown(table.map(lambda value: f"{value:.3f}"), index)


def missing_table(record: Mapping[str, Any]) -> str:
    """How well cells of a type that was not named are told."""
    return _by_way(record, _MISSING, "AUROC, each label hidden in turn")


def sets_table(record: Mapping[str, Any]) -> str:
    """How often sets of labels hold the true one, and how large they are."""
    return _by_way(record, _SETS, "sets at alpha = 0.1")


def levels_table(record: Mapping[str, Any]) -> str:
    """How often the most probable of all registered types, and the level that is sure, are right."""
    return _by_way(record, _LEVELS, "all registered types")


def zero_shot_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Means over sets, the number of seeds, and the gap to the best peer."""
    scores = _means(record, "macro_f1").mean(axis=1)
    for (predictor, refine), value in scores.items():
        yield f"zero_shot.{slug(predictor)}.{_WAYS[refine]}", f"{value:.3f}"
    for refine, title in _WAYS.items():
        means = scores.xs(refine, level="refine")
        best = means.filter(regex="^(marker|decoupler)", axis=0).max()
        yield f"zero_shot.above_markers.{title}", f"{means['SCMMGPT'] - best:+.3f}"
    yield "zero_shot.n_seeds", str(len({row["seed"] for row in record["rows"]}))


def seeds_table(record: Mapping[str, Any]) -> str:
    """Mean over sets and standard deviation over seeds, and how far the model is above the best marker scoring."""
    rows = pd.DataFrame(record["rows"])
    by_seed = rows.groupby(["refine", "predictor", "seed"], sort=False)["macro_f1"].mean().unstack("seed")
    found = {}
    for way, title in _WAYS.items():
        markers = by_seed.loc[way].filter(regex="^(marker|decoupler)", axis=0)
        own, best = by_seed.loc[(way, "SCMMGPT")], markers.mean(axis=1).idxmax()
        gap = own - markers.loc[best]
        found[title] = {
            "macro F1": _with_spread(own),
            "best marker scoring": f"{best}, {_with_spread(markers.loc[best])}",
            "difference": f"{gap.mean():+.3f}" + (f" ({gap.min():+.3f} to {gap.max():+.3f})" if len(gap) > 1 else ""),
        }
    return markdown(pd.DataFrame(found).T, "SCMMGPT")


def unseen_table(record: Mapping[str, Any]) -> str:
    """Macro F1 on types that were hidden in training, mean over hold-outs of the mean over sets."""
    rows = pd.DataFrame(record["rows"])
    columns = {
        "unseen": "unseen",
        "seen": "seen",
        "unseen_only": "only unseen to choose from",
        "unseen_only_chance": "chance",
    }
    by_hold_out = rows.groupby(["regime", "predictor", "hold_out"], sort=False)[list(columns)].mean()
    groups = by_hold_out.groupby(["regime", "predictor"], sort=False)
    table = pd.DataFrame({title: groups[name].apply(_with_spread) for name, title in columns.items()})
    table.index = [f"{predictor}, markers {_REGIMES[regime]}" for regime, predictor in table.index]
    return markdown(table, "predictor")


def _with_spread(values: pd.Series) -> str:
    return f"{values.mean():.3f}" + (f" ± {values.std():.3f}" if len(values) > 1 else "")


def unseen_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Number of hold-outs, and the means that the text names."""
    rows = pd.DataFrame(record["rows"])
    yield "unseen_types.n_hold_outs", str(rows["hold_out"].nunique())
    means = rows.groupby(["regime", "predictor"])[["unseen", "unseen_only"]].mean()
    for (regime, predictor), values in means.iterrows():
        for name, value in values.items():
            yield f"unseen_types.{regime}.{slug(predictor)}.{slug(name)}", f"{value:.3f}"
