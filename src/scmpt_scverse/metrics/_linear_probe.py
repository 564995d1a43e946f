"""How well a linear classifier predicts labels from a frozen embedding."""

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from scmpt_scverse._checks import check_positive, check_seed
from scmpt_scverse._labels import warn_of_doubtful_labels
from scmpt_scverse.metrics._classification import classification_metrics
from scmpt_scverse.metrics._embedding import finite_embedding, labels_of_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import FloatArray

_MAX_ITER = 1000


def linear_probe(embedding: "FloatArray", labels: "ArrayLike", *, n_splits: int = 5, seed: int = 0) -> float:
    """Macro F1 of logistic regression on an embedding, in stratified cross-validation.

    Parameters
    ----------
    embedding
        Of labelled cells, finite, shape `(n_obs, embedding_dim)`. It is standardised on the training cells of each
        fold.
    labels
        Their labels, shape `(n_obs,)`; each on at least `n_splits` cells.
    n_splits
        Folds; every cell is predicted once, by a classifier that did not see it.
    seed
        Seed of the folds.

    Returns
    -------
    Macro F1 over the predictions of all folds together, in [0, 1].

    Raises
    ------
    TypeError
        `embedding` holds no numbers, or `labels` is not a column.
    ValueError
        The embedding is not finite, lengths differ, a label is missing or on too few cells, or there is only one.

    Warns
    -----
    UserWarning
        Labels read like missing values, or differ only in how they are spelled.

    Examples
    --------
    >>> from scmpt_scverse import datasets, metrics
    >>> adata = datasets.pbmc68k_reduced()
    >>> round(metrics.linear_probe(adata.obsm["X_pca"], adata.obs["bulk_labels"]), 1)
    0.6
    """
    check_positive(n_splits, "n_splits")
    if n_splits < 2:
        raise ValueError("`n_splits` must be at least 2, so that some cells train and others test; found 1.")
    check_seed(seed)
    values = finite_embedding(embedding)
    text = labels_of_rows(embedding, len(values), labels, "labels")
    warn_of_doubtful_labels(text, "labels")
    names, counts = np.unique(text, return_counts=True)
    if len(names) < 2 or counts.min() < n_splits:
        raise ValueError(
            f"Expected at least two labels with at least {n_splits} cells each; found "
            f"{dict(zip(names.tolist(), counts.tolist(), strict=True))}. Leave rare labels out, or lower `n_splits`."
        )
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_MAX_ITER))
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
    with threadpool_limits(1):  # the matrices are small: more threads are slower
        predicted = cross_val_predict(classifier, values, text, cv=folds)
    return float(classification_metrics(text, predicted)["macro_f1"])
