"""Late fusion: mix the label probabilities of a classifier with those of a language model, as arrays."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse._checks import check_positive, check_share

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray

_WEIGHTS = np.linspace(0, 1, 101)
#: Smallest probability whose logarithm is taken, so that one confident error does not outweigh everything.
_FLOOR = 1e-6
#: Smallest gain, in nats per cell, for which a larger weight is chosen; less is rounding.
_LEAST_GAIN = 1e-6


@dataclass(frozen=True)
class Mixture:
    """A classifier and a language model, mixed.

    Attributes
    ----------
    weight
        Share of the language model, in [0, 1].
    probabilities
        The mixture, shape `(n_obs, n_labels)`.
    held_out
        The mixture for the labelled cells, shape `(n_labelled, n_labels)`, from which metrics may be computed: if the
        weight is fitted, each of these cells is mixed with a weight that was fitted without it.
    """

    weight: float
    probabilities: "FloatArray"
    held_out: "FloatArray"


def mix(
    head: "FloatArray",
    llm: "FloatArray",
    labels: "IntArray",
    labelled: "IntArray",
    *,
    weight: float | None = None,
    seed: int = 0,
) -> Mixture:
    """Mix all cells with a weight that is given, or fitted on the labelled ones.

    Parameters
    ----------
    head, llm
        As in :func:`mix_probabilities`.
    labels
        Columns of the true labels, shape `(n_obs,)`; read only for `labelled` cells.
    labelled
        Rows of the cells on which the weight is fitted and evaluated.
    weight
        Share of the language model; `None` fits it, and gives 0 where there is no labelled cell.
    seed
        Seed of the order in which cells are assigned to folds.

    Raises
    ------
    ValueError
        As in :func:`mix_probabilities` and :func:`fit_weight`.
    """
    ours, theirs, truth = head[labelled], llm[labelled], labels[labelled]
    if weight is not None:
        held_out = mix_probabilities(ours, theirs, weight)
    else:
        held_out = mix_cross_fitted(ours, theirs, truth, seed=seed)
        weight = fit_weight(ours, theirs, truth) if len(labelled) else 0.0
    return Mixture(weight, mix_probabilities(head, llm, weight), held_out)


def mix_probabilities(head: "FloatArray", llm: "FloatArray", weight: float) -> "FloatArray":
    """The linear mixture `(1 - weight) * head + weight * llm`.

    Parameters
    ----------
    head
        Label probabilities of the classifier, shape `(n_cells, n_labels)`.
    llm
        Those of the language model over the same labels; a row of NaN where it was not asked or did not answer.
    weight
        Share of the language model, in [0, 1].

    Returns
    -------
    Probabilities of the same shape and dtype as `head`. Rows without an answer equal those of `head`, and with
    `weight=0` all rows do, bit for bit.

    Raises
    ------
    ValueError
        The shapes differ, or the weight is out of range.
    """
    check_share(weight, "weight")
    if head.shape != llm.shape:
        raise ValueError(
            f"Expected the same cells and labels from both; found shapes {head.shape} (head) and {llm.shape} (llm)."
        )
    mixed = head.copy()
    if weight > 0:
        has_opinion = np.isfinite(llm).all(axis=1)
        mixed[has_opinion] = (1 - weight) * head[has_opinion] + weight * llm[has_opinion]
    return mixed


def fit_weight(head: "FloatArray", llm: "FloatArray", labels: "IntArray") -> float:
    """The weight of the language model that does best on labelled cells.

    Parameters
    ----------
    head, llm
        As in :func:`mix_probabilities`. The head must not have been trained on these cells.
    labels
        Columns of the true labels, shape `(n_cells,)`.

    Returns
    -------
    Among the weights 0, 0.01, ..., 1 whose accuracy on these cells is at least that of weight 0 (the head alone), the
    one with the lowest negative log-likelihood; of equal ones, the smallest. On these cells, the mixture is therefore
    never worse than the head in accuracy or likelihood. On other cells it can be.

    Raises
    ------
    ValueError
        The shapes differ, there is no cell, or a label is not among the columns.
    """
    labels = np.asarray(labels)
    if len(labels) != len(head) or len(labels) == 0:
        raise ValueError(f"Expected a label for each of at least one cell; found {len(labels)} for {len(head)} cells.")
    if labels.min() < 0 or labels.max() >= head.shape[1]:
        raise ValueError(f"Expected labels from 0 to {head.shape[1] - 1}; found {labels.min()} to {labels.max()}.")
    best, lowest = 0.0, np.inf
    for weight in _WEIGHTS:
        mixed = mix_probabilities(head, llm, float(weight))
        n_right = int((mixed.argmax(axis=1) == labels).sum())
        if weight == 0:
            n_right_alone = n_right
        loss = float(-np.log(np.maximum(mixed[np.arange(len(labels)), labels], _FLOOR)).sum())
        if n_right >= n_right_alone and loss < lowest - _LEAST_GAIN * len(labels):
            best, lowest = float(weight), loss
    return best


def mix_cross_fitted(
    head: "FloatArray", llm: "FloatArray", labels: "IntArray", *, n_folds: int = 5, seed: int = 0
) -> "FloatArray":
    """Cross-fitted mixtures: each fold is mixed with the weight that was fitted on the other folds.

    Metrics of these mixtures are not inflated, unlike those on the cells on which a weight was fitted.

    Parameters
    ----------
    head, llm, labels
        As in :func:`fit_weight`.
    n_folds
        Number of folds, at least 2; no more than the number of cells are used.
    seed
        Seed of the order in which cells are assigned to folds.

    Returns
    -------
    Probabilities, shape `(n_cells, n_labels)`; the head's where there are fewer than two cells.
    """
    check_positive(n_folds, "n_folds")
    mixed = head.copy()
    if len(labels) < 2:
        return mixed
    order = np.random.default_rng(seed).permutation(len(labels))
    for fold in np.array_split(order, min(n_folds, len(labels))):
        others = np.setdiff1d(order, fold)
        weight = fit_weight(head[others], llm[others], labels[others])
        mixed[fold] = mix_probabilities(head[fold], llm[fold], weight)
    return mixed
