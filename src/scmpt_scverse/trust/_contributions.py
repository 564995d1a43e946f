"""How much each modality decided: Shapley values over the modalities, exact."""

from collections.abc import Callable, Mapping
from itertools import combinations
from math import factorial
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

Coalition = tuple[str, ...]


def logits_by_coalition(
    logits: "Callable[[Mapping[str, Tensor]], Tensor]", standardised: "Mapping[str, Tensor]"
) -> "dict[Coalition, Tensor]":
    """Logits with each choice of modalities, `(n_obs, n_labels)`; with none, every modality is at its mean.

    Parameters
    ----------
    logits
        Of any of the standardised modalities.
    standardised
        `{modality: (n_obs, dim)}`, with mean 0 over the training cells.
    """
    nothing = {name: torch.zeros_like(values) for name, values in standardised.items()}
    coalitions = [names for size in range(1, len(standardised) + 1) for names in combinations(standardised, size)]
    return {
        (): logits(nothing),
        **{names: logits({name: standardised[name] for name in names}) for names in coalitions},
    }


def contributions(logits: "Mapping[Coalition, Tensor]", names: Coalition, labels: "Tensor") -> "Tensor":
    """Shapley values of the modalities for the log-probability of a label, shape `(n_obs, n_modalities)`.

    Parameters
    ----------
    logits
        From :func:`logits_by_coalition`.
    names
        All modalities.
    labels
        Code of the label of each cell, shape `(n_obs,)`.

    Notes
    -----
    The mean, over all orders in which modalities could be shown to the model, of what the log-probability gains when
    this one is :cite:p:`shapley1953value`. They sum to the log-probability with all minus that with none.
    """
    values = {
        frozenset(coalition): each.log_softmax(dim=-1).gather(1, labels[:, None])[:, 0]
        for coalition, each in logits.items()
    }
    n = len(names)
    columns = []
    for name in names:
        others = [other for other in names if other != name]
        column = torch.zeros_like(values[frozenset()])
        for size in range(n):
            share = factorial(size) * factorial(n - size - 1) / factorial(n)
            for coalition in map(frozenset, combinations(others, size)):
                column = column + share * (values[coalition | {name}] - values[coalition])
        columns.append(column)
    return torch.stack(columns, dim=1)
