"""Contributions of modalities, and novelty of cells."""

from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse._checks import check_cells, check_key, check_table
from scmpt_scverse._labels import distinct_labels, labels_or
from scmpt_scverse._slots import DEFAULT_KEY_ADDED, PredictionKeys
from scmpt_scverse.pl._figure import (
    axes_or_new,
    group_colours,
    legend_beside,
    legend_width,
    modality_colours,
    name_rows,
    shares,
    shortened,
    show_if_asked,
)

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
    ValueError
        No cell has a group and contributions.
    """
    check_cells(adata, mudata_ok=True)
    keys = PredictionKeys.from_prefix(key)
    groupby = groupby if groupby is not None else keys.prediction
    check_key(groupby, adata.obs.columns, "adata.obs", hint=_HINT)
    check_key(keys.contributions, adata.obsm.keys(), "adata.obsm", hint=_HINT)
    where, given = f"adata.obsm[{keys.contributions!r}]", adata.obsm[keys.contributions]
    table = check_table(given, (), where, "`model.annotate`", numbers=getattr(given, "columns", ()))
    means = table.groupby(labels_or(adata.obs[groupby], "")).mean().reindex(distinct_labels(adata.obs[groupby]))
    means = means.dropna(how="all")
    if means.empty:
        raise ValueError(
            f"Expected cells with a group in `adata.obs[{groupby!r}]` and contributions; found none among "
            f"{adata.n_obs}. Pass another `groupby=`."
        )
    n_groups, n_modalities = means.shape
    ax = axes_or_new(ax, (6.5, 1.2 + _INCHES_PER_LABEL * n_groups * max(1.0, n_modalities / 2)))
    height = 0.8 / n_modalities
    colours = modality_colours(means)
    for place, name in enumerate(means):
        rows = np.arange(n_groups) + (place - (n_modalities - 1) / 2) * height
        ax.barh(rows, means[name], height, label=name, color=colours[name])
    name_rows(ax, shortened(means.index))
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("contribution to the log-probability of the label")
    legend_beside(ax, "modality")
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
        Column of `.obs` with groups, such as a batch, one line each, in the colours that scanpy keeps for the column;
        `None` draws all cells together.
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
    ValueError
        No cell has a group and a novelty, or a novelty is not in [0, 1].
    """
    check_cells(adata, mudata_ok=True)
    novelty_key = PredictionKeys.from_prefix(key).novelty
    scores = shares(adata, novelty_key, _HINT)
    if groupby is not None:
        check_key(groupby, adata.obs.columns, "adata.obs")
        groups, names = labels_or(adata.obs[groupby], ""), distinct_labels(adata.obs[groupby])
        colours = group_colours(adata, groupby, names)
    else:
        groups, names, colours = np.full(adata.n_obs, "all cells", dtype=object), ["all cells"], ["C0"]
    edges = np.linspace(0, 1, _N_BINS + 1)
    counts = {name: np.histogram(scores[(groups == name) & np.isfinite(scores)], edges)[0] for name in names}
    drawn = [name for name in names if counts[name].sum()]
    if not drawn:
        where = "" if groupby is None else f" and a group in `adata.obs[{groupby!r}]`"
        raise ValueError(
            f"Expected cells with a value in `adata.obs[{novelty_key!r}]`{where}; found none among {adata.n_obs}. "
            "Train with labelled cells and annotate again, or pass another `groupby=`."
        )
    legend = [f"{name} ({counts[other].sum()})" for name, other in zip(shortened(drawn), drawn, strict=True)]
    ax = axes_or_new(ax, (4.3 + legend_width(legend), 3.5))
    for name, label in zip(drawn, legend, strict=True):
        ax.stairs(
            counts[name] / counts[name].sum(), edges, label=label, linewidth=1.5, color=colours[names.index(name)]
        )
    ax.axhline(1 / _N_BINS, color="grey", linestyle="--", linewidth=0.8)
    ax.set_xlabel("novelty")
    ax.set_ylabel("share of cells")
    legend_beside(ax)
    show_if_asked(show)
    return ax
