"""How training went."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from scmpt_scverse._checks import checked_numbers, list_some, type_name
from scmpt_scverse.pl._figure import axes_or_new, show_if_asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Training loss by epoch: of SCMPT, and of models of scvi-tools that also log it by step.
_TRAINING = ("train_loss", "train_loss_epoch")
_VALIDATION = "validation_loss"
_ACCURACY = "validation_accuracy"


def training_curve(
    history: Mapping[str, pd.DataFrame] | None, *, ax: "Axes | None" = None, show: bool | None = None
) -> "Axes":
    """Loss by epoch in training and validation, validation accuracy beside it, and the best epoch.

    Parameters
    ----------
    history
        `model.history`: a DataFrame by epoch under `train_loss` (or `train_loss_epoch`), `validation_loss` and
        `validation_accuracy`, of which those that are there are drawn.
    ax
        Axes to draw on; `None` makes a figure.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes of the losses; accuracy has its own scale on the right. A vertical line marks the epoch with the lowest
    validation loss.

    Raises
    ------
    ValueError
        `history` is `None` (the model was not trained), or has neither loss or no epoch.
    TypeError
        `history` is no mapping of tables of numbers.
    """
    if history is None:
        raise ValueError("Expected the history of a trained model; found `None`. Run `model.train()` first.")
    if not isinstance(history, Mapping):
        raise TypeError(f"Expected `model.history`; found {type_name(history)}. Pass `model.history`.")
    training = next((key for key in _TRAINING if key in history), None)
    if training is None and _VALIDATION not in history:
        expected = list_some([*_TRAINING, _VALIDATION])
        raise ValueError(f"Expected one of {expected} in `history`; found {list_some(history)}. Pass `model.history`.")
    ax = axes_or_new(ax, (6.0, 3.6))
    if training is not None:
        loss = _values(history, training)
        ax.plot(loss.index, loss, color="C0", label="training loss")
    if _VALIDATION in history:
        loss = _values(history, _VALIDATION)
        ax.plot(loss.index, loss, color="C1", label="validation loss")
        best = int(loss.idxmin())
        ax.axvline(best, color="grey", linestyle=":", label=f"best epoch ({best})")
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    ax.set_ylim(bottom=0)
    lines, names = ax.get_legend_handles_labels()
    if _ACCURACY in history:
        accuracy = _values(history, _ACCURACY)
        right = ax.twinx()
        lines += right.plot(accuracy.index, accuracy, color="C2", linestyle="--")
        names.append("validation accuracy")
        right.set_ylabel("accuracy")
        right.set_ylim(0, 1.02)
    ax.legend(lines, names, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    show_if_asked(show)
    return ax


def _values(history: Mapping[str, pd.DataFrame], key: str) -> pd.Series:
    """A metric by epoch, from the first column of its table."""
    where, table = f"history[{key!r}]", history[key]
    if isinstance(table, pd.Series):
        table = table.to_frame()
    if not isinstance(table, pd.DataFrame) or table.shape[1] == 0:
        raise TypeError(f"Expected a DataFrame by epoch in `{where}`; found {type_name(table)}. Pass `model.history`.")
    values = pd.Series(checked_numbers(table.iloc[:, 0], where, ndim=1), index=table.index).dropna()
    if values.empty:
        raise ValueError(f"Expected at least one epoch in `{where}`; found none. Train for more epochs.")
    return values
