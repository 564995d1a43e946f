from typing import Any

import numpy as np
import pandas as pd
import pytest

from scmpt_scverse import metrics, pl


@pytest.fixture
def summary() -> pd.DataFrame:
    table = pd.DataFrame(
        {"predictor": list("aabbc"), "replicate": [0, 1, 0, 1, 0], "macro_f1": [0.5, 0.7, 0.8, 0.9, 0.1], "ece": 0.05}
    )
    return metrics.replicate_summary(table)


def test_points_and_intervals_in_the_order_of_the_means(summary: pd.DataFrame) -> None:
    ax = pl.evaluation(summary, show=False)

    assert [label.get_text() for label in ax.get_yticklabels()] == ["c", "a", "b"]
    np.testing.assert_allclose(np.asarray(ax.lines[0].get_xdata(), dtype=float), [0.1, 0.6, 0.85])
    drawn: Any = ax.containers[0]
    ends = drawn.lines[2][0].get_segments()[-1][:, 0]
    row = summary[(summary["predictor"] == "b") & (summary["metric"] == "macro_f1")].iloc[0]
    np.testing.assert_allclose(ends, [row["lower"], row["upper"]])
    assert ax.get_xlabel() == "macro F1"


def test_another_metric_and_unusable_tables(summary: pd.DataFrame) -> None:
    assert pl.evaluation(summary, metric="ece", show=False).get_xlabel() == "ECE"
    with pytest.raises(ValueError, match="Unknown `metric='accuracy'`. Choose one of 'macro_f1', 'ece'"):
        pl.evaluation(summary, metric="accuracy")
    with pytest.raises(KeyError, match="No 'lower' in `summary`.* Pass what `metrics.replicate_summary` returns"):
        pl.evaluation(summary.drop(columns="lower"))
    with pytest.raises(ValueError, match="found several for 'a', 'b', 'c'"):
        pl.evaluation(pd.concat([summary, summary]))
