"""From figures of several splits or seeds to a mean with an interval."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from scmpt_scverse._checks import check_key, list_some

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_COVERAGE = 0.95


def replicate_summary(
    table: pd.DataFrame, *, by: str | Sequence[str] = "predictor", replicate: str = "replicate"
) -> pd.DataFrame:
    """Mean of every figure over replicates, with its 95 % interval.

    Parameters
    ----------
    table
        One row a replicate of whatever `by` names; columns of numbers are the figures.
    by
        Column or columns that name what is compared.
    replicate
        Column that numbers the replicates; no figure.

    Returns
    -------
    One row a group and figure, in the order of the table: the columns of `by`, then `metric`, `mean`, `lower`,
    `upper` and `n_replicates`. With one replicate the interval is NaN; replicates in which the figure is NaN do not
    count.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        A replicate occurs twice.

    Notes
    -----
    The interval is that of Student's t. Folds of one cross-validation share most of their training cells, so their
    figures are not independent, and the interval of figures on new donors is wider than this one.

    Examples
    --------
    >>> import pandas as pd
    >>> from scmpt_scverse import metrics
    >>> table = pd.DataFrame({"predictor": ["a", "a", "b", "b"], "replicate": [0, 1, 0, 1], "f1": [0.5, 0.7, 0.9, 0.9]})
    >>> metrics.replicate_summary(table)[["predictor", "metric", "mean"]]
      predictor metric  mean
    0         a     f1   0.6
    1         b     f1   0.9
    """
    columns = [by] if isinstance(by, str) else list(by)
    _check_replicates(table, columns, replicate)
    figures = table.drop(columns=[*columns, replicate]).select_dtypes("number").columns
    rows = [
        {**dict(zip(columns, names, strict=True)), "metric": figure, **mean_interval(group[figure])}
        for names, group in table.groupby(columns, sort=False, observed=True)
        for figure in figures
    ]
    return pd.DataFrame(rows, columns=[*columns, "metric", "mean", "lower", "upper", "n_replicates"])


def paired_differences(
    table: pd.DataFrame,
    *,
    reference: str,
    metric: str,
    by: str = "predictor",
    replicate: str = "replicate",
) -> pd.DataFrame:
    """How much each predictor differs from a reference on the same replicates, with the 95 % interval.

    Parameters
    ----------
    table
        One row a predictor and replicate.
    reference
        Predictor that the others are compared with.
    metric
        Column of the figure to compare.
    by, replicate
        Columns that name predictors and replicates.

    Returns
    -------
    One row for each other predictor: index `by`, columns `mean` (its figure less that of the reference), `lower`,
    `upper` and `n_replicates` (those that both have).

    Raises
    ------
    KeyError
        A column or the reference is missing.
    ValueError
        A replicate occurs twice.

    Notes
    -----
    A split that is hard for one predictor is hard for the others, so differences within splits vary less than the
    figures do. The interval rests on the assumption of :func:`replicate_summary`.
    """
    _check_replicates(table, [by], replicate)
    check_key(metric, table.columns, "table")
    wide = table.pivot(index=replicate, columns=by, values=metric)
    check_key(reference, wide.columns, f"table[{by!r}]")
    others = [name for name in table[by].unique() if name != reference]
    rows = {name: mean_interval(wide[name] - wide[reference]) for name in others}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "lower", "upper", "n_replicates"]).rename_axis(
        by
    )


def mean_interval(values: "ArrayLike") -> dict[str, float]:
    """Mean of some figures without NaN and its 95 % interval by Student's t; NaN where there is no saying."""
    figures = np.asarray(values, dtype=np.float64)
    figures = figures[~np.isnan(figures)]
    n = len(figures)
    mean = float(figures.mean()) if n else float("nan")
    has_margin = n > 1 and np.isfinite(mean)  # a likelihood can be infinite
    margin = float(stats.t.ppf((1 + _COVERAGE) / 2, n - 1) * stats.sem(figures)) if has_margin else float("nan")
    return {"mean": mean, "lower": mean - margin, "upper": mean + margin, "n_replicates": n}


def _check_replicates(table: pd.DataFrame, by: list[str], replicate: str) -> None:
    for column in (*by, replicate):
        check_key(column, table.columns, "table")
    twice = table[table.duplicated([*by, replicate])]
    if len(twice):
        raise ValueError(
            f"Expected one row for each replicate; found {list_some(twice[by[0]].unique(), limit=3)} more than once in "
            f"replicate {twice[replicate].iloc[0]!r}. Name all that tells the rows apart in `by`."
        )
