"""Text and genes aligned: what writes the gene profile of a label, from its text and its markers."""

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

#: Axes on which marker profiles are kept: what types share remains, single odd genes go.
_N_MARKER_AXES = 256
#: Arrays of a saved alignment beside tower and scale; losses are missing where they were not kept.
_PARTS, _LOSSES = ("center", "axes", "type_texts", "type_markers"), "losses"


@dataclass(frozen=True)
class Scale:
    """How the parts of a score are put together, learned from studies that were left out.

    Attributes
    ----------
    tower, ridge, markers
        Standard deviation of each part over cells and labels. Parts are divided by it before they are added, so that
        they weigh the same.
    raw, smoothed, refined
        Temperature of the sum as it is, after smoothing, and of the logarithm of refined probabilities.
    """

    tower: float = 0.1
    ridge: float = 0.1
    markers: float = 0.1
    raw: float = 1.0
    smoothed: float = 1.0
    refined: float = 1.0


@dataclass(frozen=True)
class TextAlignment:
    """Writes gene profiles of labels.

    Attributes
    ----------
    center
        Mean text embedding of the registered types, shape `(dim,)`.
    tower
        Text to profile.
    axes
        Of marker profiles, shape `(n_genes, n_axes)`.
    type_texts
        Mean embedding of the wordings of each registered type, centred, shape `(n_types, dim)`.
    type_markers
        Its markers on `axes`, shape `(n_types, n_axes)`; zeros where it has none.
    scale
        How the parts are put together.
    background
        Mean and scale of each gene over the training studies.
    losses
        Of each step of training, shape `(n_steps,)`; empty where it was not kept.
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
        """From embeddings of texts `(n_types, n_wordings, dim)`, markers `(n_types, n_genes)` and labelled cells."""
        center = texts.mean(axis=(0, 1))
        centred = texts - center
        tower, losses = fit_tower(centred, markers, studies, options, run=run)
        profiles = torch.from_numpy(np.asarray(markers, dtype=np.float32))
        with torch.random.fork_rng():
            torch.manual_seed(0)  # of the randomised decomposition
            axes, coordinates = marker_axes(profiles, _N_MARKER_AXES)
        return cls(center, tower, axes.numpy(), centred.mean(axis=1), coordinates.numpy(), losses=losses)

    def written(self, texts: "FloatArray") -> "FloatArray":
        """Profiles that the tower writes for centred embeddings `(n_labels, dim)`; shape `(n_labels, n_genes)`."""
        with torch.inference_mode():
            embeddings = torch.from_numpy(np.asarray(texts, dtype=np.float32)).to(self.tower.device)
            profiles: FloatArray = self.tower(embeddings).cpu().numpy()
        return profiles

    def guessed(self, texts: "FloatArray") -> "FloatArray":
        """Marker profiles that the ridge guesses from centred embeddings `(n_labels, dim)`; `(n_labels, n_genes)`."""
        profiles: FloatArray = texts @ self._ridge @ self.axes.T
        return profiles

    def parts(self, texts: "FloatArray", markers: "FloatArray", is_used: "BoolArray") -> "dict[str, FloatArray]":
        """What each part adds to the profile of each label; the score is linear in each.

        Parameters
        ----------
        texts
            Mean of the wordings, centred, shape `(n_labels, dim)`; a row of zeros where the text says nothing.
        markers
            Marker profiles, shape `(n_labels, n_genes)`; a row of zeros where nothing is known.
        is_used
            Genes that the query tells cells apart by, shape `(n_genes,)`.

        Returns
        -------
        `"tower"`, what the network writes; `"ridge"`, the markers that kernel ridge regression guesses from the text;
        and `"markers"`, those that are known; each of shape `(n_labels, n_genes)`: unit profiles, divided by the scale
        of the part. A label that lacks a part has the others at the weight of all.
        """
        has_text = np.asarray(texts).any(axis=1, keepdims=True)
        parts = {
            "tower": unit_profiles(self.written(texts) * has_text, is_used) / self.scale.tower,
            "ridge": unit_profiles(self.guessed(texts), is_used) / self.scale.ridge,
            "markers": unit_profiles(markers, is_used) / self.scale.markers,
        }
        n_parts = np.sum([part.any(axis=1, keepdims=True) for part in parts.values()], axis=0)
        # Independent parts of variance 1 add to a variance of their number.
        weights = np.sqrt(len(parts) / np.maximum(n_parts, 1))
        return {name: part * weights for name, part in parts.items()}

    def profiles(self, texts: "FloatArray", markers: "FloatArray", is_used: "BoolArray") -> "FloatArray":
        """The profile of each label, from which its score follows: the sum of :meth:`parts`, `(n_labels, n_genes)`."""
        return sum(self.parts(texts, markers, is_used).values(), np.zeros(1))

    @cached_property
    def _ridge(self) -> "FloatArray":
        """From centred texts to coordinates on `axes` of unit marker profiles, shape `(dim, n_axes)`."""
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
    """Profiles over some of the genes, of length 1 there; a profile that is empty there stays 0."""
    kept = np.asarray(profiles, dtype=np.float64) * is_used
    lengths = np.linalg.norm(kept, axis=1, keepdims=True)
    return np.divide(kept, lengths, out=np.zeros_like(kept), where=lengths > 0)
