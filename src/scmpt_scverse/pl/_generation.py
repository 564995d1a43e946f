"""Pseudo-cells beside real cells: in one projection, and by the expression of their markers."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse

from scmpt_scverse._checks import check_cells, check_key, check_positive, list_some
from scmpt_scverse._labels import distinct_labels, labels_or
from scmpt_scverse.pl._figure import (
    INCHES_PER_LETTER,
    group_colours,
    shortened,
    show_if_asked,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scmpt_scverse._types import FloatArray, StrArray

#: Size of the projection, and of a violin and a gene, in inches.
_SIDE, _INCHES_PER_GROUP, _INCHES_PER_GENE = 5.0, 0.42, 0.95
#: More labels are named in a legend in columns of so many.
_LEGEND_ROWS = 18
_TOTAL = 1e4
#: Larger numbers are counts, or linear in them.
_LARGEST_LOGARITHM = 50
_VIOLIN_COLOURS = ("C7", "C0")


def generation(
    real: "AnnData",
    generated: "AnnData",
    genes: "Iterable[str] | None" = None,
    *,
    labels_key: str,
    n_genes: int = 4,
    show: bool | None = None,
) -> "tuple[Axes, ...]":
    """Pseudo-cells and real cells in one projection, and the expression of markers in both.

    Parameters
    ----------
    real
        Counts or log-normalised expression of real cells in `.X`, labels in `.obs[labels_key]`.
    generated
        Of :meth:`scmpt_scverse.SCMMGPT.generate`; labels in `.obs["label"]`.
    genes
        For the violins; `None` takes the genes whose mean differs most between labels of the real cells.
    labels_key
        Column of `real.obs`, with labels in the words that the pseudo-cells were asked for.
    n_genes
        How many genes, where `genes` is `None`.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes: two principal components of the real cells, in which pseudo-cells are crosses; then one for each gene,
    with two halves of a violin per label, real cells on the left.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        The data share no genes or labels, or a gene is missing.
    """
    for cells in (real, generated):
        check_cells(cells)
    check_key(labels_key, real.obs.columns, "real.obs")
    check_key("label", generated.obs.columns, "generated.obs", hint=" Pass what `model.generate` returned.")
    check_positive(n_genes, "n_genes")
    shared = [gene for gene in generated.var_names if gene in set(real.var_names)]
    names = [name for name in distinct_labels(real.obs[labels_key]) if name in set(generated.obs["label"])]
    if not shared or not names:
        what = "genes" if not shared else "labels"
        ours, others = (
            (real.var_names, generated.var_names)
            if not shared
            else (distinct_labels(real.obs[labels_key]), distinct_labels(generated.obs["label"]))
        )
        raise ValueError(
            f"Expected {what} that `real` and `generated` share; found {list_some(ours, 4)} and "
            f"{list_some(others, 4)}. Write them the same way in both."
        )
    values = [_logarithms(cells, shared) for cells in (real, generated)]
    labels = [labels_or(real.obs[labels_key], ""), labels_or(generated.obs["label"], "")]
    chosen = list(genes) if genes is not None else _telling(values[0], labels[0], names, shared, n_genes)
    for gene in chosen:
        check_key(gene, shared, "genes of both")
    axes = _axes(len(names), len(chosen), names)
    colours = dict(zip(names, group_colours(real, labels_key, names), strict=True))
    _project(axes[0], values, labels, colours)
    for ax, gene in zip(axes[1:], chosen, strict=True):
        _violins(ax, gene, [each[:, shared.index(gene)] for each in values], labels, names)
    for title, colour in zip(("real", "generated"), _VIOLIN_COLOURS, strict=True):
        axes[1].fill_between([], [], color=colour, alpha=0.8, label=title)
    axes[1].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize="small")
    axes[-1].set_xticks(range(len(names)), shortened(names), rotation=90)
    show_if_asked(show)
    return axes


def _logarithms(cells: "AnnData", genes: list[str]) -> "FloatArray":
    """Log-normalised expression over some genes, dense; these alone make the total, also of cells of logarithms."""
    matrix = sparse.csr_matrix(cells[:, genes].X, dtype=np.float64).toarray()
    # Real cells may hold logarithms, as those that a generator learns from may; `pp` tells them in the same way.
    if matrix.max() < _LARGEST_LOGARITHM and np.any(matrix != np.rint(matrix)):
        matrix = np.expm1(matrix)
    return np.asarray(np.log1p(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1) * _TOTAL))


def _telling(values: "FloatArray", labels: "StrArray", names: list[str], genes: list[str], n_genes: int) -> list[str]:
    """The gene that each of some labels has most above the others, those of the largest differences first."""
    means = np.stack([values[labels == name].mean(axis=0) for name in names])
    if len(names) < 2:
        return [genes[column] for column in np.argsort(-means[0], kind="stable")[:n_genes]]
    order = np.sort(means, axis=0)
    differences = np.where(means == order[-1], means - order[-2], -np.inf)
    best = differences.max(axis=0)
    columns = np.argsort(-best, kind="stable")
    winners = differences.argmax(axis=0)
    first = {int(winners[column]): column for column in columns[::-1]}  # the best gene of each label
    chosen = sorted(first.values(), key=lambda column: -best[column])
    others = [column for column in columns if column not in set(chosen)]
    return [genes[column] for column in [*chosen, *others][:n_genes]]


def _axes(n_groups: int, n_genes: int, names: list[str]) -> "tuple[Axes, ...]":
    """One for the projection, and below each other one for each gene."""
    n_columns = -(-n_groups // _LEGEND_ROWS)
    legend = n_columns * (0.5 + INCHES_PER_LETTER * max(map(len, shortened(names)), default=0))
    width = max(4.0, _INCHES_PER_GROUP * n_groups)
    names_height = 0.3 + INCHES_PER_LETTER * max(map(len, shortened(names)), default=0)
    height = max(_SIDE, _INCHES_PER_GENE * n_genes + names_height)
    figure = plt.figure(figsize=(_SIDE + legend + width, height), layout="constrained")
    grid = figure.add_gridspec(n_genes, 2, width_ratios=[_SIDE + legend, width])
    first = figure.add_subplot(grid[0, 1])
    others = [figure.add_subplot(grid[row, 1], sharex=first) for row in range(1, n_genes)]
    for ax in (first, *others)[:-1]:
        ax.tick_params(labelbottom=False)
    return (figure.add_subplot(grid[:, 0]), first, *others)


def _project(ax: "Axes", values: "list[FloatArray]", labels: "list[StrArray]", colours: dict[str, str]) -> None:
    """Two components of the real cells."""
    center = values[0].mean(axis=0)
    directions = np.linalg.svd(values[0] - center, full_matrices=False)[2][:2]
    for each, of, marker, size, title in zip(values, labels, ("o", "x"), (9, 14), ("real", "generated"), strict=True):
        places = (each - center) @ directions.T
        for name, colour in colours.items():
            rows = of == name
            ax.scatter(
                places[rows, 0],
                places[rows, 1],
                s=size,
                marker=marker,
                c=colour,
                alpha=0.35 if marker == "o" else 0.8,
                linewidths=0 if marker == "o" else 0.8,
                label=shortened(list(colours))[list(colours).index(name)] if title == "real" else None,
            )
    ax.scatter([], [], s=30, marker="o", c="grey", label="real")
    ax.scatter([], [], s=30, marker="x", c="grey", label="generated")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel("component 1 of real cells")
    ax.set_ylabel("component 2 of real cells")
    n_columns = -(-(len(colours) + 2) // (_LEGEND_ROWS + 2))
    legend = ax.legend(ncols=n_columns, loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize="small")
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set(alpha=1, sizes=[25])


def _violins(ax: "Axes", gene: str, values: "list[FloatArray]", labels: "list[StrArray]", names: list[str]) -> None:
    """Half a violin of real cells and half a one of pseudo-cells, for each label."""
    places = np.arange(len(names))
    halves: tuple[tuple[Literal["low", "high"], float], ...] = (("low", -0.12), ("high", 0.12))
    for each, of, (side, offset), colour in zip(values, labels, halves, _VIOLIN_COLOURS, strict=True):
        groups = [each[of == name] for name in names]
        drawn: Any = ax.violinplot(groups, places, widths=0.85, showextrema=False, side=side)
        for body in drawn["bodies"]:
            body.set(facecolor=colour, alpha=0.8, linewidth=0)
        ax.scatter(places + offset, [group.mean() for group in groups], s=6, c="black", zorder=3)
    ax.set_ylabel(gene, rotation=0, ha="right", va="center")
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_ylim(bottom=0)
    ax.tick_params(axis="y", labelsize="small")
