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
    """Macro F1 by task and predictor with its 95 % interval over cells, means over seeds, for both names of genes."""
    rows = pd.DataFrame(record["rows"])
    rows["row"] = rows["task"] + ": " + rows["predictor"].replace(_PREDICTORS)
    columns = ["macro_f1", "macro_f1_lower", "macro_f1_upper"]
    means = rows.reindex(columns=["row", "names", *columns]).groupby(["row", "names"], sort=False).mean()
    text = means.apply(lambda each: "{:.3f} ({:.2f} to {:.2f})".format(*each).replace(" (nan to nan)", ""), axis=1)
    table = text.unstack("names")
    return markdown(table.loc[list(dict.fromkeys(rows["row"])), list(dict.fromkeys(rows["names"]))], "macro F1")
