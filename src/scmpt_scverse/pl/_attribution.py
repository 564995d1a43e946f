"""Which genes decided, per label and per cell, and how they compare with known markers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from scmpt_scverse._checks import (
    check_cells,
    check_choice,
    check_key,
    check_positive,
    check_table,
    list_some,
    type_name,
)
from scmpt_scverse._labels import given_labels, label_text
from scmpt_scverse._slots import BY_MODALITY, DEFAULT_ATTRIBUTIONS_KEY, is_ranking
from scmpt_scverse.pl._figure import (
    INCHES_PER_LETTER,
    axes_or_new,
    distinct_handles,
    modality_colours,
    name_rows,
    panels_in_rows,
    shortened,
    show_if_asked,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scmpt_scverse._types import FloatArray

_INCHES_PER_ROW = 0.2
_PANEL_WIDTH = 2.6
_MAX_COLUMNS = 5
#: Genes per label if the user gives no number.
_N_GENES = {"bars": 10, "dots": 3}


def attributions(
    adata: "AnnData",
    *,
    kind: Literal["bars", "dots"] = "bars",
    groups: Sequence[str] | None = None,
    n_genes: int | None = None,
    key: str = DEFAULT_ATTRIBUTIONS_KEY,
    show: bool | None = None,
) -> "list[Axes]":
    """The genes that contribute most to each label: as bars by modality, or as dots that compare the labels.

    Parameters
    ----------
    adata
        After :meth:`scmpt_scverse.SCMPT.rank_attributions` or :meth:`scmpt_scverse.SCMMGPT.rank_attributions`.
    kind
        `"bars"` draws one panel per label. `"dots"` draws one panel with the top genes of each label in every label;
        colour and size show the contribution, for and against.
    groups
        Which labels; `None` takes all.
    n_genes
        Genes per label; `None` takes 10 as bars and 3 as dots.
    key
        Key of `.uns`.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes, one per label as bars and a single one as dots.

    Bars of modalities are stacked; for a method whose scores do not add up, such as occlusion, a black point marks the
    score of all together. Rows of dots are labels, columns genes, in the order of the labels that they are best for.
    """
    check_choice(kind, tuple(_N_GENES), "kind")
    n_genes = _N_GENES[kind] if n_genes is None else n_genes
    check_positive(n_genes, "n_genes")
    record, names = _record(adata, key, groups)
    axes = _bars(record, names, n_genes) if kind == "bars" else [_dots(record, names, n_genes, key)]
    show_if_asked(show)
    return axes


def cell_attributions(
    table: pd.DataFrame, *, n_genes: int = 15, ax: "Axes | None" = None, show: bool | None = None
) -> "Axes":
    """Bars of the genes that contribute most, for and against, to the label of one cell.

    Parameters
    ----------
    table
        From :meth:`scmpt_scverse.SCMPT.explain_cell`.
    n_genes
        How many genes, those of the largest contribution either way.
    ax
        Axes to draw on; `None` makes a figure.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes.
    """
    check_positive(n_genes, "n_genes")
    numbers = ["total", *(name for name in getattr(table, "columns", ()) if name not in {"total", "value"})]
    table = check_table(table, ["value"], "table", "`model.explain_cell`", numbers=numbers)
    if not table["total"].notna().any():
        raise ValueError("Expected scores of genes in `table['total']`; found none. Explain a cell that can be read.")
    largest = table.loc[table["total"].abs().nlargest(n_genes).index].sort_values("total", ascending=False)
    ax = axes_or_new(ax, (4.2, len(largest) * _INCHES_PER_ROW + 1.2))
    parts = {str(name): largest[name].to_numpy() for name in table.columns if name not in {"total", "value"}}
    _stacked_bars(ax, list(largest.index), parts, largest["total"].to_numpy())
    ax.set_xlabel("contribution to the logit")
    ax.set_title(shortened([str(table.attrs.get("label", ""))])[0])
    ax.legend(frameon=False, fontsize="small")
    show_if_asked(show)
    return ax


def marker_overlap(table: pd.DataFrame, *, ax: "Axes | None" = None, show: bool | None = None) -> "Axes":
    """AUROC of known markers in the ranking of each label, with its interval; filled where adjusted p < 0.05.

    Parameters
    ----------
    table
        From :func:`scmpt_scverse.tl.marker_overlap`.
    ax
        Axes to draw on; `None` makes a figure whose size fits the number of labels.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes; labels whose AUROC is NaN are left out. Next to each label: markers in the top, of all markers.
    """
    columns = ("auroc", "auroc_lower", "auroc_upper", "auroc_pval_adj", "n_overlap", "n_markers")
    table = check_table(table, (), "table", "`tl.marker_overlap`", numbers=columns)
    found = table[table["auroc"].notna()].sort_values("auroc")
    if found.empty:
        raise ValueError("Expected at least one label with enough markers; found none. Pass more markers.")
    ax = axes_or_new(ax, (5.2, len(found) * 0.26 + 1.2))
    for row, (_, values) in enumerate(found.iterrows()):
        is_significant = values["auroc_pval_adj"] < 0.05
        ax.plot([values["auroc_lower"], values["auroc_upper"]], [row, row], color="C0")
        ax.plot(values["auroc"], row, "o", color="C0", markerfacecolor="C0" if is_significant else "white")
    ax.axvline(0.5, color="grey", linestyle=":")
    names = [
        f"{name} ({n}/{of})"
        for name, n, of in zip(
            shortened(map(label_text, found.index)), found["n_overlap"], found["n_markers"], strict=True
        )
    ]
    name_rows(ax, names, first_on_top=False, fontsize="small")
    ax.set_xlim(0, 1.02)
    ax.set_xlabel("AUROC of markers (beside each label: markers in the top / all)", fontsize="small")
    show_if_asked(show)
    return ax


def _record(adata: "AnnData", key: str, groups: Sequence[str] | None) -> tuple[Mapping[str, Any], list[str]]:
    check_cells(adata)
    check_key(key, adata.uns, "adata.uns", hint=" Run `model.rank_attributions(adata)` first.")
    record: Mapping[str, Any] = adata.uns[key]
    if not is_ranking(record):
        raise ValueError(
            f"Expected a ranking of genes in `adata.uns[{key!r}]`; found {type_name(record)}. Run "
            "`model.rank_attributions(adata)`."
        )
    present = list(record["names"].dtype.names)
    if groups is None:
        return record, present
    wanted = list(dict.fromkeys(given_labels(groups, "groups")))
    for group in wanted:
        check_key(group, present, f"adata.uns[{key!r}]")
    if not wanted:
        raise ValueError(f"Expected at least one group; found `groups=[]`. Choose from {list_some(present)}.")
    return record, wanted


def _bars(record: Mapping[str, Any], names: list[str], n_genes: int) -> "list[Axes]":
    panels = panels_in_rows(len(names), _MAX_COLUMNS, _PANEL_WIDTH, n_genes * _INCHES_PER_ROW + 0.8, 0.6)
    for ax, group, title in zip(panels, names, shortened(names), strict=True):
        genes = record["names"][group][:n_genes]
        parts = {name: scores[group][:n_genes] for name, scores in record.get(BY_MODALITY, {}).items()}
        _stacked_bars(ax, list(genes), parts, record["scores"][group][:n_genes])
        ax.set_title(title, fontsize="small")
    figure = panels[0].figure
    figure.supxlabel("mean contribution to the logit", fontsize="small")
    handles, labels = distinct_handles(panels)
    figure.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False, fontsize="small")
    return panels


def _dots(record: Mapping[str, Any], names: list[str], n_genes: int, key: str) -> "Axes":
    genes = list(dict.fromkeys(gene for group in names for gene in record["names"][group][:n_genes]))
    scores = np.stack([_scores_of(record, group, genes) for group in names])
    if np.isnan(scores).all():
        raise ValueError(f"Expected scores of genes in `adata.uns[{key!r}]`; found none but NaN. Rank them again.")
    labels = shortened(names)
    width = len(genes) * _INCHES_PER_ROW + INCHES_PER_LETTER * max(map(len, labels)) + 1.5
    ax = axes_or_new(None, (width, len(names) * _INCHES_PER_ROW + 1.4))
    limit = float(np.nanmax(np.abs(scores))) or 1.0
    rows, columns = np.indices(scores.shape)
    dots = ax.scatter(
        columns.ravel(),
        rows.ravel(),
        c=scores.ravel(),
        s=120 * np.abs(scores.ravel()) / limit,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
    )
    ax.figure.colorbar(dots, ax=ax, shrink=0.6, label="mean contribution")
    ax.set_xticks(range(len(genes)), genes, rotation=90, fontsize="small")
    name_rows(ax, labels, fontsize="small")
    return ax


def _scores_of(record: Mapping[str, Any], group: str, genes: Sequence[str]) -> "FloatArray":
    """Scores of some genes in a group, shape `(n_genes,)`; NaN for genes that the ranking does not hold."""
    scores = pd.Series(record["scores"][group], index=record["names"][group], dtype=float)
    return scores[~scores.index.duplicated()].reindex(genes).to_numpy()


def _stacked_bars(ax: "Axes", genes: list[str], parts: Mapping[str, Any], total: Any) -> None:
    rows = np.arange(len(genes))
    above, below = np.zeros(len(genes)), np.zeros(len(genes))
    colours = modality_colours(parts)
    for name, values in (parts or {"all": total}).items():
        left = np.where(values >= 0, above, below)
        ax.barh(rows, values, left=left, label=name, height=0.75, color=colours.get(name, "C0"))
        above, below = above + np.maximum(values, 0), below + np.minimum(values, 0)
    if not np.allclose(above + below, total, atol=1e-3):
        ax.plot(total, rows, "k.", label="together")
    ax.axvline(0, color="black", linewidth=0.6)
    ax.set_yticks(rows, genes, fontsize="small")
    ax.tick_params(axis="x", labelsize="small")
    ax.set_ylim(len(genes) - 0.5, -0.5)
