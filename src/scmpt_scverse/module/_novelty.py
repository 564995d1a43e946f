"""How strange a cell is: its distance to the nearest training cells."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scmpt_scverse.module._linear_heads import PrincipalAxes

if TYPE_CHECKING:
    from torch import Tensor

#: Training cells that others are compared with, and neighbours whose mean distance counts.
N_REFERENCES, _N_NEIGHBORS = 2000, 10
#: Principal axes of each modality; beyond them there is more noise than type.
_N_AXES = 50


def fit_novelty(inputs: "Mapping[str, Tensor]") -> dict[str, Any]:
    """What :func:`novelty` compares with, as plain arrays that can be saved.

    Parameters
    ----------
    inputs
        Standardised modalities of the reference cells, `{modality: (n_obs, dim)}`.
    """
    axes = {}
    for name, values in inputs.items():
        # Axes of equal total variance: no modality outweighs another by its width.
        cells = PrincipalAxes.of(values.float()).first(_N_AXES)
        spread = (cells.squares.sum() / len(values)).sqrt()
        axes[name] = (cells.axes / torch.where(spread > 0, spread, 1)).cpu()
    references = projected(inputs, axes)
    return {
        "axes": {name: values.numpy() for name, values in axes.items()},
        "cells": references.numpy(),
        "distances": np.sort(_mean_distance(references, references, skip_itself=True).numpy()),
    }


def novelty(reference: Mapping[str, Any], inputs: "Mapping[str, Tensor]") -> "Tensor":
    """The share of training cells that are nearer to their neighbours than a cell is to its own, in [0, 1].

    Parameters
    ----------
    reference
        From :func:`fit_novelty`.
    inputs
        Standardised modalities, `{modality: (n_obs, dim)}`.
    """
    axes = {name: torch.from_numpy(values) for name, values in reference["axes"].items()}
    distances = _mean_distance(projected(inputs, axes), torch.from_numpy(reference["cells"]))
    smaller = np.searchsorted(reference["distances"], distances.numpy(), side="left")
    return torch.from_numpy(smaller / len(reference["distances"]))


def projected(inputs: "Mapping[str, Tensor]", axes: "Mapping[str, Tensor]") -> "Tensor":
    return torch.cat([inputs[name].float().cpu() @ values for name, values in axes.items()], dim=-1)


def _mean_distance(cells: "Tensor", references: "Tensor", *, skip_itself: bool = False) -> "Tensor":
    n_neighbors = min(_N_NEIGHBORS, len(references) - skip_itself)
    if n_neighbors == 0:
        return torch.zeros(len(cells))
    nearest = torch.cdist(cells, references).topk(n_neighbors + skip_itself, largest=False).values
    return nearest[:, skip_itself:].mean(dim=-1)
