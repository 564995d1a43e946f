"""What a training would learn from, and how long it would take, before it starts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse.knowledge import map_labels
from scmpt_scverse.module import TextAlignment, TrainingRun
from scmpt_scverse.zero_shot._fit import labelled_cells
from scmpt_scverse.zero_shot._training_data import MarkerProfiles, StudySource, training_studies

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.module import TowerOptions

#: Steps of two trainings that are timed: their difference is what steps take.
_TIMED_STEPS = (2, 12)


def label_report(sources: Sequence[StudySource], known: MarkerProfiles) -> pd.DataFrame:
    """One row per study and label.

    Parameters
    ----------
    sources
        Studies; only their labels and genes are looked at.
    known
        Markers of registered types.

    Returns
    -------
    Columns `study`, `label`, `n_cells`; `ontology_id`, `ontology_term`, `match` and `suggestions` as of
    :func:`scmpt_scverse.knowledge.map_labels`; `registered_type`, the type with markers that the label is taken for,
    missing where there is none; `n_markers`, its markers that the study has; and `is_learned`, false where a study has
    one label only.
    """
    labels = sorted({label for source in sources for label in source.labels if label is not None})
    terms = map_labels(labels)
    rows_of = {
        label: known.types.row_of(label, None if pd.isna(term) else term)
        for label, term in terms["ontology_id"].items()
    }
    rows = []
    for source in sources:
        counts = pd.Series(source.labels, dtype=object).dropna().value_counts()
        has_gene = pd.Index(known.genes).isin(source.reader.genes)
        for label, n_cells in counts.items():
            row = rows_of[label]
            rows.append(
                {
                    "study": source.name,
                    "label": label,
                    "n_cells": int(n_cells),
                    **terms.loc[label].to_dict(),
                    "registered_type": None if row is None else known.types.names[row],
                    "n_markers": 0 if row is None else int((known.values[row][has_gene] > 0).sum()),
                    "is_learned": len(counts) > 1,
                }
            )
    return pd.DataFrame(rows)


def expected_seconds(
    sources: Sequence[StudySource],
    known: MarkerProfiles,
    encode: "Callable[[list[str]], FloatArray]",
    options: "TowerOptions",
    *,
    accelerator: str = "auto",
) -> float:
    """About how long training takes on this machine: texts and cells are read, and a few steps are timed."""
    start = time.perf_counter()
    studies, texts = training_studies(sources, known, encode)
    cells = [labelled_cells(study, seed=number) for number, study in enumerate(studies)]
    reading = time.perf_counter() - start
    markers = np.pad(known.values, ((0, len(texts) - len(known.values)), (0, 0)))

    def seconds(n_steps: int) -> float:
        start = time.perf_counter()
        TextAlignment.fit(texts, markers, cells, replace(options, n_steps=n_steps), run=TrainingRun(accelerator))
        return time.perf_counter() - start

    few, more = map(seconds, _TIMED_STEPS)
    step = max(0.0, more - few) / (_TIMED_STEPS[1] - _TIMED_STEPS[0])
    # Once with all studies, and once without each.
    return reading + (1 + len(studies)) * (few + step * (options.n_steps - _TIMED_STEPS[0]))
