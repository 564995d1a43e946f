"""Cells without a row in an embedding that others have: which of them can be embedded, and why the rest cannot."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse.pp import CHUNK_SIZE

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.modalities._source import ExpressionSource
    from scmpt_scverse.pp import ExpressionReader


@dataclass(frozen=True)
class Unread:
    """Cells of which a modality cannot be read.

    Attributes
    ----------
    n_cells
        How many.
    reason
        Completes the sentence "3 of 20 cells ...".
    advice
        What was found wrong, and what to do, in sentences of its own.
    """

    n_cells: int
    reason: str
    advice: str = ""

    def sentence(self, n_cells: int) -> str:
        """For a warning, where so many cells were asked for."""
        advice = self.advice and f" {self.advice}"
        return f"{self.n_cells} of {n_cells} cells {self.reason}; they are not trained on and stay unlabelled.{advice}"


def missing_rows(values: "FloatArray", *, zeros: bool) -> "IntArray":
    """Rows that hold no embedding, ascending: NaN, and with `zeros` those of 0 alone, which no encoder gives.

    `anndata.concat(..., join="outer")` fills the rows of cells without an embedding with NaN, or with its `fill_value`.
    """
    is_missing = ~np.isfinite(values.sum(axis=1))
    if zeros:
        is_missing |= ~values.any(axis=1)
    return np.flatnonzero(is_missing)


def finite_rows(values: "FloatArray", *, any_value: bool = False) -> "BoolArray":
    """Which rows have no NaN or infinite value, or, with `any_value`, which have a value that is not NaN.

    In blocks: a mask of all values would take a quarter of what these take.
    """
    blocks = (values[start : start + CHUNK_SIZE] for start in range(0, len(values), CHUNK_SIZE))
    masks = [~np.isnan(each).all(axis=1) if any_value else np.isfinite(each).all(axis=1) for each in blocks]
    return np.concatenate(masks) if masks else np.zeros(0, dtype=bool)


def embeddable(
    source: "ExpressionSource",
    adata: "AnnData",
    rows: "IntArray",
    encoder_name: str,
    load: "Callable[[], Encoder]",
) -> "tuple[BoolArray, list[Unread]]":
    """Which cells without an embedding express a gene that the encoder knows.

    Parameters
    ----------
    source
        Where expression is read.
    adata
        The data.
    rows
        Row numbers of the cells.
    encoder_name
        For the reasons.
    load
        Gives the encoder. Not called for cells without any expression.

    Returns
    -------
    A mask of shape `(n_rows,)`, and why the others cannot be read.
    """
    ascending, places = np.unique(rows, return_inverse=True)
    found, unread = np.zeros(len(rows), dtype=bool), []
    is_expressing = np.ones(len(rows), dtype=bool)  # until it is known
    try:
        reader = source.reader(adata)
        is_expressing = _expressing(reader, ascending)[places]
        if is_expressing.any():
            is_expressing = found = _expressing(reader, ascending, load().known_genes(reader.genes))[places]
    except (KeyError, ValueError, OSError, ImportError) as error:
        unread.append(not_embedded(int(is_expressing.sum()), encoder_name, error))
    n_silent = int((~is_expressing).sum())
    if n_silent:
        unread.append(Unread(n_silent, f"have no expression in any gene that {encoder_name!r} knows"))
    return found, unread


def not_embedded(n_cells: int, encoder_name: str, error: Exception) -> Unread:
    """Cells that could not be embedded for this reason."""
    advice = str(error.args[0] if isinstance(error, KeyError) else error)
    return Unread(n_cells, f"have no embedding by {encoder_name!r}, and it cannot be made", advice)


def _expressing(reader: "ExpressionReader", rows: "IntArray", known: "BoolArray | None" = None) -> "BoolArray":
    """Which cells of these ascending row numbers express any gene, or any that is known."""
    weights = (np.ones(len(reader.genes), dtype=bool) if known is None else known).astype(np.float64)
    chunks = (reader.take(rows[start : start + CHUNK_SIZE]) for start in range(0, len(rows), CHUNK_SIZE))
    return np.concatenate([np.asarray(chunk.matrix @ weights).ravel() > 0 for chunk in chunks])
