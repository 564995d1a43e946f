"""Simple predictors trained on the same cells as a model: what they read, and what they predict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._checks import check_choice
from scmpt_scverse.evaluation._baselines import BASELINES, COUNT_BASELINES, predicted_by
from scmpt_scverse.metrics import calibration_metrics, classification_metrics
from scmpt_scverse.pp import ExpressionReader, GeneExpression, Normalisation, are_linear, log_normalised

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray

#: Baselines of every evaluation by default; the others take longer.
DEFAULT_BASELINES = ("majority", "knn", "logistic_regression", "pca_knn", "pca_logistic_regression")
#: Those that are trained on the embedding of each modality.
_ON_EMBEDDINGS = frozenset({"knn", "logistic_regression"})


@dataclass(frozen=True)
class BaselineCells:
    """Some cells as baselines read them.

    Attributes
    ----------
    n_obs
        Number of cells.
    embeddings
        `{modality: (n_obs, dim)}`, NaN for cells that an encoder cannot read.
    expression
        `None` where there is no expression that can be read.
    """

    n_obs: int
    embeddings: "Mapping[str, FloatArray]"
    expression: GeneExpression | None


def check_baselines(baselines: Sequence[str]) -> None:
    """Raise `ValueError` for a name that is not registered."""
    for name in baselines:
        check_choice(name, BASELINES.names(), "baselines")


def compare_baselines(
    baselines: Sequence[str], train: BaselineCells, labels: "StrArray", test: BaselineCells, *, seed: int
) -> dict[str, pd.DataFrame]:
    """Label probabilities of the test cells by each baseline, NaN where the embedding is NaN.

    Training cells that an encoder cannot read are left out for all baselines. Baselines that read expression are left
    out where training or test cells have none.
    """
    readable = np.ones(train.n_obs, dtype=bool)
    for values in train.embeddings.values():
        readable &= np.isfinite(values).all(axis=1)
    labels = labels[readable]
    counts = _over_same_genes(train.expression, test.expression, readable)
    normalised = None
    predictions = {}
    for name in baselines:
        if name == "majority":
            nothing = np.zeros((len(labels), 1)), np.zeros((test.n_obs, 1))
            predictions[name] = predicted_by(name, nothing[0], labels, nothing[1], seed=seed)
        elif name in _ON_EMBEDDINGS:
            for modality, values in train.embeddings.items():
                known = np.isfinite(test.embeddings[modality]).all(axis=1)
                soft = predicted_by(name, values[readable], labels, test.embeddings[modality][known], seed=seed)
                soft.index = np.flatnonzero(known)
                predictions[f"{name} ({modality})"] = soft.reindex(range(test.n_obs))
        elif counts is not None:
            if name in COUNT_BASELINES:
                both = counts
            else:
                both = normalised = normalised or _log_normalised(*counts)
            predictions[name] = predicted_by(name, both[0], labels, both[1], seed=seed)
    return predictions


def read_expression(reader: Callable[[], ExpressionReader], rows: "IntArray") -> GeneExpression | None:
    """Expression of some cells in the order of `rows`; `None` where no expression can be read."""
    ascending, places = np.unique(rows, return_inverse=True)
    try:
        expression = reader().take(ascending)
    except (KeyError, ValueError):  # no matrix, no such layer, or values such as negative ones after scaling
        return None
    return GeneExpression(expression.matrix[places], expression.genes)


def results_of(truth: "StrArray", soft: pd.DataFrame, unlabeled: str) -> pd.Series:
    """Metrics of the predicted labels, and of the probabilities where there are any."""
    results = classification_metrics(truth, decode(soft, unlabeled))
    if np.isfinite(soft.to_numpy()).all(axis=1).any():
        results = pd.concat([results, calibration_metrics(truth, soft)[["ece", "brier", "nll"]]])
    return results


def decode(soft: pd.DataFrame, unlabeled: str) -> "StrArray":
    """The most probable label of each cell, `unlabeled` where the probabilities are NaN."""
    values = soft.to_numpy()
    predicted: StrArray = np.asarray(soft.columns, dtype=object)[values.argmax(axis=1)]
    predicted[np.isnan(values.max(axis=1))] = unlabeled
    return predicted


def _log_normalised(
    train: "sparse.csr_matrix", test: "sparse.csr_matrix"
) -> "tuple[sparse.csr_matrix, sparse.csr_matrix]":
    """Both on one scale, with every test cell normalised independently.

    Where training values are neither counts nor logarithms, they decide for the test cells, whose values may look like
    either; otherwise each test cell is judged by its own values.
    """
    return Normalisation.of(train)(train), log_normalised(test, is_linear=are_linear([train]))


def _over_same_genes(
    train: GeneExpression | None, test: GeneExpression | None, is_taken: "BoolArray"
) -> "tuple[sparse.csr_matrix, sparse.csr_matrix] | None":
    """Expression of some training cells, and of test cells over the same genes, 0 where a gene is missing."""
    if train is None or test is None:
        return None
    columns = pd.Index(train.genes).get_indexer(test.genes)
    known = np.flatnonzero(columns >= 0)
    if not known.size:
        return None
    shape = (len(known), len(train.genes))
    to_genes = sparse.csr_matrix(
        (np.ones(len(known), dtype=test.matrix.dtype), (range(len(known)), columns[known])), shape
    )
    return train.matrix[is_taken], (test.matrix[:, known] @ to_genes).tocsr()
