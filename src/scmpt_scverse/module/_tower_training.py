"""Training of a tower: contrast with marker profiles, and labelled cells of many studies."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import IterableDataset

from scmpt_scverse.module._profile_tower import ProfileTower, TowerOptions, marker_axes
from scmpt_scverse.module._training_plan import fit_steps
from scmpt_scverse.module._training_run import TrainingRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from scmpt_scverse._types import FloatArray, IntArray

#: Temperatures: of similarities between profiles of types, and between cells and the labels of their study.
_TYPE_TEMPERATURE, _CELL_TEMPERATURE = 0.07, 1 / 12
#: Share of the steps for learning-rate warm-up.
_WARMUP = 0.3


@dataclass(frozen=True)
class LabelledStudy:
    """Labelled cells of one study, to train a tower on.

    Attributes
    ----------
    values
        Expression, standardised per gene within the study, shape `(n_cells, n_shared)`.
    genes
        Index of each of these genes in the profiles, shape `(n_shared,)`.
    codes
        Label code of each cell, shape `(n_cells,)`.
    types
        Type of each label, an index of its text, shape `(n_labels,)`.
    """

    values: "FloatArray"
    genes: "IntArray"
    codes: "IntArray"
    types: "IntArray"


class _Step(NamedTuple):
    """The data of one step: types with a wording each, and cells with the genes that are not hidden."""

    types: "IntArray"
    wordings: "IntArray"
    cells: "list[tuple[IntArray, IntArray, Tensor]]"  # per study: rows, wording per label, kept genes


class AlignmentLoss(nn.Module):
    """Loss of a tower; see :class:`scmpt_scverse.module.Trainable`.

    Symmetric contrast between predicted profiles and marker profiles of many types, plus their cosine distance; and the
    cross-entropy of the labels of real cells, among the labels of their study.

    Parameters
    ----------
    tower
        The tower to train.
    texts
        Centred embeddings of several wordings of each type, shape `(n_types, n_wordings, dim)`.
    markers
        Marker profiles, shape `(n_types, n_genes)`; a row of zeros for a type without markers.
    studies
        Labelled cells.
    noise
        See :class:`TowerOptions`.
    """

    texts: "Tensor"
    markers: "Tensor"

    def __init__(
        self,
        tower: ProfileTower,
        texts: "Tensor",
        markers: "Tensor",
        studies: "Sequence[LabelledStudy]",
        noise: float,
    ) -> None:
        super().__init__()
        self.tower = tower
        self.register_buffer("texts", texts, persistent=False)
        self.register_buffer("markers", functional.normalize(markers, dim=1), persistent=False)
        self.studies = studies
        self._noise = noise * float(texts.std(dim=0).mean())

    def training_loss(self, batch: _Step) -> "Tensor":
        """The loss of one step."""
        written = functional.normalize(self.tower(self._noisy(batch.types, batch.wordings)), dim=1)
        true = self.markers[batch.types]
        similarity = written @ true.T / _TYPE_TEMPERATURE
        diagonal = torch.arange(len(true), device=true.device)
        loss = (functional.cross_entropy(similarity, diagonal) + functional.cross_entropy(similarity.T, diagonal)) / 2
        loss = loss + (1 - (written * true).sum(dim=1)).mean()
        for study, cells in zip(self.studies, batch.cells, strict=True):
            loss = loss + self._cell_loss(study, *cells) / len(self.studies)
        return loss

    def validation_metrics(self, batch: Any) -> "dict[str, Tensor]":
        """Nothing: whole studies and types are held out, and scored as users do."""
        return {}

    def n_cells(self, batch: _Step) -> int:
        """See :class:`scmpt_scverse.module.Trainable`."""
        return len(batch.types)

    def _cell_loss(self, study: LabelledStudy, rows: "IntArray", wordings: "IntArray", kept: "Tensor") -> "Tensor":
        device = self.texts.device
        kept = kept.to(device)
        cells = torch.from_numpy(study.values[rows]).to(device) * kept
        profiles = self.tower(self._noisy(study.types, wordings))[:, torch.from_numpy(study.genes).to(device)] * kept
        similarity = functional.normalize(cells, dim=1) @ functional.normalize(profiles, dim=1).T
        return functional.cross_entropy(similarity / _CELL_TEMPERATURE, torch.from_numpy(study.codes[rows]).to(device))

    def _noisy(self, types: "IntArray", wordings: "IntArray") -> "Tensor":
        chosen = self.texts[types, wordings]
        return chosen + self._noise * torch.randn_like(chosen)


def fit_tower(
    texts: "FloatArray",
    markers: "FloatArray",
    studies: "Sequence[LabelledStudy]",
    options: TowerOptions | None = None,
    *,
    run: TrainingRun | None = None,
) -> "tuple[ProfileTower, FloatArray]":
    """Train a tower; returns it with the loss of each step. The same inputs and seed give the same result.

    Parameters
    ----------
    texts, markers, studies
        As for :class:`AlignmentLoss`.
    options
        Size and training; `None` uses the defaults.
    run
        Where training runs; `None` uses the defaults.
    """
    options, run = options or TowerOptions(), run or TrainingRun()
    embeddings, profiles = (torch.from_numpy(np.asarray(each, dtype=np.float32)) for each in (texts, markers))
    has_markers = np.flatnonzero(np.asarray(markers).any(axis=1))
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        axes = marker_axes(profiles[has_markers], options.n_axes)[0]
        tower = ProfileTower(embeddings.shape[-1], axes, options.n_hidden)
        loss = AlignmentLoss(tower, embeddings, profiles, studies, options.noise)
        steps = _Steps(has_markers, embeddings.shape[1], studies, options)
        losses = fit_steps(
            loss,
            steps,
            lr=options.lr,
            n_steps=options.n_steps,
            warmup=_WARMUP,
            run=run,
        )
    return tower.cpu().eval(), losses


class _Steps(IterableDataset[_Step]):
    """Endless steps with their own random generator."""

    def __init__(
        self, types: "IntArray", n_wordings: int, studies: "Sequence[LabelledStudy]", options: TowerOptions
    ) -> None:
        self._types, self._n_wordings, self._studies, self._options = types, n_wordings, studies, options
        self._by_label = [
            [np.flatnonzero(study.codes == label) for label in range(len(study.types))] for study in studies
        ]

    def __iter__(self) -> Iterator[_Step]:
        rng = np.random.default_rng(self._options.seed)
        n_types = min(self._options.types_per_step, len(self._types))
        while True:
            types = rng.choice(self._types, n_types, replace=False)
            cells = [self._cells(rng, study, rows) for study, rows in zip(self._studies, self._by_label, strict=True)]
            yield _Step(types, rng.integers(0, self._n_wordings, n_types), cells)

    def _cells(
        self, rng: np.random.Generator, study: LabelledStudy, by_label: "Sequence[IntArray]"
    ) -> "tuple[IntArray, IntArray, Tensor]":
        n_each = max(1, self._options.cells_per_step // len(by_label))
        rows = np.concatenate([rng.choice(rows, min(len(rows), n_each), replace=False) for rows in by_label])
        hidden = rng.uniform(0, self._options.gene_dropout)
        kept = torch.from_numpy((rng.random(len(study.genes)) >= hidden).astype(np.float32))
        return rows, rng.integers(0, self._n_wordings, len(by_label)), kept
