"""Learn an alignment from texts, markers and labelled studies, and its scale from studies that were left out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from scmpt_scverse import __version__
from scmpt_scverse.module import (
    LabelledStudy,
    Scale,
    Standardisation,
    TextAlignment,
    TowerOptions,
    TrainingRun,
    unit_profiles,
)
from scmpt_scverse.trust import fit_temperature
from scmpt_scverse.zero_shot._annotate import REFINEMENTS, averaged, calibratable
from scmpt_scverse.zero_shot._neighbourhood import Neighbourhood, query_components
from scmpt_scverse.zero_shot._query import BACKGROUND_SHARE

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.zero_shot._query import Query

#: Cells of each label that a study teaches with, and cells of a study that the scale is learned from.
_MAX_CELLS_PER_LABEL, _MAX_CELLS = 500, 2000


@dataclass(frozen=True)
class TrainingStudy:
    """A study with labels.

    Attributes
    ----------
    query
        Its cells.
    codes
        Label of each cell, -1 for none, shape `(n_obs,)`.
    types
        Row of each label among the texts, shape `(n_labels,)`.
    """

    query: "Query"
    codes: "IntArray"
    types: "IntArray"


def fit_alignment(
    texts: "FloatArray",
    markers: "FloatArray",
    studies: Sequence[TrainingStudy],
    options: "TowerOptions | None" = None,
    *,
    run: TrainingRun | None = None,
) -> TextAlignment:
    """Train, and learn the scale by leaving each study out once.

    Parameters
    ----------
    texts
        Embeddings of several wordings, registered types first, then labels of the studies that are none, shape
        `(n_texts, n_wordings, dim)`.
    markers
        Marker profiles of the registered types, shape `(n_types, n_genes)`.
    studies
        At least one.
    options, run
        As for :meth:`scmpt_scverse.module.TextAlignment.fit`.
    """
    n_types = len(markers)
    markers = np.pad(markers, ((0, len(texts) - n_types), (0, 0)))
    labelled = [labelled_cells(study, seed=number) for number, study in enumerate(studies)]
    options, run = options or TowerOptions(), run or TrainingRun()
    run.claim(
        stage="align",
        version=__version__,
        options=asdict(options),
        texts=texts,
        markers=markers,
        studies=[vars(study) for study in labelled],
    )
    held_out = []
    for number, study in enumerate(studies):
        others = [each for position, each in enumerate(labelled) if position != number]
        without = TextAlignment.fit(texts, markers, others, options, run=run.part(f"without-{number}"))
        means = [each.query.own for position, each in enumerate(studies) if position != number]
        held_out.append((without, _against(study, means)))
    scale = _scale(held_out, texts)
    alignment = TextAlignment.fit(texts, markers, labelled, options, run=run.part("with-all"))
    return replace(
        alignment,
        type_texts=alignment.type_texts[:n_types],
        type_markers=alignment.type_markers[:n_types],
        scale=scale,
        background=Standardisation.average([study.query.own for study in studies]),
    )


def _against(study: TrainingStudy, means: Sequence[Standardisation]) -> TrainingStudy:
    """A study as a query of a model of others."""
    query = study.query.against(Standardisation.average(means), BACKGROUND_SHARE) if means else study.query
    return replace(study, query=query)


def labelled_cells(study: TrainingStudy, seed: int) -> LabelledStudy:
    """Some cells of each label, standardised over all cells of the study."""
    rng = np.random.default_rng(seed)
    chosen = []
    for code in range(len(study.types)):
        rows = np.flatnonzero(study.codes == code)
        chosen.append(rng.choice(rows, min(len(rows), _MAX_CELLS_PER_LABEL), replace=False))
    rows = np.sort(np.concatenate(chosen))
    genes = np.flatnonzero(study.query.is_used)
    parts, start = [], 0
    for matrix in study.query.chunks():
        inside = rows[(rows >= start) & (rows < start + matrix.shape[0])] - start
        parts.append(study.query.standardisation.dense(matrix[inside])[:, genes])
        start += matrix.shape[0]
    return LabelledStudy(np.vstack(parts), genes, study.codes[rows], study.types)


def _scale(held_out: Sequence[tuple[TextAlignment, TrainingStudy]], texts: "FloatArray") -> Scale:
    """Spread of each part, then the temperature of each way to refine, each by studies that were left out."""
    towers, ridges, markers, candidates = [], [], [], []
    for alignment, study in held_out:
        mean_texts = texts[study.types].mean(axis=1) - alignment.center
        known = alignment.type_markers[study.types] @ alignment.axes.T
        candidates.append((mean_texts, known))
        towers.append(spread(study.query, alignment.written(mean_texts)))
        ridges.append(spread(study.query, alignment.guessed(mean_texts)))
        markers.append(spread(study.query, known))
    tower, ridge, known_markers = (
        float(np.mean([each for each in part if each > 0] or [0.0])) for part in (towers, ridges, markers)
    )
    # Without a label that has markers, parts are taken to be alike.
    scale = Scale(tower=tower, ridge=ridge or tower, markers=known_markers or tower)
    cells = []
    for (alignment, study), (mean_texts, known) in zip(held_out, candidates, strict=True):
        profiles = replace(alignment, scale=scale).profiles(mean_texts, known, study.query.is_used)
        scores = study.query.scores(profiles)
        rows = np.flatnonzero((study.codes >= 0) & np.isfinite(scores).all(axis=1))
        near = Neighbourhood.in_components(query_components(study.query)[rows])
        cells.append((scores[rows], near, study.codes[rows]))
    for refine, name in zip(REFINEMENTS, ("raw", "smoothed", "refined"), strict=True):
        logits = []
        for scores, near, codes in cells:
            around = None if refine == "none" else near
            logits.append((calibratable(averaged(scores, around), scale, refine, around), codes))
        scale = replace(scale, **{name: _temperature(logits)})
    return scale


def spread(query: "Query", profiles: "FloatArray") -> float:
    """Standard deviation of the scores of a part over cells and labels; 0 where fewer than two labels have it."""
    unit = unit_profiles(profiles, query.is_used)
    unit = unit[unit.any(axis=1)]
    return float(np.nanstd(query.scores(unit), dtype=np.float64)) if len(unit) > 1 else 0.0


def _temperature(studies: "Sequence[tuple[FloatArray, IntArray]]") -> float:
    """One temperature for studies of different labels, which weigh alike."""
    n_labels = max(logits.shape[1] for logits, _ in studies)
    n_cells = min(_MAX_CELLS, min(len(codes) for _, codes in studies))
    rng = np.random.default_rng(0)
    padded, codes = [], []
    for logits, true in studies:
        rows = rng.choice(len(true), n_cells, replace=False)
        wide = np.full((n_cells, n_labels), -np.inf)
        wide[:, : logits.shape[1]] = logits[rows]
        padded.append(wide)
        codes.append(true[rows])
    return fit_temperature(torch.from_numpy(np.vstack(padded)), torch.from_numpy(np.concatenate(codes)))
