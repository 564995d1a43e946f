import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from scmpt_scverse import pl


def _by_epoch(key: str, values: list[float]) -> pd.DataFrame:
    return pd.DataFrame({key: pd.Series(values, dtype=object)}).rename_axis("epoch")


@pytest.fixture
def history() -> dict[str, pd.DataFrame]:
    return {
        "train_loss_epoch": _by_epoch("train_loss_epoch", [2.0, 1.0, 0.5, 0.2]),
        "validation_loss": _by_epoch("validation_loss", [2.1, 1.5, 1.2, 1.4]),
        "validation_accuracy": _by_epoch("validation_accuracy", [0.2, 0.5, 0.7, 0.8]),
    }


def _lines(ax: Axes) -> dict[str, list[float]]:
    return {str(line.get_label()): np.asarray(line.get_ydata(), dtype=float).tolist() for line in ax.lines}


def test_losses_accuracy_and_best_epoch_are_drawn(history: dict[str, pd.DataFrame]) -> None:
    ax = pl.training_curve(history, show=False)

    lines = _lines(ax)
    assert lines["training loss"] == [2.0, 1.0, 0.5, 0.2]
    assert lines["validation loss"] == [2.1, 1.5, 1.2, 1.4]
    best = next(line for line in ax.lines if str(line.get_label()).startswith("best"))
    assert np.asarray(best.get_xdata()).tolist() == [2, 2]
    right = next(other for other in ax.figure.axes if other is not ax)
    assert np.asarray(right.lines[0].get_ydata()).tolist() == [0.2, 0.5, 0.7, 0.8]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "training loss",
        "validation loss",
        "best epoch (2)",
        "validation accuracy",
    ]


def test_training_loss_is_found_under_both_names(history: dict[str, pd.DataFrame]) -> None:
    both = {**history, "train_loss": _by_epoch("train_loss", [3.0, 2.0, 1.0, 0.9])}

    for given, expected in ((both, 3.0), ({"train_loss": both["train_loss"]}, 3.0), (history, 2.0)):
        assert _lines(pl.training_curve(given, show=False))["training loss"][0] == expected
    assert "validation loss" in _lines(pl.training_curve(both, show=False))


def test_without_validation_there_is_no_best_epoch(history: dict[str, pd.DataFrame]) -> None:
    ax = pl.training_curve({"train_loss_epoch": history["train_loss_epoch"]}, show=False)

    assert list(_lines(ax)) == ["training loss"]
    assert ax.figure.axes == [ax]


def test_validation_every_second_epoch_keeps_its_epochs(history: dict[str, pd.DataFrame]) -> None:
    history["validation_loss"] = history["validation_loss"].iloc[1::2]

    ax = pl.training_curve(history, show=False)

    assert np.asarray(ax.lines[1].get_xdata()).tolist() == [1, 3]
    assert "best epoch (3)" in _lines(ax)


def test_untrained_model_and_other_history_are_refused() -> None:
    with pytest.raises(ValueError, match=r"trained model; found `None`. Run `model.train\(\)` first"):
        pl.training_curve(None, show=False)
    with pytest.raises(ValueError, match="'train_loss_epoch', 'validation_loss' in `history`; found 'elbo_train'"):
        pl.training_curve({"elbo_train": pd.DataFrame()}, show=False)
