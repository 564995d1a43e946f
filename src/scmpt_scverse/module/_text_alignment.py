"""Align texts and genes: predict the gene profile of a label from its text and its markers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from scmpt_scverse.module._profile_tower import ProfileTower, TowerOptions, marker_axes, ridge_weights
from scmpt_scverse.module._standardisation import Standardisation
from scmpt_scverse.module._tower_training import fit_tower
from scmpt_scverse.module._training_run import TrainingRun

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray
    from scmpt_scverse.module._tower_training import LabelledStudy

#: Number of axes for marker profiles, which keep what types share and drop single genes.
_N_MARKER_AXES = 256
#: Arrays of a saved alignment besides tower and scale; losses may be missing.
_PARTS, _LOSSES = ("center", "axes", "type_texts", "type_markers"), "losses"


@dataclass(frozen=True)
class Scale:
    """How the parts of a score are combined, learned from held-out studies.

    Attributes
    ----------
    tower, ridge, markers
        Standard deviation of each part over cells and labels. Parts are divided by it before they are added, so that
        they have equal weight.
    raw, smoothed, refined
        Temperature of the sum itself, of the smoothed sum, and of the logarithm of refined probabilities.
    """

    tower: float = 0.1
    ridge: float = 0.1
    markers: float = 0.1
    raw: float = 1.0
    smoothed: float = 1.0
    refined: float = 1.0


@dataclass(frozen=True)
class TextAlignment:
    """Predicts gene profiles of labels.

    Attributes
    ----------
    center
        Mean text embedding of the registered types, shape `(dim,)`.
    tower
        Maps texts to profiles.
    axes
        Axes of marker profiles, shape `(n_genes, n_axes)`.
    type_texts
        Mean embedding of the wordings of each registered type, centred, shape `(n_types, dim)`.
    type_markers
        Marker profile of each registered type on `axes`, shape `(n_types, n_axes)`; zeros for a type without markers.
    scale
        How the parts are combined.
    background
        Mean and scale of each gene over the training studies.
    losses
        Loss of each training step, shape `(n_steps,)`; empty if not kept.
    """

    center: "FloatArray"
    tower: ProfileTower
    axes: "FloatArray"
    type_texts: "FloatArray"
    type_markers: "FloatArray"
    scale: Scale = Scale()
    background: Standardisation | None = None
    losses: "FloatArray" = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    @classmethod
    def fit(
        cls,
        texts: "FloatArray",
        markers: "FloatArray",
        studies: "Sequence[LabelledStudy]" = (),
        options: TowerOptions | None = None,
        *,
        run: TrainingRun | None = None,
    ) -> Self:
        """Train on text embeddings `(n_types, n_wordings, dim)`, markers `(n_types, n_genes)` and labelled cells."""
        center = texts.mean(axis=(0, 1))
        centred = texts - center
        tower, losses = fit_tower(centred, markers, studies, options, run=run)
        profiles = torch.from_numpy(np.asarray(markers, dtype=np.float32))
        with torch.random.fork_rng():
            torch.manual_seed(0)  # of the randomised decomposition
            axes, coordinates = marker_axes(profiles, _N_MARKER_AXES)
        return cls(center, tower, axes.numpy(), centred.mean(axis=1), coordinates.numpy(), losses=losses)

    def written(self, texts: "FloatArray") -> "FloatArray":
        """Profiles from the tower for centred embeddings `(n_labels, dim)`; shape `(n_labels, n_genes)`."""
        with torch.inference_mode():
            embeddings = torch.from_numpy(np.asarray(texts, dtype=np.float32)).to(self.tower.device)
            profiles: FloatArray = self.tower(embeddings).cpu().numpy()
        return profiles

    def guessed(self, texts: "FloatArray") -> "FloatArray":
        """Marker profiles from ridge regression on centred embeddings `(n_labels, dim)`; `(n_labels, n_genes)`."""
        profiles: FloatArray = texts @ self._ridge @ self.axes.T
        return profiles

    def parts(self, texts: "FloatArray", markers: "FloatArray", is_used: "BoolArray") -> "dict[str, FloatArray]":
        """The parts of the profile of each label; the score is linear in each.

        Parameters
        ----------
        texts
            Mean of the wordings, centred, shape `(n_labels, dim)`; a row of zeros for a label without a text.
        markers
            Marker profiles, shape `(n_labels, n_genes)`; a row of zeros for a label without markers.
        is_used
            Which genes to use, those that vary in the query, shape `(n_genes,)`.

        Returns
        -------
        `"tower"`, from the network; `"ridge"`, markers predicted from the text by kernel ridge regression; and
        `"markers"`, the known ones; each of shape `(n_labels, n_genes)`: unit profiles, divided by the scale of the
        part. If a label lacks parts, the others are scaled up so that the sum keeps its variance.
        """
        has_text = np.asarray(texts).any(axis=1, keepdims=True)
        parts = {
            "tower": unit_profiles(self.written(texts) * has_text, is_used) / self.scale.tower,
            "ridge": unit_profiles(self.guessed(texts), is_used) / self.scale.ridge,
            "markers": unit_profiles(markers, is_used) / self.scale.markers,
        }
        n_parts = np.sum([part.any(axis=1, keepdims=True) for part in parts.values()], axis=0)
        # The variance of a sum of independent parts of variance 1 is their number.
        weights = np.sqrt(len(parts) / np.maximum(n_parts, 1))
        return {name: part * weights for name, part in parts.items()}

    def profiles(self, texts: "FloatArray", markers: "FloatArray", is_used: "BoolArray") -> "FloatArray":
        """The profile to score each label by: the sum of :meth:`parts`, shape `(n_labels, n_genes)`."""
        return sum(self.parts(texts, markers, is_used).values(), np.zeros(1))

    @cached_property
    def _ridge(self) -> "FloatArray":
        """Maps centred texts to coordinates of unit marker profiles on `axes`, shape `(dim, n_axes)`."""
        lengths = np.linalg.norm(self.type_markers @ self.axes.T, axis=1)
        known = lengths > 0
        return ridge_weights(self.type_texts[known], self.type_markers[known] / lengths[known, None])

    def arrays(self) -> "dict[str, FloatArray]":
        """Everything, as named arrays."""
        tower = {f"tower.{name}": values.cpu().numpy() for name, values in self.tower.state_dict().items()}
        parts = {name: getattr(self, name) for name in (*_PARTS, _LOSSES)}
        scale = {f"scale.{name}": np.float64(value) for name, value in asdict(self.scale).items()}
        background = (
            {}
            if self.background is None
            else {f"background.{name}": values for name, values in asdict(self.background).items()}
        )
        return tower | parts | scale | background

    @classmethod
    def from_arrays(cls, arrays: "Mapping[str, Any]") -> Self:
        """The inverse of :meth:`arrays`; float16 becomes float32."""
        values = {name: np.asarray(each, dtype=np.float32) for name, each in arrays.items()}
        weights = {
            name.removeprefix("tower."): torch.from_numpy(each)
            for name, each in values.items()
            if name.startswith("tower.")
        }
        n_hidden, dim = weights["network.0.weight"].shape
        tower = ProfileTower(dim, weights["axes"], n_hidden)
        tower.load_state_dict(weights)
        scale = Scale(**{name: float(values[f"scale.{name}"]) for name in asdict(Scale())})
        parts = {name: values[name] for name in (*_PARTS, _LOSSES) if name in values or name != _LOSSES}
        background = None
        if "background.mean" in values:
            background = Standardisation(values["background.mean"], values["background.scale"])
        return cls(tower=tower.eval(), scale=scale, background=background, **parts)


def unit_profiles(profiles: "FloatArray", is_used: "BoolArray") -> "FloatArray":
    """Profiles restricted to some of the genes and scaled to length 1; a profile without any of them is 0."""
    kept = np.asarray(profiles, dtype=np.float64) * is_used
    lengths = np.linalg.norm(kept, axis=1, keepdims=True)
    return np.divide(kept, lengths, out=np.zeros_like(kept), where=lengths > 0)
