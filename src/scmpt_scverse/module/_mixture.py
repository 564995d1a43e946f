"""Weights of the modalities of a stacked head, learned out of fold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.metrics import f1_score

from scmpt_scverse.module._principal_axes import BLOCK_SIZE
from scmpt_scverse.module._stacking import is_judged

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.module._stacking import LinearHead

#: Shares of the best single modality to try in the weights of the mixture.
_MIXTURES = (0.0, 0.5, 1.0)
#: Strength of the prior on equal weights, as a number of training cells. A handful of cells does not show which
#: modality is better; from about a hundred on, the prior hardly matters.
_PRIOR_CELLS = 1.0
#: Tolerance for the loss and its gradient.
_TOLERANCE = 1e-10


def mixture_weights(heads: "Mapping[str, LinearHead]", labels: "Tensor", cell_weights: "Tensor") -> "FloatArray":
    """Weight of each modality's log-probabilities, at least 0, shape `(n_modalities,)`.

    The weights minimise cross-entropy out of fold, plus a small penalty on their distance from equal weights, which
    matters if there are few cells. They need not sum to 1, so they also calibrate the mixture on the training cells.
    Labels with a single cell are ignored: the head that leaves this cell out has never seen its label. Without any
    other label, weights are equal. If the best single modality alone, or its average with the mixture, has a higher
    macro F1 out of fold, its weights are used instead. The best modality is the one with the lowest cross-entropy: with
    few cells, macro F1 depends on one or two of a rare label.
    """
    labels, cell_weights = labels.cpu(), cell_weights.double().cpu()
    judged = is_judged(labels, cell_weights)
    if not judged.any():
        return np.full(len(heads), 1 / len(heads))
    every = _Judged([head.out_of_fold for head in heads.values()], labels, cell_weights, judged.nonzero()[:, 0])
    mixed = _least_cross_entropy(every)
    alone = []
    for modality, head in enumerate(heads.values()):
        weights = np.zeros(len(heads))
        one = replace(every, log_probabilities=[head.out_of_fold])
        weights[modality] = _least_cross_entropy(one)[0]
        alone.append(weights)
    best = alone[int(np.argmin([every.loss(weights)[0] for weights in alone]))]
    candidates = [(1 - share) * mixed + share * best for share in _MIXTURES]
    return candidates[int(np.argmax([every.macro_f1(weights) for weights in candidates]))]


def mix(log_probabilities: "Tensor", weights: "Tensor") -> "Tensor":
    """Log-probabilities of a mixture, up to a constant per cell; sums over the first axis, the modalities."""
    return torch.einsum("m,m...->...", weights, log_probabilities)


@dataclass(frozen=True)
class _Judged:
    """Cells on which mixtures are evaluated, in double precision, block by block.

    Attributes
    ----------
    log_probabilities
        Of each modality, shape `(n_obs, n_labels)`.
    labels, cell_weights
        Label code and weight of each cell, shape `(n_obs,)`.
    rows
        Row numbers of the cells to evaluate on.
    """

    log_probabilities: "list[Tensor]"
    labels: "Tensor"
    cell_weights: "Tensor"
    rows: "Tensor"

    def _blocks(self) -> "Iterator[tuple[Tensor, Tensor]]":
        """Row numbers, and log-probabilities by all modalities, shape `(n_modalities, n_rows, n_labels)`."""
        for rows in self.rows.split(BLOCK_SIZE):
            yield rows, torch.stack([each[rows.to(each.device)].cpu() for each in self.log_probabilities]).double()

    def loss(self, weights: "FloatArray") -> "tuple[float, FloatArray]":
        """Mean cross-entropy of a mixture, and its gradient with respect to the weights, shape `(n_modalities,)`."""
        of_modalities = torch.as_tensor(weights, dtype=torch.float64)
        total, loss = self.cell_weights[self.rows].sum(), torch.zeros((), dtype=torch.float64)
        gradient = torch.zeros_like(of_modalities)
        for rows, logs in self._blocks():
            logits = mix(logs, of_modalities)
            each = self.cell_weights[rows] / total
            truth = self.labels[rows][:, None]
            loss += each @ (logits.logsumexp(dim=1) - logits.gather(1, truth)[:, 0])
            expected = torch.einsum("mnl,nl->mn", logs, logits.softmax(dim=1))
            gradient += (expected - logs.gather(2, truth.expand(len(logs), -1, 1))[..., 0]) @ each
        return float(loss), gradient.numpy()

    def macro_f1(self, weights: "FloatArray") -> float:
        """Macro F1 of the labels that a mixture predicts."""
        predicted = [mix(logs, torch.as_tensor(weights)).argmax(dim=1) for _, logs in self._blocks()]
        truth = self.labels[self.rows].numpy()
        return float(f1_score(truth, torch.cat(predicted).numpy(), average="macro", zero_division=0))


def _least_cross_entropy(cells: _Judged) -> "FloatArray":
    """Weights of the modalities with the least penalised cross-entropy, at least 0, shape `(n_modalities,)`."""
    equal = np.full(len(cells.log_probabilities), 1 / len(cells.log_probabilities))
    prior = _PRIOR_CELLS / len(cells.rows)

    def loss(weights: "FloatArray") -> "tuple[float, FloatArray]":
        entropy, gradient = cells.loss(weights)
        away = weights - equal
        return entropy + prior * float(away @ away), gradient + 2 * prior * away

    found = minimize(loss, equal, jac=True, bounds=[(0, None)] * len(equal), method="L-BFGS-B", tol=_TOLERANCE)
    return np.asarray(found.x)
