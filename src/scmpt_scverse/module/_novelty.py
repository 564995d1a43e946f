"""How strange a cell is: its distance to the nearest label of the training cells."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.covariance import LedoitWolf

from scmpt_scverse.module._linear_heads import PrincipalAxes

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import FloatArray, IntArray

#: Training cells that distances are learned from.
N_REFERENCES = 2000
#: Principal axes of each modality; beyond them there is more noise than type.
_N_AXES = 50


def fit_novelty(inputs: "Mapping[str, Tensor]", labels: "IntArray") -> dict[str, Any]:
    """What :func:`novelty` compares with, as plain arrays that can be saved.

    Parameters
    ----------
    inputs
        Standardised modalities of the reference cells, `{modality: (n_obs, dim)}`.
    labels
        Their label codes, shape `(n_obs,)`.
    """
    axes = {}
    for name, values in inputs.items():
        # Axes of equal total variance: no modality outweighs another by its width.
        cells = PrincipalAxes.of(values.float()).first(_N_AXES)
        spread = (cells.squares.sum() / len(values)).sqrt()
        axes[name] = (cells.axes / torch.where(spread > 0, spread, 1)).cpu().numpy()
    coordinates = projected(inputs, axes)
    # Cells are nearer to means that they are part of, so the usual distances are those to means of the other half.
    halves = np.arange(len(labels)) % 2 == 0
    usual = [
        distances(coordinates[~half], **labels_in_space(coordinates[half], labels[half]))
        for half in (halves, ~halves)
        if half.any() and not half.all()
    ]
    return {
        "axes": axes,
        "usual": np.sort(np.concatenate(usual)) if usual else np.zeros(1),
        **labels_in_space(coordinates, labels),
    }


def novelty(reference: Mapping[str, Any], inputs: "Mapping[str, Tensor]") -> "Tensor":
    """The share of training cells that are nearer to their nearest label than a cell is to its own, in [0, 1].

    Parameters
    ----------
    reference
        From :func:`fit_novelty`.
    inputs
        Standardised modalities, `{modality: (n_obs, dim)}`.

    Notes
    -----
    Mahalanobis distance to the nearest mean of a label, with the covariance that labels share :cite:p:`lee2018simple`,
    shrunk :cite:p:`ledoit2004well`.
    """
    found = distances(projected(inputs, reference["axes"]), reference["means"], reference["precision"])
    smaller = np.searchsorted(reference["usual"], found, side="left")
    return torch.from_numpy(smaller / len(reference["usual"]))


def projected(inputs: "Mapping[str, Tensor]", axes: "Mapping[str, FloatArray]") -> "FloatArray":
    """Modalities along their axes, side by side; shape `(n_obs, n_axes)`."""
    return torch.cat(
        [inputs[name].float().cpu() @ torch.from_numpy(values) for name, values in axes.items()], dim=-1
    ).numpy()


def labels_in_space(coordinates: "FloatArray", labels: "IntArray") -> "dict[str, FloatArray]":
    """Mean of each label, `means` of shape `(n_labels, n_axes)`, and the inverse of their covariance, `precision`."""
    known, codes = np.unique(labels, return_inverse=True)
    means = np.stack([coordinates[codes == code].mean(axis=0) for code in range(len(known))])
    precision = LedoitWolf(assume_centered=True).fit(coordinates - means[codes]).precision_
    return {"means": means, "precision": precision.astype(np.float32)}


def distances(coordinates: "FloatArray", means: "FloatArray", precision: "FloatArray") -> "FloatArray":
    """Squared Mahalanobis distance of each cell to the nearest mean, shape `(n_obs,)`."""
    by_label = []
    for mean in means:
        differences = coordinates - mean
        by_label.append(np.einsum("nd,nd->n", differences @ precision, differences))
    nearest: FloatArray = np.min(by_label, axis=0)
    return nearest
