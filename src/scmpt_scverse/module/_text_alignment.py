"""Text and genes aligned: what writes the gene profile of a label, from its text and its markers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from scmpt_scverse.module._profile_tower import ProfileTower, TowerOptions, fit_tower, marker_axes

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray
    from scmpt_scverse.module._profile_tower import LabelledStudy

#: Axes on which marker profiles are kept: what types share remains, single odd genes go.
_N_MARKER_AXES = 256


@dataclass(frozen=True)
class Scale:
    """How the parts of a score are put together, learned from studies that were left out.

    Attributes
    ----------
    tower, markers
        Standard deviation of each part over cells and labels. Parts are divided by it before they are added, so that
        they weigh the same.
    raw, smoothed, refined
        Temperature of the sum as it is, after smoothing, and of the logarithm of refined probabilities.
    """

    tower: float = 0.1
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
    """

    center: "FloatArray"
    tower: ProfileTower
    axes: "FloatArray"
    type_texts: "FloatArray"
    type_markers: "FloatArray"
    scale: Scale = Scale()

    @classmethod
    def fit(
        cls,
        texts: "FloatArray",
        markers: "FloatArray",
        studies: "Sequence[LabelledStudy]" = (),
        options: TowerOptions | None = None,
        *,
        accelerator: str = "auto",
        progress: bool = False,
    ) -> Self:
        """From embeddings of texts `(n_types, n_wordings, dim)`, markers `(n_types, n_genes)` and labelled cells."""
        center = texts.mean(axis=(0, 1))
        centred = texts - center
        tower = fit_tower(centred, markers, studies, options, accelerator=accelerator, progress=progress)
        profiles = torch.from_numpy(np.asarray(markers, dtype=np.float32))
        with torch.random.fork_rng():
            torch.manual_seed(0)  # of the randomised decomposition
            axes, coordinates = marker_axes(profiles, _N_MARKER_AXES)
        return cls(center, tower, axes.numpy(), centred.mean(axis=1), coordinates.numpy())

    def written(self, texts: "FloatArray") -> "FloatArray":
        """Profiles that the tower writes for centred embeddings `(n_labels, dim)`; shape `(n_labels, n_genes)`."""
        with torch.inference_mode():
            embeddings = torch.from_numpy(np.asarray(texts, dtype=np.float32)).to(self.tower.device)
            profiles: FloatArray = self.tower(embeddings).cpu().numpy()
        return profiles

    def profiles(self, texts: "FloatArray", markers: "FloatArray", is_used: "BoolArray") -> "FloatArray":
        """The profile of each label, from which its score follows.

        Parameters
        ----------
        texts
            Mean of the wordings, centred, shape `(n_labels, dim)`.
        markers
            Marker profiles, shape `(n_labels, n_genes)`; a row of zeros where nothing is known.
        is_used
            Genes that the query tells cells apart by, shape `(n_genes,)`.

        Returns
        -------
        Shape `(n_labels, n_genes)`: the unit profiles of both parts, each divided by its scale, added. A label
        without markers in the query has the part of the tower at the weight of both.
        """
        written = unit_profiles(self.written(texts), is_used) / self.scale.tower
        known = unit_profiles(markers, is_used) / self.scale.markers
        alone = ~known.any(axis=1)
        # Independent parts of variance 1 add to variance 2.
        written[alone] *= np.sqrt(2)
        return written + known

    def arrays(self) -> "dict[str, FloatArray]":
        """Everything, as named arrays."""
        tower = {f"tower.{name}": values.cpu().numpy() for name, values in self.tower.state_dict().items()}
        parts = {name: getattr(self, name) for name in ("center", "axes", "type_texts", "type_markers")}
        scale = {f"scale.{name}": np.float64(value) for name, value in asdict(self.scale).items()}
        return tower | parts | scale

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
        parts = {name: values[name] for name in ("center", "axes", "type_texts", "type_markers")}
        return cls(tower=tower.eval(), scale=scale, **parts)


def unit_profiles(profiles: "FloatArray", is_used: "BoolArray") -> "FloatArray":
    """Profiles over some of the genes, of length 1 there; a profile that is empty there stays 0."""
    kept = np.asarray(profiles, dtype=np.float64) * is_used
    lengths = np.linalg.norm(kept, axis=1, keepdims=True)
    return np.divide(kept, lengths, out=np.zeros_like(kept), where=lengths > 0)
