"""The table about cells of another species, from `results/species.json`."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from _markdown import markdown

_PREDICTORS = {
    "expression_logistic_regression": "logistic regression",
    "pca_logistic_regression": "logistic regression, HVG + PCA",
    "celltypist": "CellTypist",
    "SCMMGPT, none": "SCMMGPT, raw",
    "SCMMGPT, self-train": "SCMMGPT, refined",
}


def species_table(record: Mapping[str, Any]) -> str:
    """Macro F1 by task and predictor, mean over seeds with the standard deviation, for both ways to name genes."""
    rows = pd.DataFrame(record["rows"])
    rows["row"] = rows["task"] + ": " + rows["predictor"].replace(_PREDICTORS)
    groups = rows.groupby(["row", "names"], sort=False)["macro_f1"]
    text = groups.agg(lambda values: f"{values.mean():.3f}" + (f" ± {values.std():.3f}" if len(values) > 1 else ""))
    table = text.unstack("names")
    return markdown(table.loc[list(dict.fromkeys(rows["row"])), list(dict.fromkeys(rows["names"]))], "macro F1")
