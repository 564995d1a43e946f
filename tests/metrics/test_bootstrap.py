"""Intervals by the bootstrap over cells."""

import numpy as np
import pytest

from scmpt_scverse import metrics

RNG = np.random.default_rng(0)
TRUTH = RNG.choice(["B", "T", "NK"], 200)
GOOD = np.where(RNG.random(200) < 0.8, TRUTH, "B")
SILENT = np.where(RNG.random(200) < 0.5, TRUTH, "Unknown")


def test_figures_are_those_of_the_cells_and_lie_in_their_intervals() -> None:
    table = metrics.bootstrap_metrics(TRUTH, {"good": GOOD, "silent": SILENT})
    for name, predicted in (("good", GOOD), ("silent", SILENT)):
        expected = metrics.classification_metrics(TRUTH, predicted)
        for metric in ("accuracy", "macro_f1"):
            row = table.loc[name]
            assert row[metric] == pytest.approx(expected[metric])
            assert row[f"{metric}_lower"] < row[metric] < row[f"{metric}_upper"]
    assert (table["n_cells"] == 200).all()
    again = metrics.bootstrap_metrics(TRUTH, {"good": GOOD, "silent": SILENT})
    assert table.equals(again)


def test_interval_has_the_width_of_a_binomial() -> None:
    row = metrics.bootstrap_metrics(TRUTH, {"good": GOOD}, n_resamples=4000).loc["good"]
    expected = 2 * 1.96 * np.sqrt(row["accuracy"] * (1 - row["accuracy"]) / 200)
    assert row["accuracy_upper"] - row["accuracy_lower"] == pytest.approx(expected, rel=0.1)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="found 0 true labels"):
        metrics.bootstrap_metrics([], {"good": []})
    with pytest.raises(ValueError, match=r"found 2 true labels and \{'good': 1\} predictions"):
        metrics.bootstrap_metrics(["B", "T"], {"good": ["B"]})
