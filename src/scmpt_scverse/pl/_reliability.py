"""Confidence against accuracy."""

from typing import TYPE_CHECKING

import pandas as pd

from scmpt_scverse._checks import check_cells, check_key, check_positive
from scmpt_scverse._labels import labels_or
from scmpt_scverse._slots import DEFAULT_KEY_ADDED, PredictionKeys
from scmpt_scverse._statistics import N_BINS, reliability_bins
from scmpt_scverse.pl._figure import axes_or_new, shares, show_if_asked

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def reliability_diagram(
    adata: "AnnData",
    labels_key: str,
    *,
    key: str = DEFAULT_KEY_ADDED,
    n_bins: int = N_BINS,
    ax: "Axes | None" = None,
    show: bool | None = None,
) -> "Axes":
    """How often predictions of a given confidence are right; on the diagonal, the confidence is calibrated.

    Parameters
    ----------
    adata
        Annotated cells that were not trained on; only `.obs` is read.
    labels_key
        Column of `.obs` with true labels. Cells without one, and those without confidence, are left out.
    key
        Prefix that :meth:`scmpt_scverse.SCMPT.annotate` wrote under: `.obs["<key>_prediction"]` and
        `.obs["<key>_confidence"]` are read.
    n_bins
        Bins of equal width; those without cells are not drawn.
    ax
        Axes to draw on; `None` makes a figure.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes: one bar per bin as high as its accuracy, and a point at its mean confidence whose area is its share of the
    cells.

    Raises
    ------
    KeyError
        A column is not in `.obs`.
    ValueError
        No cell has a label, a prediction and a confidence, or a confidence is not in [0, 1].
    """
    check_cells(adata, mudata_ok=True)
    keys = PredictionKeys.from_prefix(key)
    check_positive(n_bins, "n_bins")
    check_key(labels_key, adata.obs.columns, "adata.obs")
    hint = " Run `model.annotate(adata)` first."
    check_key(keys.prediction, adata.obs.columns, "adata.obs", hint=hint)
    cells = pd.DataFrame(
        {
            "truth": labels_or(adata.obs[labels_key], ""),
            "predicted": labels_or(adata.obs[keys.prediction], ""),
            "confidence": shares(adata, keys.confidence, hint),
        }
    )
    cells = cells[(cells[["truth", "predicted"]] != "").all(axis=1) & cells["confidence"].notna()]
    if cells.empty:
        raise ValueError(
            f"Expected cells with a label in `adata.obs[{labels_key!r}]` and a confidence; found none among "
            f"{adata.n_obs}. Pass cells whose labels are known."
        )
    is_correct = cells["truth"] == cells["predicted"]
    bins = reliability_bins(cells["confidence"].to_numpy(), is_correct.to_numpy(), n_bins)
    ax = axes_or_new(ax, (4, 4))
    ax.bar(bins.index.left, bins["accuracy"], width=1 / n_bins, align="edge", color="C0", alpha=0.4, edgecolor="C0")
    ax.scatter(bins["confidence"], bins["accuracy"], s=200 * bins["n_cells"] / len(cells), color="C0")
    ax.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=1)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy", aspect="equal")
    ax.set_title(f"{len(cells)} cells", fontsize="medium")
    show_if_asked(show)
    return ax
