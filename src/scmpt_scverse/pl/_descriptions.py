"""Descriptions of groups as cards, and the profiles of their types beside what was observed."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_cells, check_key, check_positive, check_table, list_some
from scmpt_scverse._labels import given_labels
from scmpt_scverse._slots import DEFAULT_TEXT_KEY_ADDED, DescriptionKeys
from scmpt_scverse.pl._figure import distinct_handles, panels_in_rows, shortened, show_if_asked

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

_HINT = " Run `model.describe(adata, groupby)` first."
_TEXTS = ("term", "path", "label", "definition", "genes_for", "genes_against", "states", "unusual")
_NUMBERS = ("n_cells", "probability", "label_probability")
#: Size of a card in inches, and of what is in it in points; letters of a line at these sizes.
_CARD_WIDTH, _MOST_COLUMNS = 4.8, 3
_TITLE_SIZE, _TEXT_SIZE, _LINE_HEIGHT = 11.0, 9.0, 0.168
_LETTERS_PER_LINE, _MARGIN = 55, 0.16
#: Terms of a path that are shown, the most specific ones.
_MOST_TERMS = 4
_GREEN, _RED, _GREY, _ORANGE = "#1b7837", "#b2182b", "#595959", "#b35806"
_PANEL_WIDTH, _INCHES_PER_GENE, _MOST_PANELS = 2.9, 0.24, 5


def descriptions(
    adata: "AnnData",
    groups: Sequence[str] | None = None,
    *,
    key: str = DEFAULT_TEXT_KEY_ADDED,
    show: bool | None = None,
) -> "list[Axes]":
    """A card for each group: its type, how probable it is, genes, states, and what is unusual.

    Parameters
    ----------
    adata
        After :meth:`scmpt_scverse.SCMMGPT.describe` with `groupby`; only `.uns` is read.
    groups
        Which groups, in this order; `None` takes all.
    key
        Prefix of what was written.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes, one per card, three in a row; a bar shows the probability. Cards in a row have the same height.

    Raises
    ------
    KeyError
        There are no descriptions, or a group is missing.
    """
    table = _table(adata, DescriptionKeys.from_prefix(key).descriptions, _TEXTS, _NUMBERS)
    names = _chosen(groups, [str(name) for name in table.index])
    table.index = table.index.astype(str)
    cards = [_lines(table.loc[name], title) for name, title in zip(names, shortened(names), strict=True)]
    n_columns = min(_MOST_COLUMNS, len(cards))
    rows = [cards[start : start + n_columns] for start in range(0, len(cards), n_columns)]
    heights = [max(sum(line.height for line in card) for card in row) + 2 * _MARGIN for row in rows]
    figure, panels = plt.subplots(
        len(rows),
        n_columns,
        figsize=(n_columns * _CARD_WIDTH, sum(heights) + 0.1 * (len(rows) + 1)),
        squeeze=False,
        gridspec_kw={"height_ratios": heights},
    )
    figure.subplots_adjust(
        left=0.01, right=0.99, bottom=0.01, top=0.99, wspace=0.03, hspace=0.1 / float(np.mean(heights))
    )
    for ax in panels.flat[len(cards) :]:
        ax.set_axis_off()
    for ax, card, height in zip(panels.flat, cards, np.repeat(heights, n_columns), strict=False):
        _draw(ax, card, float(height))
    show_if_asked(show)
    return list(panels.flat[: len(cards)])


def profiles(
    adata: "AnnData",
    groups: Sequence[str] | None = None,
    *,
    n_genes: int = 8,
    key: str = DEFAULT_TEXT_KEY_ADDED,
    show: bool | None = None,
) -> "list[Axes]":
    """The gene profile of each group's type next to the observed expression, one panel per group.

    Parameters
    ----------
    adata
        After :meth:`scmpt_scverse.SCMMGPT.describe` with `groupby`; only `.uns` is read.
    groups, key, show
        As in :func:`descriptions`.
    n_genes
        Genes per panel, the first ones of the profile; at most 10 are stored.

    Returns
    -------
    The axes, one per group that has a type: for each gene the weight in the profile, and the difference between the
    mean of the group and that of the other cells, each as a share of its largest value in the panel. So two bars of a
    gene are alike where the cells are what the model expects.

    Raises
    ------
    KeyError
        There is no evidence, or a group is missing.
    """
    check_positive(n_genes, "n_genes")
    keys = DescriptionKeys.from_prefix(key)
    table = _table(adata, keys.evidence, ("group", "gene"), ("profile", "observed"))
    names = _chosen(groups, list(dict.fromkeys(table["group"].astype(str))))
    panels = panels_in_rows(len(names), _MOST_PANELS, _PANEL_WIDTH, n_genes * _INCHES_PER_GENE + 0.55, 0.8)
    for ax, name, title in zip(panels, names, shortened(names), strict=True):
        rows = table[(table["group"].astype(str) == name) & (table["profile"] > 0)]
        rows = rows.sort_values("profile", ascending=False, kind="stable")[:n_genes]
        places = np.arange(len(rows))
        for column, offset, label, colour in (
            ("profile", -0.2, "profile of the type", "C0"),
            ("observed", 0.2, "observed, above the other cells", "C1"),
        ):
            values = rows[column].to_numpy(dtype=float)
            largest = np.nanmax(np.abs(values), initial=0)
            ax.barh(places + offset, values / (largest or 1), 0.4, color=colour, label=label)
        ax.set_yticks(places, rows["gene"], fontsize="small")
        ax.set_ylim(n_genes - 0.4, -0.6)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_xlim(min(-0.05, ax.get_xlim()[0]), 1.05)
        ax.tick_params(axis="x", labelsize="small")
        ax.set_title("\n".join(textwrap.wrap(title, 34)), fontsize="medium")
    figure = panels[0].figure
    figure.supxlabel("share of the largest value")
    handles, labels = distinct_handles(panels)
    figure.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False)
    show_if_asked(show)
    return panels


@dataclass(frozen=True)
class _Line:
    """A line of a card; a bar has the share that is filled, and no text."""

    text: str
    colour: str = "black"
    size: float = _TEXT_SIZE
    weight: str = "normal"
    bar: float | None = None
    gap: float = 0.0

    @property
    def height(self) -> float:
        """In inches."""
        return self.gap + (0.1 if self.bar is not None else _LINE_HEIGHT * self.size / _TEXT_SIZE)


def _table(adata: "AnnData", key: str, texts: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    check_cells(adata)
    check_key(key, adata.uns, "adata.uns", hint=_HINT)
    return check_table(adata.uns[key], texts, f"adata.uns[{key!r}]", "`model.describe`", numbers=numbers).copy()


def _chosen(groups: Sequence[str] | None, present: list[str]) -> list[str]:
    names = present if groups is None else given_labels(groups, "groups")
    for name in names:
        check_key(name, present, "the described groups")
    if not names:
        raise ValueError(f"Expected groups to draw; found {list_some(names)}. Leave `groups` out to draw all.")
    return names


def _lines(row: pd.Series, title: str) -> list[_Line]:
    """The lines of a card."""
    n_cells = int(row["n_cells"])
    lines = [
        *_wrapped(
            f"{title}  ({n_cells:,} cell{'' if n_cells == 1 else 's'})", size=_TITLE_SIZE, weight="bold", letters=48
        )
    ]
    is_kind = bool(row["term"]) and row["term"] != row["label"]
    if not row["label"]:
        return [*lines, *_wrapped("no cell can be read", colour=_GREY, gap=0.06)]
    if is_kind:
        kind = f"a kind of {row['term']}, {row['probability']:.2f}" if row["path"] else "no type is sure"
        lines += _wrapped(
            f"{row['label']}, {row['label_probability']:.2f}; {kind}", weight="bold", gap=0.06, letters=54
        )
    else:
        lines += _wrapped(f"{row['label']}, {row['probability']:.2f}", weight="bold", gap=0.06, letters=48)
    lines.append(_Line("", bar=float(row["probability"])))
    terms = [term for term in str(row["path"]).split(" > ") if term]
    if len(terms) > 1:
        cut = "… › " if len(terms) > _MOST_TERMS else ""
        lines += _wrapped(cut + " › ".join(terms[-_MOST_TERMS:]), colour=_GREY, gap=0.05)
    for name, column, colour in (
        ("for", "genes_for", _GREEN),
        ("against", "genes_against", _RED),
        ("states", "states", "black"),
        ("unusual", "unusual", _ORANGE),
    ):
        if row[column]:
            lines += _wrapped(f"{name}: {row[column]}", colour=colour, gap=0.04)
    return lines


def _wrapped(
    text: str,
    *,
    colour: str = "black",
    size: float = _TEXT_SIZE,
    weight: str = "normal",
    gap: float = 0.0,
    letters: int = _LETTERS_PER_LINE,
) -> list[_Line]:
    parts = textwrap.wrap(text, letters, break_long_words=True)
    return [_Line(part, colour, size, weight, gap=gap if place == 0 else 0.0) for place, part in enumerate(parts)]


def _draw(ax: "Axes", card: list[_Line], height: float) -> None:
    """A card, in inches."""
    ax.set(xlim=(0, _CARD_WIDTH), ylim=(height, 0), xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_color("lightgrey")
    top = _MARGIN
    for line in card:
        top += line.gap
        if line.bar is None:
            # `$` would begin a formula.
            ax.text(
                _MARGIN,
                top,
                line.text.replace("$", r"\$"),
                size=line.size,
                color=line.colour,
                weight=line.weight,
                va="top",
            )
        else:
            width = _CARD_WIDTH - 2 * _MARGIN
            ax.barh(top + 0.05, width, 0.07, left=_MARGIN, color="#e0e0e0")
            ax.barh(top + 0.05, width * np.nan_to_num(line.bar), 0.07, left=_MARGIN, color="C0")
        top += line.height - line.gap
