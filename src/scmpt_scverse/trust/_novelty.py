"""Out-of-distribution score: how far a cell is from the nearest label of the training cells."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.linalg import eigh
from sklearn.covariance import LedoitWolf

from scmpt_scverse._checks import warn_user
from scmpt_scverse._slots import NOVEL_ABOVE
from scmpt_scverse.trust._calibration import warn_of_few_cells

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray

#: Training cells that distances are learned from.
N_REFERENCES = 2000
#: Where a larger share of at least so many cells is novel, the query differs as a whole, not by some of its types.
_LARGEST_SHARE, _LEAST_CELLS = 0.9, 50
#: Principal axes of each modality; beyond them there is more noise than type.
_N_AXES = 50
#: Parts of the training cells, each compared with what the others tell.
_N_FOLDS = 5
#: Directions of less variance than this share of the largest are rounding.
_SMALLEST_SHARE = 1e-7
_AXES = "axes."


@dataclass(frozen=True)
class Novelty:
    """Training cells to compare new cells with.

    Attributes
    ----------
    axes
        Principal axes of each modality, scaled so that all have the same total variance, `{modality: (dim, n_axes)}`.
    usual
        Distances of training cells to what was learned without them, ascending, shape `(n_references,)`.
    means
        Of each label, shape `(n_labels, n_axes)`.
    precision
        Inverse of the covariance that labels share, shape `(n_axes, n_axes)`.

    Notes
    -----
    Mahalanobis distance to the nearest mean of a label, with the covariance that labels share :cite:p:`lee2018simple`,
    shrunk :cite:p:`ledoit2004well`.
    """

    axes: "dict[str, FloatArray]"
    usual: "FloatArray"
    means: "FloatArray"
    precision: "FloatArray"

    @classmethod
    def fit(cls, inputs: "Mapping[str, FloatArray]", codes: "IntArray") -> Self:
        """From standardised modalities of reference cells, `{modality: (n_obs, dim)}`, and their label codes.

        Warns
        -----
        UserWarning
            There are fewer than 5 cells.
        """
        warn_of_few_cells(
            len(codes),
            "Novelty is learned from",
            "say what is usual",
            "Train on more cells, or do not rely on novelty.",
        )
        axes, means, precision = _fitted(inputs, codes)
        # Cells are nearer to means, and spread more along axes, that they have a part in, so the usual distances are
        # those of cells to what the others tell.
        folds = np.empty(len(codes), dtype=np.int64)
        folds[np.argsort(codes, kind="stable")] = np.arange(len(codes)) % _N_FOLDS  # every label in all of them
        usual = []
        for fold in np.unique(folds):
            is_out = folds == fold
            if not is_out.all():
                others = {name: values[~is_out] for name, values in inputs.items()}
                own_axes, *labels = _fitted(others, codes[~is_out])
                out = {name: values[is_out] for name, values in inputs.items()}
                usual.append(_distances(_along(out, own_axes), *labels))
        every = np.sort(np.concatenate(usual)) if usual else np.zeros(1, dtype=np.float32)
        return cls(axes, every, means, precision)

    def coordinates(self, inputs: "Mapping[str, FloatArray]") -> "FloatArray":
        """Standardised modalities along the axes, side by side; shape `(n_obs, n_axes)`."""
        return _along(inputs, self.axes)

    def scores(self, inputs: "Mapping[str, FloatArray]") -> "FloatArray":
        """The share of training cells that are nearer to their nearest label than a cell is to its own, in [0, 1].

        `inputs` are standardised modalities, `{modality: (n_obs, dim)}`. NaN where a modality is missing, since
        distances would not compare.
        """
        if set(inputs) != set(self.axes):
            return np.full(len(next(iter(inputs.values()))), np.nan)
        found = _distances(self.coordinates(inputs), self.means, self.precision)
        shares: FloatArray = np.searchsorted(self.usual, found, side="left") / len(self.usual)
        return shares

    def arrays(self) -> "dict[str, FloatArray]":
        """All that there is, as named arrays."""
        axes = {f"{_AXES}{name}": values for name, values in self.axes.items()}
        return {"usual": self.usual, "means": self.means, "precision": self.precision, **axes}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`arrays`."""
        axes = {key.removeprefix(_AXES): values for key, values in arrays.items() if key.startswith(_AXES)}
        return cls(axes, arrays["usual"], arrays["means"], arrays["precision"])


def warn_of_novel_cells(novelty: "FloatArray") -> None:
    """Warn where so many cells are unlike the reference that this is no matter of single types."""
    n_cells, n_novel = int(np.isfinite(novelty).sum()), int((novelty > NOVEL_ABOVE).sum())
    if n_cells >= _LEAST_CELLS and n_novel > _LARGEST_SHARE * n_cells:
        warn_user(
            f"{n_novel} of {n_cells} cells have a novelty above {NOVEL_ABOVE}: these cells as a whole are unlike the "
            "training cells, as those of another technology or with other genes are. So novelty does not tell which of "
            "them are of types that were not trained on, and labels may be wrong. A model of the genes that both have, "
            "`SCMPT(reference, genes=query.var_names)`, often helps; check labels by marker genes."
        )


def _fitted(
    inputs: "Mapping[str, FloatArray]", codes: "IntArray"
) -> "tuple[dict[str, FloatArray], FloatArray, FloatArray]":
    """Axes of each modality, and along them the means of labels and the inverse of their covariance."""
    axes = {}
    for name, values in inputs.items():
        squares, directions = _principal_axes(values)
        spread = np.sqrt(squares.sum() / len(values))
        axes[name] = (directions / (spread if spread > 0 else 1)).astype(np.float32)
    return axes, *_labels_in_space(_along(inputs, axes), codes)


def _principal_axes(values: "FloatArray") -> "tuple[FloatArray, FloatArray]":
    """Sums of squares along the first axes of standardised features, largest first, and the axes, `(dim, n_axes)`."""
    wide = values.shape[0] < values.shape[1]
    gram = (values @ values.T if wide else values.T @ values).astype(np.float64)
    last = len(gram) - 1
    squares, vectors = eigh(gram, subset_by_index=(max(0, last - _N_AXES + 1), last))
    squares, vectors = squares[::-1], vectors[:, ::-1]
    kept = squares > _SMALLEST_SHARE * squares[0]
    kept[0] = True  # where nothing varies, there is still an axis
    squares, vectors = squares[kept].clip(min=np.finfo(np.float32).tiny), vectors[:, kept]
    return squares, values.T @ (vectors / np.sqrt(squares)) if wide else vectors


def _along(inputs: "Mapping[str, FloatArray]", axes: "Mapping[str, FloatArray]") -> "FloatArray":
    # By name: a saved model has its arrays in another order than they were learned in, and means belong to columns.
    return np.concatenate([inputs[name] @ axes[name] for name in sorted(axes)], axis=1)


def _labels_in_space(coordinates: "FloatArray", codes: "IntArray") -> "tuple[FloatArray, FloatArray]":
    """Mean of each label, shape `(n_labels, n_axes)`, and the inverse of their covariance."""
    known, places = np.unique(codes, return_inverse=True)
    means = np.stack([coordinates[places == place].mean(axis=0) for place in range(len(known))])
    precision = LedoitWolf(assume_centered=True).fit(coordinates - means[places]).precision_
    return means, precision.astype(np.float32)


def _distances(coordinates: "FloatArray", means: "FloatArray", precision: "FloatArray") -> "FloatArray":
    """Squared Mahalanobis distance of each cell to the nearest mean, shape `(n_obs,)`."""
    by_label = []
    for mean in means:
        differences = coordinates - mean
        by_label.append(np.einsum("nd,nd->n", differences @ precision, differences))
    nearest: FloatArray = np.min(by_label, axis=0)
    return nearest
