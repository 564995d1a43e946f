"""Baselines on the same cells as a model: what they read, and what they predict."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._checks import check_choice
from scmpt_scverse.metrics import baseline_probabilities, calibration_metrics, classification_metrics
from scmpt_scverse.metrics._baselines import BASELINES, COUNT_BASELINES
from scmpt_scverse.pp._expression import ExpressionReader
from scmpt_scverse.pp._normalisation import Normalisation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray

#: What stands beside every evaluation; the others cost more, or a package.
DEFAULT_BASELINES = ("majority", "knn", "logistic_regression", "pca_knn", "pca_logistic_regression")
#: Those that are trained on the embedding of each modality.
_ON_EMBEDDINGS = frozenset({"knn", "logistic_regression"})


def check_baselines(baselines: Sequence[str]) -> None:
    """Raise `ValueError` for a name that is none of a baseline."""
    for name in baselines:
        check_choice(name, BASELINES.names(), "baselines")


def baselines_beside(
    baselines: Sequence[str],
    train_inputs: "Mapping[str, FloatArray]",
    train_labels: "StrArray",
    test_inputs: "Mapping[str, FloatArray]",
    expression: "tuple[sparse.csr_matrix, sparse.csr_matrix] | None",
    *,
    n_test: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Probabilities by each baseline of the test cells, NaN where an embedding is.

    `expression` holds what was measured of training and test cells over the same genes; without it the baselines that
    read it are left out.
    """
    normalised = None if expression is None else [Normalisation.of(each)(each) for each in expression]
    predictions = {}
    for name in baselines:
        if name == "majority":
            features = np.zeros((len(train_labels), 1)), np.zeros((n_test, 1))
            predictions[name] = baseline_probabilities(name, features[0], train_labels, features[1])
        elif name in _ON_EMBEDDINGS:
            for modality, values in train_inputs.items():
                readable = np.isfinite(test_inputs[modality]).all(axis=1)
                soft = baseline_probabilities(name, values, train_labels, test_inputs[modality][readable], seed=seed)
                soft.index = np.flatnonzero(readable)
                predictions[f"{name} ({modality})"] = soft.reindex(range(n_test))
        elif expression is not None and normalised is not None:
            train, test = (
                expression if name in COUNT_BASELINES else [Normalisation.of(each)(each) for each in expression]
            )
            predictions[name] = baseline_probabilities(name, train, train_labels, test, seed=seed)
    return predictions


def shared_expression(
    train: "AnnData", train_rows: "IntArray", test: "AnnData", test_rows: "IntArray", **reading: Any
) -> "tuple[sparse.csr_matrix, sparse.csr_matrix] | None":
    """Expression of both over the genes of the training cells; `None` where one has none that can be read.

    `reading` is the `layer` and `gene_symbols` of the model. Genes that the test cells lack are 0.
    """
    try:
        matrices = []
        for adata, rows in ((train, train_rows), (test, test_rows)):
            reader = ExpressionReader(adata, **reading)
            order = np.argsort(rows, kind="stable")
            back = np.empty_like(order)
            back[order] = np.arange(len(rows))
            matrices.append((reader.take(rows[order]).matrix[back], reader.genes))
    except (KeyError, ValueError):  # no matrix, no such layer, or values such as negative ones after scaling
        return None
    (of_train, genes), (of_test, test_genes) = matrices
    columns = pd.Index(genes).get_indexer(test_genes)
    if not (columns >= 0).any():
        return None
    known = np.flatnonzero(columns >= 0)
    shape = (len(known), len(genes))
    to_genes = sparse.csr_matrix((np.ones(len(known), dtype=of_test.dtype), (range(len(known)), columns[known])), shape)
    return of_train, (of_test[:, known] @ to_genes).tocsr()


def figures_of(truth: "StrArray", soft: pd.DataFrame, unlabeled: str) -> pd.Series:
    """Figures of the labels, and of the probabilities as far as there are some."""
    figures = classification_metrics(truth, decode(soft, unlabeled))
    if np.isfinite(soft.to_numpy()).all(axis=1).any():
        figures = pd.concat([figures, calibration_metrics(truth, soft)[["ece", "brier", "nll"]]])
    return figures


def decode(soft: pd.DataFrame, unlabeled: str) -> "StrArray":
    """The most probable label of each cell, `unlabeled` where the probabilities are NaN."""
    values = soft.to_numpy()
    predicted = np.full(len(values), unlabeled, dtype=object)
    readable = np.isfinite(values).all(axis=1)
    predicted[readable] = np.asarray(soft.columns, dtype=object)[values[readable].argmax(axis=1)]
    return predicted
