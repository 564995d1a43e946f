"""Predicted against true labels."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_cells, check_key
from scmpt_scverse._labels import distinct_labels, labels_or
from scmpt_scverse._slots import DEFAULT_KEY_ADDED, PredictionKeys
from scmpt_scverse.pl._figure import INCHES_PER_LETTER, axes_or_new, shortened, show_if_asked

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

#: With more labels than this the numbers in the fields no longer fit.
_MAX_ANNOTATED = 15
_INCHES_PER_LABEL = 0.36


def confusion_matrix(
    adata: "AnnData",
    labels_key: str,
    *,
    key: str = DEFAULT_KEY_ADDED,
    normalize: bool = True,
    ax: "Axes | None" = None,
    show: bool | None = None,
) -> "Axes":
    """How often cells of each true label were given each label.

    Parameters
    ----------
    adata
        Annotated cells; only `.obs` is read.
    labels_key
        Column of `.obs` with true labels. Cells without one are left out.
    key
        Prefix that :meth:`scmpt_scverse.SCMPT.annotate` wrote under: `.obs["<key>_prediction"]` is read.
    normalize
        Colour by the share of the row, in [0, 1]; otherwise by the number of cells.
    ax
        Axes to draw on; `None` makes a figure whose size fits the number of labels.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes. Rows are the true labels that occur. Columns are the same labels in the same order, then what else was
    predicted, such as the unlabeled category of rejected cells. Up to 15 labels, numbers are written in the fields.

    Raises
    ------
    KeyError
        `labels_key` or the prediction is not in `.obs`.
    ValueError
        No cell has both.
    """
    check_cells(adata, mudata_ok=True)
    prediction_key = PredictionKeys.from_prefix(key).prediction
    check_key(labels_key, adata.obs.columns, "adata.obs")
    check_key(prediction_key, adata.obs.columns, "adata.obs", hint=" Run `model.annotate(adata)` first.")
    counts = _count(adata.obs[labels_key], adata.obs[prediction_key])
    if counts.empty:
        raise ValueError(
            f"Expected cells with a label in `adata.obs[{labels_key!r}]` and a prediction; found none among "
            f"{adata.n_obs}. Pass cells whose labels are known."
        )
    values = counts.div(counts.sum(axis=1), axis=0) if normalize else counts
    n_rows, n_columns = values.shape
    names = shortened(values.columns)  # the rows first, in the same order
    labels_width = INCHES_PER_LETTER * max(map(len, names))
    height = n_rows * _INCHES_PER_LABEL + labels_width + 1
    ax = axes_or_new(ax, (n_columns * _INCHES_PER_LABEL + labels_width + 2, height))
    image = ax.imshow(values.to_numpy(dtype=float), cmap="Blues", vmin=0, vmax=1 if normalize else None)
    ax.figure.colorbar(image, ax=ax, shrink=0.6, label="share of true label" if normalize else "cells")
    ax.set_xticks(range(n_columns), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(n_rows), [f"{name} ({n})" for name, n in zip(names, counts.sum(axis=1), strict=False)])
    ax.set_xlabel("predicted label")
    ax.set_ylabel("true label (cells)")
    if max(n_rows, n_columns) <= _MAX_ANNOTATED:
        _write_numbers(ax, values, ".2f" if normalize else "d")
    show_if_asked(show)
    return ax


def _count(truth: pd.Series, predicted: pd.Series) -> pd.DataFrame:
    """Number of cells by true and predicted label; both in category order, columns that are no true label last."""
    pairs = pd.DataFrame({"true": labels_or(truth, ""), "predicted": labels_or(predicted, "")})
    pairs = pairs[(pairs != "").all(axis=1)]
    table = pd.crosstab(pairs["true"], pairs["predicted"])
    rows = [label for label in distinct_labels(truth) if label in table.index]
    further = [label for label in distinct_labels(predicted) if label in table.columns and label not in rows]
    return table.reindex(index=rows, columns=rows + further, fill_value=0)


def _write_numbers(ax: "Axes", values: pd.DataFrame, number_format: str) -> None:
    dark = values.to_numpy().max() / 2
    for row, column in np.argwhere(values.to_numpy() > 0):
        value = values.iat[row, column]
        ax.text(
            column,
            row,
            format(value, number_format),
            ha="center",
            va="center",
            fontsize="x-small",
            color="white" if value > dark else "black",
        )
