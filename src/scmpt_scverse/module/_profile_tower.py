"""From a text to a gene profile: the tower that is trained, the ridge that is solved, and what both learn from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import IterableDataset

from scmpt_scverse._checks import check_positive, check_seed, check_share
from scmpt_scverse.module._training_plan import fit_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from scmpt_scverse._types import FloatArray, IntArray

#: What similarities are divided by: of profiles of types, and of cells with the labels of their study.
_TYPE_TEMPERATURE, _CELL_TEMPERATURE = 0.07, 1 / 12
#: Share of the steps in which the learning rate rises.
_WARMUP = 0.3
#: Power iterations of the randomised singular value decomposition; more change nothing in the fourth digit.
_POWER_ITERATIONS = 6


@dataclass(frozen=True)
class LabelledStudy:
    """Labelled cells of one study, as the tower learns from them.

    Attributes
    ----------
    values
        Expression, standardised per gene within the study, shape `(n_cells, n_shared)`.
    genes
        Which genes of the profiles these are, shape `(n_shared,)`.
    codes
        Label of each cell, shape `(n_cells,)`.
    types
        Which text each label is, shape `(n_labels,)`.
    """

    values: "FloatArray"
    genes: "IntArray"
    codes: "IntArray"
    types: "IntArray"


@dataclass(frozen=True)
class TowerOptions:
    """How a tower is built and trained.

    Attributes
    ----------
    n_hidden
        Width of its hidden layer.
    n_axes
        Axes of gene space that it writes in; they begin as the singular vectors of the marker profiles.
    n_steps
        Steps of training.
    types_per_step, cells_per_step
        Types, and cells of each study, in a step; cells are drawn evenly from the labels.
    noise
        Standard deviation of the noise on text embeddings, in units of their own.
    gene_dropout
        Up to this share of the genes of a study is hidden in a step, so that a smaller panel is nothing new.
    lr
        Highest learning rate.
    seed
        Of initial weights, noise, and choice of types and cells.

    Raises
    ------
    ValueError
        One is out of range.
    """

    n_hidden: int = 512
    n_axes: int = 192
    n_steps: int = 250
    types_per_step: int = 192
    cells_per_step: int = 64
    noise: float = 0.3
    gene_dropout: float = 0.7
    lr: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_hidden", "n_axes", "n_steps", "types_per_step", "cells_per_step"):
            check_positive(getattr(self, name), name)
        check_share(self.gene_dropout, "gene_dropout")
        check_seed(self.seed)
        if not (self.lr > 0 and self.noise >= 0):
            raise ValueError(f"`lr` must be above 0 and `noise` at least 0; found {self.lr!r} and {self.noise!r}.")


class ProfileTower(nn.Module):
    """Writes a gene profile for a text embedding: a small network, plus a linear map, on axes of gene space.

    Parameters
    ----------
    dim
        Width of text embeddings.
    axes
        Initial axes, shape `(n_genes, n_axes)`; they are trained.
    n_hidden
        Width of the hidden layer.
    """

    def __init__(self, dim: int, axes: "Tensor", n_hidden: int) -> None:
        super().__init__()
        n_axes = axes.shape[1]
        self.network = nn.Sequential(nn.Linear(dim, n_hidden), nn.GELU(), nn.Linear(n_hidden, n_axes))
        self.linear = nn.Linear(dim, n_axes)
        self.axes = nn.Parameter(axes.clone())

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.axes.device

    def forward(self, texts: "Tensor") -> "Tensor":
        """Profiles `(n_texts, n_genes)` from embeddings `(n_texts, dim)`."""
        profiles: Tensor = (self.network(texts) + self.linear(texts)) @ self.axes.T
        return profiles


class _Step(NamedTuple):
    """What one step sees: types as numbers with a wording each, and cells with the genes that are not hidden."""

    types: "IntArray"
    wordings: "IntArray"
    cells: "list[tuple[IntArray, IntArray, Tensor]]"  # per study: rows, wording per label, kept genes


class AlignmentLoss(nn.Module):
    """What a tower is trained by; see :class:`scmpt_scverse.module.Trainable`.

    Contrast both ways between written profiles and marker profiles of many types, plus their distance; and, of real
    cells, the cross-entropy of their label among those of their study.

    Parameters
    ----------
    tower
        What is trained.
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
        """Nothing: what is held out are whole studies and types, which are scored as users will."""
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
    accelerator: str = "auto",
    progress: bool = False,
) -> "tuple[ProfileTower, FloatArray]":
    """Train a tower, and give it with the loss of each step; the same inputs and seed give the same ones.

    Parameters
    ----------
    texts, markers, studies
        As for :class:`AlignmentLoss`.
    options
        How; `None` takes the defaults.
    accelerator
        As in Lightning.
    progress
        Show a progress bar.
    """
    options = options or TowerOptions()
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
            accelerator=accelerator,
            progress=progress,
        )
    return tower.cpu().eval(), losses


def marker_axes(profiles: "Tensor", n_axes: int) -> "tuple[Tensor, Tensor]":
    """Axes `(n_genes, n_axes)` and coordinates `(n_types, n_axes)` whose product comes nearest to unit profiles."""
    unit = functional.normalize(profiles, dim=1)
    n_axes = min(n_axes, *unit.shape)
    left, values, right = torch.svd_lowrank(unit, q=n_axes, niter=_POWER_ITERATIONS)
    root = values.sqrt()
    return right * root, left * root


class _Steps(IterableDataset[_Step]):
    """Endless steps, drawn by a generator of their own."""

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


def ridge_weights(texts: "FloatArray", profiles: "FloatArray", penalty: float = 1.0) -> "FloatArray":
    """Kernel ridge regression from texts to profiles, as weights `(dim, n_genes)`: what training has to beat.

    Parameters
    ----------
    texts
        Centred embeddings, shape `(n_types, dim)`.
    profiles
        Marker profiles of length 1, shape `(n_types, n_genes)`.
    penalty
        Added to the diagonal of the kernel matrix.
    """
    kernel = texts @ texts.T + penalty * np.eye(len(texts))
    weights: FloatArray = texts.T @ np.linalg.solve(kernel, profiles)
    return weights
