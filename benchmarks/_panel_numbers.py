"""What targeted panels cost, from `results/panels.json`."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _markdown import markdown

_TISSUE = "MERFISH"


def panel_numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Sizes, and how far estimates are from what happens."""
    yield "panels.max_cells", f"{record['max_cells']:,}"
    advice = pd.DataFrame(record["advice"])
    yield "panels.n_seeds", str(advice["seed"].nunique())
    for name, of_set in advice.groupby("set"):
        yield f"panels.{name}.correlation", f"{of_set['correlation'].mean():.2f}"
        yield f"panels.{name}.error", f"{of_set['error'].mean():.3f}"


def tissue_table(record: Mapping[str, Any]) -> str:
    """Accuracy and macro F1 of MERFISH cells by predictor, with 95 % intervals over cells."""
    rows = pd.DataFrame(record["rows"])
    rows = rows[rows["set"] == _TISSUE].set_index("predictor")
    columns = {
        title: [
            f"{value:.3f} ({lower:.3f} to {upper:.3f})"
            for value, lower, upper in rows[[name, f"{name}_lower", f"{name}_upper"]].itertuples(index=False)
        ]
        for name, title in (("accuracy", "accuracy"), ("macro_f1", "macro F1"))
    }
    return markdown(pd.DataFrame(columns, rows.index), "predictor")


def sizes_table(record: Mapping[str, Any]) -> str:
    """Macro F1 of human cells by set, predictor and size of the panel, mean over seeds with the standard deviation."""
    rows = pd.DataFrame(record["rows"])
    rows = rows[rows["set"] != _TISSUE]
    rows = rows.assign(row=rows["set"] + ": " + rows["predictor"])
    is_whole = rows["predictor"] == "all genes"
    cells = rows.groupby(["row", "n_genes"], sort=False)["macro_f1"].agg(
        lambda values: f"{values.mean():.3f} ± {values.std():.3f}"
    )
    table = (
        cells[~cells.index.get_level_values("row").isin(rows["row"][is_whole])].unstack("n_genes").sort_index(axis=1)
    )
    whole = cells.groupby(level="row", sort=False).first()[rows["row"][is_whole].unique()]
    parts = []
    for name in rows["set"].unique():
        parts.append(table[table.index.str.startswith(f"{name}: ")])
        of_all = pd.DataFrame(
            [[""] * table.shape[1]], [f"{name}: all genes, {whole[f'{name}: all genes']}"], table.columns
        )
        parts.append(of_all)
    return markdown(pd.concat(parts).rename(columns="{} genes".format), "macro F1")
