"""Every number and table that a document can show, by name, computed from the stored results."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from _accuracy_page import markdown, tables as accuracy_tables

_SIMPLE = ["LR expression", "LR HVG + PCA", "CellTypist"]
_SMALLEST = "kang 114 cells"
#: Rows of the demo that the README shows, with the names they have there.
_DEMO_METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "ece": "calibration error"}
#: Sets whose groups are held out whole: label sets promise nothing about those.
_HELD_OUT_WHOLE = re.compile(r"donors|condition|study|batches|114")
#: What a change to the sentences does, by the name that it is stored under.
_CHANGES = {
    "intact": "sentences as they are",
    "shuffle": "the 30 genes in random order",
    "shuffle top 10%": "the top tenth in random order",
    "shuffle all but top 10%": "all but the top tenth in random order",
    "shuffle of all expressed genes": "30 random ones of the genes expressed",
    "hash names": "names hashed, one to one",
    "random names": "random names in every cell",
    "prefix": "a text before the genes",
    "top 10 genes": "10 genes",
    "without ribosomal genes": "no ribosomal genes",
    "form: binned": "genes with expression in words",
}


def read_results(folder: Path) -> dict[str, Any]:
    """Contents of the stored results by name."""
    return {
        name: json.loads((folder / f"{name}.json").read_text())
        for name in ("accuracy", "demo", "explanations", "mutation")
    }


def numbers_of(results: Mapping[str, Any]) -> dict[str, str]:
    """All numbers as text."""
    return dict([*_accuracy(results["accuracy"]), *_demo(results["demo"]), *_mutation(results["mutation"])])


def tables_of(results: Mapping[str, Any]) -> dict[str, str]:
    """All tables as Markdown, each with an empty line before and after it."""
    explained = results["explanations"]["sets"]
    return {
        "accuracy": accuracy_tables(results["accuracy"]),
        "parts": f"\n{_parts(_known(results['accuracy']))}\n",
        "demo.comparison": f"\n{results['demo']['comparison']}\n\n",
        "demo": f"\n{_demo_table(results['demo'])}\n",
        "mutation": f"\n{_mutation_table(results['mutation'])}\n",
        "explanations.faithfulness": f"\n{_faithfulness(explained)}\n",
        "explanations.order": f"\n{_order(explained)}\n",
        "explanations.markers": f"\n{_markers(explained)}\n",
    }


def slug(name: str) -> str:
    """A name as it stands in a mark: `stacked + counts` becomes `stacked-counts`."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")


def _known(record: Mapping[str, Any]) -> pd.DataFrame:
    rows = pd.DataFrame(record["rows"])
    return rows[rows["hidden"].isna()]


def _accuracy(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    known = _known(record)
    for metric in ("accuracy", "macro_f1", "ece", "coverage", "set_size"):
        wide = known.pivot_table(index="predictor", columns="set", values=metric)
        for predictor, values in wide.iterrows():
            yield f"accuracy.mean.{slug(predictor)}.{metric}", f"{values.mean():.3f}"
            for name, value in values.items():
                yield f"accuracy.{slug(name)}.{slug(predictor)}.{metric}", f"{value:.3f}"
    f1 = known.pivot_table(index="predictor", columns="set", values="macro_f1")
    yield "accuracy.n_sets", f"{f1.shape[1]}"
    most = f1.drop(columns=_SMALLEST).mean(axis=1)
    for name in ("stacked", "stacked + counts"):
        gap_to_simple = (f1.loc[_SIMPLE].max() - f1.loc[name]).max()
        gap_to_parts = (f1.loc[["text alone", "expression alone"]].max() - f1.loc[name]).max()
        yield f"accuracy.{slug(name)}.largest_gap_to_simple", f"{gap_to_simple:.3f}"
        yield f"accuracy.{slug(name)}.largest_gap_to_parts", f"{gap_to_parts:.3f}"
        lead = f1.loc[name].mean() - f1.loc["CellTypist"].mean()
        yield f"accuracy.{slug(name)}.lead", f"{lead:.3f}"
        yield f"accuracy.{slug(name)}.lead_without_smallest", f"{most[name] - most['CellTypist']:.3f}"
    by_cell = [name for name in f1 if not _HELD_OUT_WHOLE.search(name)]
    coverage = known.pivot_table(index="predictor", columns="set", values="coverage")[by_cell]
    both = coverage.loc[["stacked", "stacked + counts"]]
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


def _parts(known: pd.DataFrame) -> str:
    rows = ["text alone", "expression alone", "counts alone", "concat", "stacked", "stacked + counts", "LR expression"]
    sets = ["scanpy PBMC", "headneck", "pancreas wang", "pbmc3k"]
    wide = known.pivot_table(index="predictor", columns="set", values="macro_f1").loc[rows, sets]
    return markdown(wide.map(lambda value: f"{value:.3f}"))


def _faithfulness(explained: Mapping[str, Any]) -> str:
    rows = {}
    for name, found in explained.items():
        tests = {test["kind"]: test for test in found["faithfulness"] if test["method"] == "integrated_gradients"}
        spans = [
            f"{test['difference']:+.2f} ({test['difference_low']:+.2f} to {test['difference_high']:+.2f})"
            for test in (tests["deletion"], tests["insertion"])
        ]
        error = f"{found['completeness_error_median']:.1%}"
        rows[name] = [f"{found['explained_cells']}", error, *spans, f"{found['seconds_per_200_cells']:.0f} s"]
    columns = ["explained", "completeness error, median", "deletion, against random", "insertion, against random"]
    return markdown(pd.DataFrame.from_dict(rows, orient="index", columns=[*columns, "200 cells, two cores"]))


def _markers(explained: Mapping[str, Any]) -> str:
    rows = {
        f"{name}: {row['group']}": [
            f"{row['n_markers']}",
            f"{row['auroc']:.2f} ({row['auroc_low']:.2f} to {row['auroc_high']:.2f})",
            f"{row['auroc_pval_adj']:.2g}",
        ]
        for name, found in explained.items()
        for row in found["markers"]
    }
    return markdown(pd.DataFrame.from_dict(rows, orient="index", columns=["markers", "AUROC (95 %)", "adjusted p"]))


def _order(explained: Mapping[str, Any]) -> str:
    columns = {
        name: {_CHANGES[row["ablation"]]: f"{row['mean']:.3f}" for row in found["ablations"]}
        for name, found in explained.items()
    }
    return markdown(pd.DataFrame(columns))


def _mutation(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "mutation.score", f"{record['score']:.0%}".replace("%", " %")
    for name in ("date", "sample", "seed", "n_possible"):
        yield f"mutation.{name}", f"{record[name]}"


def _mutation_table(record: Mapping[str, Any]) -> str:
    return markdown(pd.DataFrame.from_dict(record["packages"], orient="index").map(str))
