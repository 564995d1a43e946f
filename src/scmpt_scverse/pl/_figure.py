"""Make axes, show the figure, and what all plots share: how labels are shortened, and which colours names have."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from scmpt_scverse._checks import check_key, checked_numbers, list_some, type_name
from scmpt_scverse._labels import label_text

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from scmpt_scverse._types import FloatArray

#: Width of a letter of a label, in inches.
INCHES_PER_LETTER = 0.08
_MAX_LETTERS = 32
#: Entries of a legend below each other, beside axes of the default height.
_LEGEND_ROWS = 16
#: Parts of the names of metrics that are written in capitals.
_ABBREVIATIONS = frozenset({"auroc", "ece", "f1", "nll"})
#: The usual modalities have the same colour in every plot, whichever of them are there.
_MODALITY_COLOURS = {"text": "C0", "expression": "C1", "counts": "C2", "protein": "C3", "niche": "C4"}


def axes_or_new(ax: "Axes | None", figsize: tuple[float, float]) -> "Axes":
    """The axes that the user gave, or those of a new figure, `figsize` in inches, that makes room for long labels."""
    if ax is None:
        return plt.subplots(figsize=figsize, layout="constrained")[1]
    if not hasattr(ax, "plot"):
        raise TypeError(f"Expected axes of matplotlib as `ax`; found {type_name(ax)}. Pass `plt.subplots()[1]`.")
    return ax


def panels_in_rows(n_panels: int, n_in_row: int, width: float, height: float, margin: float) -> "list[Axes]":
    """Axes of a new figure, some side by side; inches of a panel, and of what is above and below them all."""
    n_columns = min(n_in_row, n_panels)
    n_rows = -(-n_panels // n_columns)
    size = (n_columns * width, n_rows * height + margin)
    panels = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)[1].flat
    for ax in panels[n_panels:]:
        ax.set_axis_off()
    return list(panels[:n_panels])


def shares(adata: "AnnData", key: str, hint: str) -> "FloatArray":
    """Shares, such as probabilities, in `adata.obs[key]`, shape `(n_obs,)`; NaN where there is none."""
    check_key(key, adata.obs.columns, "adata.obs", hint=hint)
    where = f"adata.obs[{key!r}]"
    values = checked_numbers(adata.obs[key], where, ndim=1)
    outside = values[(values < 0) | (values > 1)]
    if len(outside):
        raise ValueError(f"Expected values from 0 to 1 in `{where}`; found {list_some(outside, limit=3)}.{hint}")
    return values


def show_if_asked(show: bool | None) -> None:
    """Show the figure; `None` follows `scanpy.settings.autoshow`."""
    if show is None:
        import scanpy as sc

        show = sc.settings.autoshow
    if show:
        plt.show()


def shortened(labels: Iterable[str]) -> list[str]:
    """Labels of at most 32 letters, cut in the middle; in full where they would no longer be distinct."""
    labels = list(labels)
    half = (_MAX_LETTERS - 1) // 2
    short = [label if len(label) <= _MAX_LETTERS else f"{label[:half]}…{label[-half:]}" for label in labels]
    return [cut if short.count(cut) == 1 else label for cut, label in zip(short, labels, strict=True)]


def name_rows(ax: "Axes", names: Sequence[str], *, first_on_top: bool = True, fontsize: str | None = None) -> None:
    """Name rows at heights 0, 1, ..., with half a row of room above and below: a mark on a frame would be cut."""
    ax.set_yticks(range(len(names)), names, fontsize=fontsize)
    ends = (-0.5, len(names) - 0.5)
    ax.set_ylim(ends[::-1] if first_on_top else ends)


def metric_name(metric: str) -> str:
    """A metric as a label of an axis: `macro F1`."""
    words = metric.split("_")
    return " ".join(word.upper() if word in _ABBREVIATIONS else word for word in words)


def modality_colours(names: Iterable[str]) -> dict[str, str]:
    """Modality to colour."""
    colours = dict(_MODALITY_COLOURS)
    for name in names:
        colours.setdefault(name, f"C{len(colours)}")
    return colours


def group_colours(adata: "AnnData", groupby: str, names: Sequence[str]) -> list[str]:
    """A colour for each group: those that scanpy keeps for the column, else distinct ones."""
    from scanpy.plotting import palettes

    column, kept = adata.obs[groupby], adata.uns.get(f"{groupby}_colors")
    if kept is not None and hasattr(column, "cat") and len(kept) >= len(column.cat.categories):
        known = dict(zip(map(label_text, column.cat.categories), kept, strict=False))
        if set(names) <= set(known):
            return [str(known[name]) for name in names]
    palette = palettes.default_20 if len(names) <= len(palettes.default_20) else palettes.default_102
    return [palette[number % len(palette)] for number in range(len(names))]


def legend_beside(ax: "Axes", title: str | None = None) -> None:
    """A legend of everything that has a label, to the right of the axes, in as many columns as it needs."""
    handles, labels = ax.get_legend_handles_labels()
    n_columns = max(1, -(-len(labels) // _LEGEND_ROWS))
    ax.legend(
        handles,
        labels,
        title=title,
        ncols=n_columns,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        frameon=False,
        fontsize="small" if n_columns > 1 else None,
    )


def legend_width(labels: Sequence[str]) -> float:
    """Room for :func:`legend_beside`, in inches."""
    n_columns = max(1, -(-len(labels) // _LEGEND_ROWS))
    return n_columns * (0.6 + INCHES_PER_LETTER * max(map(len, labels), default=0))


def distinct_handles(axes: "Iterable[Axes]") -> "tuple[list[Artist], list[str]]":
    """Handles and labels of a legend over several axes, each label once."""
    found: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(str(label), handle)
    return list(found.values()), list(found)
