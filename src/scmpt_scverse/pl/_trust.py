"""Contributions of modalities, and novelty of cells."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_key
from scmpt_scverse._labels import distinct_labels, labels_or
from scmpt_scverse._slots import DEFAULT_KEY_ADDED, PredictionKeys
from scmpt_scverse.pl._figure import new_axes, show_if_asked

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

_INCHES_PER_LABEL = 0.32
_N_BINS = 20
_HINT = " Run `model.annotate(adata)` first."


def contributions(
    adata: "AnnData",
    groupby: str | None = None,
    *,
    key: str = DEFAULT_KEY_ADDED,
    ax: "Axes | None" = None,
    show: bool | None = None,
) -> "Axes":
    """Mean contribution of each modality to the predicted label, by group.

    Parameters
    ----------
    adata
        Annotated cells; `.obs` and `.obsm["<key>_contributions"]` are read.
    groupby
        Column of `.obs`; `None` takes the predicted label. Cells without one are left out.
    key
        Prefix that :meth:`scmpt_scverse.SCMPT.annotate` wrote under.
    ax
        Axes to draw on; `None` makes a figure whose size fits the number of groups.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes: a bar for each group and modality, in natural units of log-probability.

    Raises
    ------
    KeyError
        `groupby` is not in `.obs`, or the contributions are not in `.obsm`.
    """
    keys = PredictionKeys.from_prefix(key)
    groupby = groupby if groupby is not None else keys.prediction
    check_key(groupby, adata.obs.columns, "adata.obs", hint=_HINT)
    check_key(keys.contributions, adata.obsm.keys(), "adata.obsm", hint=_HINT)
    table: pd.DataFrame = adata.obsm[keys.contributions]
    means = table.groupby(labels_or(adata.obs[groupby], "")).mean().reindex(distinct_labels(adata.obs[groupby]))
    means = means.dropna(how="all")
    n_groups, n_modalities = means.shape
    if ax is None:
        ax = new_axes((6.5, 1.2 + _INCHES_PER_LABEL * n_groups * max(1.0, n_modalities / 2)))
    height = 0.8 / n_modalities
    for place, name in enumerate(means):
        ax.barh(np.arange(n_groups) + (place - (n_modalities - 1) / 2) * height, means[name], height, label=str(name))
    ax.set_yticks(range(n_groups), list(means.index))
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("contribution to the log-probability of the label")
    ax.legend(title="modality", loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    show_if_asked(show)
    return ax


def novelty(
    adata: "AnnData",
    groupby: str | None = None,
    *,
    key: str = DEFAULT_KEY_ADDED,
    ax: "Axes | None" = None,
    show: bool | None = None,
) -> "Axes":
    """Histogram of novelty.

    Parameters
    ----------
    adata
        Annotated cells; only `.obs` is read.
    groupby
        Column of `.obs` with few groups, such as a batch, one line each; `None` draws all cells together.
    key, ax, show
        As in :func:`contributions`.

    Returns
    -------
    The axes; cells without a group are left out. For cells like those that the model was trained on, all heights are
    about the same, which a dashed line shows; cells of other kinds pile up on the right.

    Raises
    ------
    KeyError
        `groupby` or the novelty is not in `.obs`.
    """
    novelty_key = PredictionKeys.from_prefix(key).novelty
    check_key(novelty_key, adata.obs.columns, "adata.obs", hint=_HINT)
    if groupby is not None:
        check_key(groupby, adata.obs.columns, "adata.obs")
        groups, names = labels_or(adata.obs[groupby], ""), distinct_labels(adata.obs[groupby])
    else:
        groups, names = np.full(adata.n_obs, "all cells", dtype=object), ["all cells"]
    if ax is None:
        ax = new_axes((5.5, 3.5))
    edges = np.linspace(0, 1, _N_BINS + 1)
    for name in names:
        shares, _ = np.histogram(adata.obs[novelty_key][groups == name].dropna(), edges)
        ax.stairs(shares / max(shares.sum(), 1), edges, label=f"{name} ({shares.sum()})", linewidth=1.5)
    ax.axhline(1 / _N_BINS, color="grey", linestyle="--", linewidth=0.8)
    ax.set_xlabel("novelty")
    ax.set_ylabel("share of cells")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    show_if_asked(show)
    return ax
