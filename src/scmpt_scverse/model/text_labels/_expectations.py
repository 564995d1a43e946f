"""What training on studies and tables of markers would take labels for, and how long: two methods of `SCMMGPT`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from scmpt_scverse.model.text_labels._training import Markers, OwnCells, known_markers, training_sources
from scmpt_scverse.module import TowerOptions
from scmpt_scverse.zero_shot import expected_seconds, label_report

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import StrPath
    from scmpt_scverse.model.text_labels._embeddings import TextEmbeddings


class _LearnsFromStudies(Protocol):
    _encode: "TextEmbeddings"

    def _own_cells(self) -> OwnCells: ...


def learned_labels(
    self: "_LearnsFromStudies",
    *,
    markers: "Markers",
    studies: "Iterable[StrPath | AnnData]" = (),
    marker_organism: str = "human",
) -> pd.DataFrame:
    """Show how :meth:`train` would understand each label of each study. Reads no expression.

    Parameters
    ----------
    markers, studies, marker_organism
        As for :meth:`train`.

    Returns
    -------
    One row per study and label, with columns `study`, `label`, `n_cells`; `ontology_id`, `ontology_term`, `match`
    and `suggestions` as of :func:`scmpt_scverse.knowledge.map_labels`; `registered_type`, the type with markers
    that it is, missing where there is none; `n_markers`, those that the study has; and `is_learned`, false where a
    study has one label only.
    """
    sources = training_sources(self._own_cells(), studies)
    return label_report(sources, known_markers(markers, marker_organism, sources))


def training_seconds(
    self: "_LearnsFromStudies",
    *,
    markers: "Markers",
    studies: "Iterable[StrPath | AnnData]" = (),
    marker_organism: str = "human",
    options: TowerOptions | None = None,
    accelerator: str = "auto",
) -> float:
    """About how long :meth:`train` would take on this machine, in seconds: data are read, and a few steps timed.

    Parameters
    ----------
    markers, studies, marker_organism, options, accelerator
        As for :meth:`train`.
    """
    sources = training_sources(self._own_cells(), studies)
    known = known_markers(markers, marker_organism, sources)
    return expected_seconds(sources, known, self._encode, options or TowerOptions(), accelerator=accelerator)
