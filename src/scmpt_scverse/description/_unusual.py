"""What is unusual about a group of cells, or about one cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse.description._evidence import Oddity

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray
    from scmpt_scverse.description._subjects import Subjects
    from scmpt_scverse.zero_shot import Query

#: Novelty at which other types fit as well as the best label.
_NOVEL = 0.5
#: Share of cells that are most like a label outside the term.
_MIXED = 0.2
#: Of the genes of the median cell, what counts as few and as many.
_LOW, _HIGH = 0.5, 2.0
#: Genes of a cell that tell little, where thousands were measured.
_FEW_GENES, _MANY_MEASURED = 200, 10_000
_FEW_CELLS = 10
_UNREADABLE = 0.05
_MOST_LABELS = 2
#: A label that so many cells at least are most like is named as part of a mixture.
_LEAST_STRAY = 0.05


@dataclass(frozen=True)
class Quality:
    """What is measured of a group, or of a cell, beside its type.

    Attributes
    ----------
    n_cells, n_unreadable
        Cells, and those of them that express no gene that the model knows.
    novelty
        Median; NaN where it cannot be told.
    n_genes, median_genes
        Expressed genes of the median cell of the group, and of all cells.
    n_measured
        Genes of the data.
    strays
        Labels outside the term with the share of cells that are most like them, most frequent first.
    """

    n_cells: int
    n_unreadable: int
    novelty: float
    n_genes: float
    median_genes: float
    n_measured: int
    strays: Sequence[tuple[str, float]] = ()


def qualities(
    whole: "Query",
    subjects: "Subjects",
    probabilities: "FloatArray",
    novelty: "FloatArray | None",
    labels: list[str],
    covered: "BoolArray",
) -> list[Quality]:
    """What is measured of every group or cell beside its type."""
    n_genes = np.concatenate([np.diff(matrix.indptr) for matrix in whole.chunks()])
    is_readable = np.asarray(np.isfinite(probabilities).all(axis=1))
    best = np.where(is_readable, np.where(is_readable[:, None], probabilities, 0).argmax(axis=1), -1)
    novel = np.full(len(n_genes), np.nan) if novelty is None else novelty
    median, n_measured = float(np.median(n_genes)), len(whole.is_used)
    order = np.argsort(subjects.codes, kind="stable")
    ends = np.searchsorted(subjects.codes[order], np.arange(len(subjects.names) + 1))
    found = []
    for number in range(len(subjects.names)):
        rows = order[ends[number] : ends[number + 1]]
        kept = rows[is_readable[rows]]
        known = novel[kept][np.isfinite(novel[kept])]
        counts = np.bincount(best[kept], minlength=len(labels)) * ~covered[number]
        strays = [
            (labels[label], float(counts[label] / len(kept)))
            for label in np.argsort(-counts, kind="stable")
            if counts[label] > _LEAST_STRAY * len(kept)
        ]
        found.append(
            Quality(
                n_cells=len(rows),
                n_unreadable=len(rows) - len(kept),
                novelty=float(np.median(known)) if len(known) else float("nan"),
                n_genes=float(np.median(n_genes[rows])),
                median_genes=median,
                n_measured=n_measured,
                strays=strays,
            )
        )
    return found


def oddities(quality: Quality, *, is_cell: bool) -> tuple[Oddity, ...]:
    """What is unusual, most important first; nothing of a cell that is only true of groups."""
    found = []
    if quality.novelty >= _NOVEL:
        found.append(
            Oddity("novel", f"types that are no candidates fit as well or better (novelty {quality.novelty:.2f})")
        )
    n_stray = sum(share for _, share in quality.strays)
    if n_stray >= _MIXED and not is_cell:
        named = tuple(quality.strays[:_MOST_LABELS])
        parts = " and ".join(f"{_percent(share)} most like {label}" for label, share in named)
        found.append(Oddity("mixed", f"mixed: {parts}", tuple(label for label, _ in named)))
    here, all_cells = f"{quality.n_genes:.0f} genes", f"{quality.median_genes:.0f} in the median cell of the query"
    if quality.n_genes < _LOW * quality.median_genes:
        found.append(Oddity("low depth", f"low depth: {here}, {all_cells}"))
    elif quality.n_genes < _FEW_GENES and quality.n_measured >= _MANY_MEASURED:
        found.append(Oddity("few genes", f"few genes: {here} of {quality.n_measured} measured"))
    elif quality.n_genes > _HIGH * quality.median_genes:
        found.append(Oddity("many genes", f"many genes, which can mean doublets: {here}, {all_cells}"))
    if not is_cell and quality.n_cells < _FEW_CELLS:
        found.append(Oddity("few cells", f"only {quality.n_cells} cell{'' if quality.n_cells == 1 else 's'}"))
    if not is_cell and quality.n_unreadable > _UNREADABLE * quality.n_cells:
        found.append(
            Oddity("unreadable", f"{quality.n_unreadable} of {quality.n_cells} cells express no gene that is known")
        )
    return tuple(found)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
