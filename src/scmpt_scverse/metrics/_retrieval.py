"""How well texts find cells, and cells find texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from scmpt_scverse._checks import check_positive, check_same_cells, list_some, type_name
from scmpt_scverse._labels import checked_labels, given_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import BoolArray, FloatArray, StrArray

_DIRECTIONS = ("cell to text", "text to cell")


def retrieval_metrics(
    y_true: "ArrayLike",
    scores: pd.DataFrame,
    *,
    groups: "ArrayLike | None" = None,
    k: Sequence[int] = (1, 5, 10, 50),
) -> pd.DataFrame:
    """Recall among the first k and AUROC, from cells to texts and from texts to cells.

    Parameters
    ----------
    y_true
        The text of each cell, such as its label, shape `(n_obs,)`; compared with the columns as text.
    scores
        Of each cell and text, shape `(n_obs, n_texts)`, in the same order; higher is more alike. Rows with a missing
        value, as of a cell that cannot be read, are left out.
    groups
        Cluster of each cell, shape `(n_obs,)`. Then clusters take the place of cells: the scores of one are the means
        over its cells, its text is the most frequent one. They are found more easily than cells. Do not pass true
        labels here: averages over them know the answer.
    k
        How many of the best are looked at.

    Returns
    -------
    One row per direction, index `direction`, `"cell to text"` (or `"group to text"`) and `"text to cell"`; columns

    `recall_at_<k>`
        Share of cells whose text is among the `k` best of all texts; share of texts with one of their cells among the
        `k` best of all cells. In [0, 1].
    `auroc`
        Probability that what belongs to the query scores higher than what does not, mean over queries; 0.5 is chance.
        NaN where everything belongs to it, or nothing.
    `n_queries`, `n_candidates`
        Cells and texts, or texts that some cell has and cells.

    Raises
    ------
    TypeError
        `scores` is not a DataFrame, or an argument holds no labels.
    ValueError
        Cells differ in number or order, two columns are one text, no cell is left, or no cell has one of the texts.

    Notes
    -----
    Equal scores count against the one that is looked for, so that constant scores find nothing.

    Examples
    --------
    >>> import pandas as pd
    >>> from scmpt_scverse import metrics
    >>> scores = pd.DataFrame({"B": [0.9, 0.2, 0.1], "T": [0.1, 0.8, 0.7], "NK": [0.0, 0.1, 0.9]})
    >>> metrics.retrieval_metrics(["B", "T", "T"], scores, k=[1])["recall_at_1"].round(2).to_dict()
    {'cell to text': 0.67, 'text to cell': 1.0}
    """
    if not isinstance(scores, pd.DataFrame):
        raise TypeError(
            f"Expected a DataFrame as `scores`, a column per text; found {type_name(scores)}. Name the columns."
        )
    for each in k:
        check_positive(each, "k")
    truth = checked_labels(y_true, "y_true")
    columns = given_labels(scores.columns, "scores.columns")
    if len(set(columns)) < len(columns):
        raise ValueError(f"Expected a column per text; found some twice among {list_some(columns)}. Drop one.")
    values = scores.to_numpy(dtype=np.float64, na_value=np.nan)
    if len(values) != len(truth):
        raise ValueError(f"Expected scores of {len(truth)} cells; found {len(values)} rows. Pass the same cells.")
    check_same_cells(y_true, scores, ("y_true", "scores"))
    is_kept = ~np.isnan(values).any(axis=1)
    names = None if groups is None else checked_labels(groups, "groups")
    if names is not None and len(names) != len(truth):
        raise ValueError(f"Expected the group of {len(truth)} cells; found {len(names)}. Pass the same cells.")
    truth, values = truth[is_kept], values[is_kept]
    if names is not None:
        truth, values = _by_group(truth, values, names[is_kept])
    belongs = truth[:, None] == np.array(columns, dtype=object)[None, :]
    if not belongs.any():
        raise ValueError(
            f"Expected cells of the texts {list_some(columns)}; found {list_some(sorted(set(truth)))}. Pass scores "
            "whose columns are the texts of cells."
        )
    has_text, has_cell = belongs.any(axis=1), belongs.any(axis=0)
    found = [
        _of_queries(values[has_text], belongs[has_text], k),
        _of_queries(values[:, has_cell].T, belongs[:, has_cell].T, k),
    ]
    names_of_rows = [name if groups is None else name.replace("cell", "group") for name in _DIRECTIONS]
    return pd.DataFrame(found, index=pd.Index(names_of_rows, name="direction"))


def _by_group(truth: "StrArray", values: "FloatArray", groups: "StrArray") -> "tuple[StrArray, FloatArray]":
    """The most frequent text of each group, and its mean scores."""
    table = pd.DataFrame({"truth": truth, "group": groups})
    most = table.groupby("group")["truth"].agg(lambda texts: texts.value_counts().sort_index().idxmax())
    means = pd.DataFrame(values).groupby(table["group"]).mean()
    return most.to_numpy(dtype=object), means.to_numpy()


def _of_queries(values: "FloatArray", belongs: "BoolArray", k: Sequence[int]) -> dict[str, float]:
    """Metrics of queries in rows and candidates in columns; each query has a candidate that belongs to it."""
    # Rank 1 is the best; of equal scores each has the last rank.
    ranks = rankdata(-values, method="max", axis=1)
    first = np.where(belongs, ranks, np.inf).min(axis=1)
    n_right = belongs.sum(axis=1)
    n_wrong = belongs.shape[1] - n_right
    # Of Mann and Whitney: how often a wrong candidate is below a right one, ties half.
    middle = rankdata(values, method="average", axis=1)
    below = np.where(belongs, middle, 0).sum(axis=1) - n_right * (n_right + 1) / 2
    is_defined = n_wrong > 0
    auroc = (below[is_defined] / (n_right * n_wrong)[is_defined]).mean() if is_defined.any() else np.nan
    return {
        **{f"recall_at_{each}": float((first <= each).mean()) for each in k},
        "auroc": float(auroc),
        "n_queries": float(len(values)),
        "n_candidates": float(belongs.shape[1]),
    }
