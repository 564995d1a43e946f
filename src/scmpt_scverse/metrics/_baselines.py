"""Simple predictors on the same split: a number means little without them."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scmpt_scverse.metrics._classification import as_text

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import FloatArray

#: lbfgs needs 50 to 300 steps on standardised expression; with room, for many cell types.
_MAX_ITER = 2000


def baseline_predictions(
    train_features: "FloatArray | sparse.csr_matrix",
    train_labels: "ArrayLike",
    test_features: "FloatArray | sparse.csr_matrix",
) -> pd.DataFrame:
    """Predict the labels of test cells by the most frequent label and by logistic regression.

    Parameters
    ----------
    train_features
        Expression (log-normalised) or embeddings of the training cells, shape `(n_train, n_features)`; sparse stays
        sparse.
    train_labels
        Their labels, shape `(n_train,)`.
    test_features
        The same features of the test cells, shape `(n_test, n_features)`.

    Returns
    -------
    One row per test cell, columns `majority` (the most frequent training label; of equally frequent ones the first in
    alphabetical order) and `logistic_regression` (on features standardised by the training cells).

    Raises
    ------
    ValueError
        Fewer than two labels to tell apart, or a missing one.
    """
    labels = as_text(train_labels, "train_labels").astype(str)
    names, counts = np.unique(labels, return_counts=True)
    if len(names) < 2:
        raise ValueError(
            f"Expected at least two different labels to learn from; found {len(names)}. Pass more labelled cells."
        )
    # Centring would densify a sparse matrix.
    scaler = StandardScaler(with_mean=not sparse.issparse(train_features))
    classifier = make_pipeline(scaler, LogisticRegression(max_iter=_MAX_ITER))
    classifier.fit(train_features, labels)
    predicted = classifier.predict(test_features)
    return pd.DataFrame(
        {
            "majority": np.full(len(predicted), names[counts.argmax()], dtype=object),
            "logistic_regression": predicted.astype(object),
        }
    )
