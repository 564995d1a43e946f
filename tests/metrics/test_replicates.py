import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scmpt_scverse import metrics


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 0.1, size=5)
    frames = [
        pd.DataFrame({"predictor": name, "replicate": range(5), "f1": mean + difficulty + rng.normal(0, 0.01, 5)})
        for name, mean in (("weak", 0.6), ("strong", 0.7))
    ]
    return pd.concat(frames, ignore_index=True).assign(n_cells=10)


def test_interval_is_that_of_students_t(table: pd.DataFrame) -> None:
    summary = metrics.replicate_summary(table).set_index(["predictor", "metric"])
    values = table.loc[table["predictor"] == "weak", "f1"]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    row = summary.loc[("weak", "f1")]
    assert row[["mean", "lower", "upper"]].tolist() == pytest.approx([values.mean(), expected.low, expected.high])
    assert row["n_replicates"] == 5
    assert summary.index.tolist() == [("weak", "f1"), ("weak", "n_cells"), ("strong", "f1"), ("strong", "n_cells")]


def test_pairs_are_told_apart_where_means_are_not(table: pd.DataFrame) -> None:
    means = metrics.replicate_summary(table).query("metric == 'f1'").set_index("predictor")
    assert means.loc["weak", "upper"] > means.loc["strong", "lower"]
    differences = metrics.paired_differences(table, reference="weak", metric="f1")
    assert differences.index.tolist() == ["strong"]
    difference = differences.loc["strong"]
    assert 0 < difference["lower"] < difference["mean"] < difference["upper"]
    assert difference["mean"] == pytest.approx(means.loc["strong", "mean"] - means.loc["weak", "mean"])


def test_one_replicate_has_no_interval_and_missing_values_do_not_count(table: pd.DataFrame) -> None:
    table.loc[[0, 1, 2, 3], "f1"] = np.nan
    row = metrics.replicate_summary(table).iloc[0]
    assert row["n_replicates"] == 1
    assert row["mean"] == table.loc[4, "f1"]
    assert np.isnan(row["lower"])
    assert metrics.paired_differences(table, reference="weak", metric="f1").loc["strong", "n_replicates"] == 1


def test_an_infinite_value_has_an_infinite_mean_and_no_interval(table: pd.DataFrame) -> None:
    table.loc[0, "f1"] = np.inf
    row = metrics.replicate_summary(table).iloc[0]
    assert row["mean"] == np.inf
    assert np.isnan(row["upper"])


def test_several_columns_name_a_row(table: pd.DataFrame) -> None:
    both = pd.concat([table.assign(cells="one"), table.assign(cells="two")])
    with pytest.raises(ValueError, match="one row for each replicate; found 'weak', 'strong' more than once"):
        metrics.replicate_summary(both)
    with pytest.raises(ValueError, match="found 'weak' more than once in replicate '3'"):
        metrics.replicate_summary(pd.concat([table, table.loc[[3]]]))
    summary = metrics.replicate_summary(both, by=["cells", "predictor"])
    assert summary.columns.tolist()[:3] == ["cells", "predictor", "metric"]
    assert len(summary) == 8


def test_what_is_missing_is_named(table: pd.DataFrame) -> None:
    with pytest.raises(KeyError, match="No 'best' in `table"):
        metrics.paired_differences(table, reference="best", metric="f1")
    with pytest.raises(KeyError, match="No 'split' in `table`"):
        metrics.replicate_summary(table, replicate="split")
