"""Intervals by the bootstrap over cells."""

import numpy as np
import pytest

from scmpt_scverse import metrics

RNG = np.random.default_rng(0)
TRUTH = RNG.choice(["B", "T", "NK"], 200)
GOOD = np.where(RNG.random(200) < 0.8, TRUTH, "B")
SILENT = np.where(RNG.random(200) < 0.5, TRUTH, "Unknown")


def test_values_are_those_of_the_cells_and_lie_in_their_intervals() -> None:
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
    other = metrics.bootstrap_metrics(TRUTH, {"good": GOOD}, seed=1)
    assert other.loc["good", "accuracy"] == table.loc["good", "accuracy"]
    assert other.loc["good", "macro_f1_lower"] != table.loc["good", "macro_f1_lower"]


def test_predictors_share_resamples_and_resamples_are_those_of_the_seed() -> None:
    table = metrics.bootstrap_metrics(TRUTH, {"one": GOOD, "two": GOOD}, n_resamples=130)
    assert table.loc["one"].equals(table.loc["two"])
    rng = np.random.default_rng(0)
    resamples = [rng.integers(200, size=200) for _ in range(130)]
    for metric in ("accuracy", "macro_f1"):
        values = [metrics.classification_metrics(TRUTH[rows], GOOD[rows])[metric] for rows in resamples]
        expected = np.quantile(values, [0.025, 0.975])
        assert table.loc["one", [f"{metric}_lower", f"{metric}_upper"]].tolist() == pytest.approx(expected.tolist())


def test_a_perfect_predictor_is_perfect_in_every_resample() -> None:
    row = metrics.bootstrap_metrics([1.0, 2.0, 1.0], {"perfect": ["1", "2", "1"]}).loc["perfect"]
    assert row.drop("n_cells").tolist() == [1.0] * 6


def test_interval_has_the_width_of_a_binomial() -> None:
    row = metrics.bootstrap_metrics(TRUTH, {"good": GOOD}, n_resamples=4000).loc["good"]
    expected = 2 * 1.96 * np.sqrt(row["accuracy"] * (1 - row["accuracy"]) / 200)
    assert row["accuracy_upper"] - row["accuracy_lower"] == pytest.approx(expected, rel=0.1)


def test_a_single_cell_has_no_interval() -> None:
    row = metrics.bootstrap_metrics(["B"], {"good": ["B"]}).loc["good"]
    assert row["accuracy"] == 1
    assert row[["accuracy_lower", "accuracy_upper", "macro_f1_lower", "macro_f1_upper"]].isna().all()


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="at least one; found 0 true labels"):
        metrics.bootstrap_metrics([], {"good": []})
    with pytest.raises(ValueError, match=r"found 2 true labels and \{'good': 1\} predictions"):
        metrics.bootstrap_metrics(["B", "T"], {"good": ["B"]})
