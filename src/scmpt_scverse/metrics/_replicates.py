"""From metrics of several splits or seeds to means with intervals."""

from collections.abc import Sequence

import pandas as pd

from scmpt_scverse._checks import check_key, check_table, list_some
from scmpt_scverse._labels import label_text
from scmpt_scverse._statistics import mean_interval


def replicate_summary(
    table: pd.DataFrame, *, by: str | Sequence[str] = "predictor", replicate: str = "replicate"
) -> pd.DataFrame:
    """Mean of every metric over replicates, with its 95 % interval.

    Parameters
    ----------
    table
        One row per replicate of whatever `by` names; numeric columns are the metrics, at least one.
    by
        Column or columns that name what is compared.
    replicate
        Column that numbers the replicates; not a metric.

    Returns
    -------
    One row per group and metric, in the order of the table: the columns of `by`, then `metric`, `mean`, `lower`,
    `upper` and `n_replicates`. With one replicate the interval is NaN; replicates in which the metric is NaN do not
    count.

    Raises
    ------
    TypeError
        `table` is not a DataFrame.
    KeyError
        A column is missing.
    ValueError
        A replicate occurs twice, a row has no name, two columns have one name, or no column is a metric.

    Notes
    -----
    The interval is that of Student's t. Folds of one cross-validation share most of their training cells, so their
    results are not independent, and results on new donors vary more than this interval says.

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
    metrics = table.drop(columns=[*columns, replicate]).infer_objects().select_dtypes("number").columns
    if metrics.empty:
        raise ValueError(
            f"Expected metrics, columns of numbers, in `table`; found none among {list_some(table.columns)}. Convert "
            "columns of text with `pandas.to_numeric`."
        )
    rows = [
        {**dict(zip(columns, names, strict=True)), "metric": metric, **mean_interval(group[metric])}
        for names, group in table.groupby(columns, sort=False, observed=True)
        for metric in metrics
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
        One row per predictor and replicate.
    reference
        Predictor that the others are compared with.
    metric
        Column of the metric to compare.
    by, replicate
        Columns that name predictors and replicates.

    Returns
    -------
    One row for each other predictor: index `by`, columns `mean` (its metric minus that of the reference), `lower`,
    `upper` and `n_replicates` (those that both have).

    Raises
    ------
    TypeError
        `table` is not a DataFrame, or `metric` is not a column of numbers.
    KeyError
        A column or the reference is missing.
    ValueError
        A replicate occurs twice, a row has no name, two columns have one name, or there is no other predictor.

    Notes
    -----
    A split that is hard for one predictor is hard for the others, so differences within splits vary less than the
    metric itself. The interval rests on the assumption of :func:`replicate_summary`.
    """
    _check_replicates(table, [by], replicate, metric)
    wide = table.pivot(index=replicate, columns=by, values=metric)
    columns = {label_text(name): name for name in table[by].unique()}
    check_key(label_text(reference), columns, f"table[{by!r}]")
    compared_with = columns.pop(label_text(reference))
    if not columns:
        raise ValueError(
            f"Expected other predictors in `table[{by!r}]` to compare with {reference!r}; found none. Pass the rows of "
            "at least two."
        )
    rows = {name: mean_interval(wide[name] - wide[compared_with]) for name in columns.values()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "lower", "upper", "n_replicates"]).rename_axis(
        by
    )


def _check_replicates(table: pd.DataFrame, by: list[str], replicate: str, metric: str | None = None) -> None:
    named = [*by, replicate, *([] if metric is None else [metric])]
    if not by or len(set(named)) < len(named):
        raise ValueError(
            f"Expected different columns for what is compared, the replicate and the metric; found {list_some(named)}. "
            "Name each column once."
        )
    numbers = [] if metric is None else [metric]
    table = check_table(table, (*by, replicate), "table", "`model.cross_validate`", numbers=numbers)
    unnamed = [column for column in (*by, replicate) if table[column].isna().any()]
    if unnamed:
        raise ValueError(
            f"Expected a value in every row of {list_some(unnamed)}; found missing ones. Leave these rows out, or fill "
            "them in."
        )
    twice = table[table.duplicated([*by, replicate])]
    if len(twice):
        raise ValueError(
            f"Expected one row for each replicate; found {list_some(twice[by[0]].unique(), limit=3)} more than once in "
            f"replicate {list_some(twice[replicate].unique(), limit=3)}. Name every column that distinguishes rows in "
            "`by`."
        )
