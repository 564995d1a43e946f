"""A column of labels as the page shows it: codes, names, and one colour per label."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._labels import distinct_labels, label_text, labels_or
from scmpt_scverse._slots import colours_of

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import IntArray

#: What the page calls cells without a label.
WITHOUT_LABEL = "(no label)"
_GREY = "#8c8c8c"
#: Okabe and Ito's colours, which colour-blind people can tell apart, without black, which is lost on a dark page.
_SAFE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#c9b800")
#: The same hues, lighter and darker: light and dark can be told apart by everybody.
_LIGHTER, _DARKER = 0.45, -0.3
#: Luminance that dots need, to be seen on a light and on a dark page.
_DARKEST, _LIGHTEST = 0.07, 0.7


@dataclass(frozen=True)
class Labelling:
    """Labels of all cells from one column of `.obs`.

    Attributes
    ----------
    column
        Its name.
    labels
        Labels that occur, in the order of the categories; :data:`WITHOUT_LABEL` last, if there are such cells.
    colours
        One per label, `#rrggbb`.
    codes
        Label of each cell, shape `(n_obs,)`.
    """

    column: str
    labels: list[str]
    colours: list[str]
    codes: "IntArray"

    @classmethod
    def of(cls, adata: "AnnData", column: str) -> "Labelling":
        """Read a column of `.obs`; colours are those of `.uns["<column>_colors"]`, where they are."""
        values = adata.obs[column]
        labels = distinct_labels(values)
        texts = labels_or(values, "")
        codes = pd.Index(labels, dtype=object).get_indexer(pd.Index(texts, dtype=object))
        kept = {label_text(label): colour for label, colour in (colours_of(adata, column) or {}).items()}
        colours = colours_for(labels, kept)
        if (codes < 0).any():
            codes = np.where(codes < 0, len(labels), codes)
            labels, colours = [*labels, WITHOUT_LABEL], [*colours, _GREY]
        return cls(column, labels, colours, codes)

    @property
    def counts(self) -> "IntArray":
        """Cells of each label, shape `(n_labels,)`."""
        return np.bincount(self.codes, minlength=len(self.labels))


def colours_for(labels: Sequence[str], kept: "dict[str, str]") -> list[str]:
    """A colour for each label: the kept one if it is a colour, else one that no other label has."""
    from matplotlib.colors import is_color_like, to_hex

    known = {label: to_hex(kept[label]) for label in labels if label in kept and is_color_like(kept[label])}
    unused = [colour for colour in _palette(len(labels)) if colour not in set(known.values())]
    missing = [label for label in labels if label not in known]
    colours = known | {label: unused[place % len(unused)] for place, label in enumerate(missing)}
    return [colours[label] for label in labels]


def _palette(n_labels: int) -> list[str]:
    """Safe colours for few labels, their lighter and darker forms for more, and many distinct ones for still more."""
    from matplotlib.colors import to_hex
    from scanpy.plotting import palettes

    shades = [*_SAFE, *(_shaded(colour, by) for by in (_LIGHTER, _DARKER) for colour in _SAFE)]
    if n_labels <= len(shades):
        return shades
    many = [to_hex(colour) for colour in palettes.default_102]
    return list(dict.fromkeys([*shades, *(colour for colour in many if _is_visible(colour))]))


def _is_visible(colour: str) -> bool:
    """Whether dots of this colour are seen on a light and on a dark page."""
    from matplotlib.colors import to_rgb

    red, green, blue = (part**2.2 for part in to_rgb(colour))
    return _DARKEST < 0.2126 * red + 0.7152 * green + 0.0722 * blue < _LIGHTEST


def _shaded(colour: str, by: float) -> str:
    """A colour that is mixed with white, or where `by` is negative, with black."""
    from matplotlib.colors import to_hex, to_rgb

    target = 1.0 if by > 0 else 0.0
    red, green, blue = (part + (target - part) * abs(by) for part in to_rgb(colour))
    return to_hex((red, green, blue))
