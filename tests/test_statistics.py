"""Reliability bins and intervals, which metrics and plots share."""

import numpy as np
import pytest
from scipy import stats

from scmpt_scverse._statistics import mean_interval, reliability_bins


def test_bins_are_closed_on_the_right_and_zero_belongs_to_the_first() -> None:
    confidence = np.array([0.0, 0.1, 0.5, 0.500001, 0.75, 1.0])
    bins = reliability_bins(confidence, np.array([True, False, True, False, True, True]), n_bins=4)
    assert [(interval.left, interval.right) for interval in bins.index] == [
        (0, 0.25),
        (0.25, 0.5),
        (0.5, 0.75),
        (0.75, 1),
    ]
    assert bins.index.closed == "right"
    assert bins["n_cells"].tolist() == [2, 1, 2, 1]
    assert bins["accuracy"].tolist() == [0.5, 1.0, 0.5, 1.0]
    assert bins["confidence"].tolist() == pytest.approx([0.05, 0.5, 0.6250005, 1.0])


def test_bins_without_cells_are_left_out() -> None:
    bins = reliability_bins(np.array([0.2, 0.9]), np.array([True, True]), n_bins=10)
    assert bins.index.left.tolist() == pytest.approx([0.1, 0.8])


def test_rounding_above_one_belongs_to_the_last_bin() -> None:
    bins = reliability_bins(np.array([1.0, 1 + 1e-7]), np.array([True, False]), n_bins=4)
    assert bins.index.right.tolist() == [1.0]
    assert bins["n_cells"].tolist() == [2]


def test_interval_is_that_of_students_t() -> None:
    values = [0.5, 0.7, 0.6, 0.9]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = mean_interval([*values, np.nan])
    assert found == pytest.approx({"mean": 0.675, "lower": expected.low, "upper": expected.high, "n_replicates": 4})
    assert mean_interval([0.3, 0.3]) == {"mean": 0.3, "lower": 0.3, "upper": 0.3, "n_replicates": 2}
    for few in ([], [0.3], [np.inf, 1.0]):
        assert np.isnan(mean_interval(few)["lower"])
