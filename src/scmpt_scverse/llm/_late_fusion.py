"""Late fusion: mix the head's label probabilities with a language model's. Pure functions of arrays."""

from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse._checks import check_positive, check_share

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray

_WEIGHTS = np.linspace(0, 1, 101)
#: Smallest probability whose logarithm is taken, so that one certain error does not outweigh everything.
_FLOOR = 1e-6
#: Nats a cell that a larger weight must gain; less is rounding.
_LEAST_GAIN = 1e-6


def mix_probabilities(head: "FloatArray", llm: "FloatArray", weight: float) -> "FloatArray":
    """The linear mixture `(1 - weight) * head + weight * llm`.

    Parameters
    ----------
    head
        Label probabilities of the head, shape `(n_cells, n_labels)`.
    llm
        Those of the language model over the same labels; a row of NaN where it was not asked or did not answer.
    weight
        Share of the language model, in [0, 1].

    Returns
    -------
    Probabilities of the same shape and dtype as `head`. Rows about which the language model says nothing are the
    head's, and with `weight=0` all are, bit for bit.

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
    Of the weights 0, 0.01, ... 1 whose accuracy on these cells is not below that of weight 0, the head alone, the one
    of least negative log-likelihood; the smaller of equal ones. So on these cells the mixture is never below the head,
    in accuracy nor in likelihood. On other cells it can be.

    Raises
    ------
    ValueError
        The shapes differ, there is no cell, or a label is none of the columns.
    """
    labels = np.asarray(labels)
    if len(labels) != len(head) or len(labels) == 0:
        raise ValueError(f"Expected a label for each of at least one cell; found {len(labels)} for {len(head)} cells.")
    if labels.min() < 0 or labels.max() >= head.shape[1]:
        raise ValueError(f"Expected labels from 0 to {head.shape[1] - 1}; found {labels.min()} to {labels.max()}.")
    best, least = 0.0, np.inf
    for weight in _WEIGHTS:
        mixed = mix_probabilities(head, llm, float(weight))
        n_right = int((mixed.argmax(axis=1) == labels).sum())
        if weight == 0:
            n_right_alone = n_right
        loss = float(-np.log(np.maximum(mixed[np.arange(len(labels)), labels], _FLOOR)).sum())
        if n_right >= n_right_alone and loss < least - _LEAST_GAIN * len(labels):
            best, least = float(weight), loss
    return best


def mix_cross_fitted(
    head: "FloatArray", llm: "FloatArray", labels: "IntArray", *, n_folds: int = 5, seed: int = 0
) -> "FloatArray":
    """Mixtures in which no cell had a part in its own weight: each fold is mixed by the weight fitted on the others.

    So figures computed from them are honest, where those of cells that a weight was fitted on would flatter.

    Parameters
    ----------
    head, llm, labels
        As in :func:`fit_weight`.
    n_folds
        Number of folds; at most as many as cells.
    seed
        Of the order in which cells are dealt to folds.

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
