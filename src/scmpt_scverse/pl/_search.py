"""Where in an embedding the cells are that a text describes, and how many."""

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from scmpt_scverse._checks import check_cells, check_key, checked_numbers
from scmpt_scverse._slots import UNS_KEYS, read_record
from scmpt_scverse.pl._figure import shares, show_if_asked

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

_DEFAULT_KEY = "scmmgpt_search"
_N_BINS = 20
#: A text fits a cell well that scores above: better than those of 19 in 20 cell types.
_HIGH_SCORE = 0.95
#: Size of dots in square points: smaller for more cells, as scanpy has it, and never invisible.
_DOT_AREA, _SMALLEST_DOT, _LARGEST_DOT = 120_000, 1.0, 40.0


def search(
    adata: "AnnData",
    text: str | None = None,
    *,
    key: str = _DEFAULT_KEY,
    basis: str = "umap",
    show: bool | None = None,
) -> "list[Axes]":
    """Cells in an embedding, coloured by how well a text fits them, beside a histogram of these scores.

    Parameters
    ----------
    adata
        After :meth:`scmpt_scverse.SCMMGPT.search`; `.obs` and `.obsm` are read.
    text
        Title; `None` takes what was searched for, where that is recorded, or the key.
    key
        Column of `.obs` with scores.
    basis
        Embedding: `"umap"` for `.obsm["X_umap"]`, or a key of `.obsm`; its first two columns are drawn.
    show
        Show the figure; `None` follows `scanpy.settings.autoshow`.

    Returns
    -------
    The axes: the embedding, best cells on top, grey where there is no score; and the histogram. The score is the share
    of the cell types that the model knows whose text fits a cell less well, so a text at random gives equal heights,
    which a dashed line shows. Cells above 0.95 are in a stronger colour and counted.

    Raises
    ------
    KeyError
        The scores or the embedding are missing.
    ValueError
        A score is not in [0, 1], no cell has one, or the embedding has one column.
    """
    check_cells(adata)
    scores = shares(adata, key, " Run `model.search(adata, text)` first.")
    place = basis if basis in adata.obsm else f"X_{basis}"
    check_key(place, adata.obsm.keys(), "adata.obsm", hint=" Run `scanpy.tl.umap(adata)` first, or pass `basis=`.")
    points = checked_numbers(adata.obsm[place], f"adata.obsm[{place!r}]", ndim=2)
    known = np.isfinite(scores)
    if points.shape[1] < 2 or not known.any():
        found = f"{points.shape[1]} column(s) and {int(known.sum())} scores"
        raise ValueError(
            f"Expected two columns in `adata.obsm[{place!r}]` and scores in `adata.obs[{key!r}]`; found {found}. Pass "
            "another `basis=` or `key=`."
        )
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.6, 4.2), layout="constrained", gridspec_kw={"width_ratios": [1.15, 1]}
    )
    area = float(np.clip(_DOT_AREA / len(scores), _SMALLEST_DOT, _LARGEST_DOT))
    left.scatter(*points[~known, :2].T, s=area, c="lightgrey", linewidths=0)
    order = np.flatnonzero(known)[np.argsort(scores[known], kind="stable")]
    dots = left.scatter(*points[order, :2].T, s=area, c=scores[order], vmin=0, vmax=1, cmap="viridis", linewidths=0)
    figure.colorbar(dots, ax=left, label="share of cell types that fit less well", shrink=0.8)
    name = place.removeprefix("X_").upper() if place.startswith("X_") else place
    left.set(xlabel=f"{name} 1", ylabel=f"{name} 2", xticks=[], yticks=[])
    edges = np.linspace(0, 1, _N_BINS + 1)
    heights, _ = np.histogram(scores[known], edges)
    colours = ["C1" if edge >= _HIGH_SCORE - 1e-9 else "C0" for edge in edges[:-1]]
    right.bar(edges[:-1], heights, width=1 / _N_BINS, align="edge", color=colours, edgecolor="white", linewidth=0.5)
    right.axhline(known.sum() / _N_BINS, color="black", linestyle="--", linewidth=1, label="a text at random")
    n_high = int((scores[known] > _HIGH_SCORE).sum())
    right.set_title(f"{n_high:,} of {int(known.sum()):,} cells above {_HIGH_SCORE}", fontsize="medium", color="C1")
    right.set(xlabel="score", ylabel="cells", xlim=(0, 1))
    right.legend(frameon=False)
    text = read_record(adata, UNS_KEYS.searches, key).get("text") if text is None else text
    figure.suptitle(key if text is None else _in_quotes(str(text)))
    show_if_asked(show)
    return [left, right]


def _in_quotes(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line if len(line) <= 90 else line[:89].rstrip() + '…'}”"
