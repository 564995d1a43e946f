"""Where pseudo-cells lie among real ones: neighbours, distances between both, and how well they can be told apart."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist, pdist
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, StrArray

#: Widths of the kernels of the mean discrepancy, in units of the median distance of real cells.
_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
#: Neighbours for the purity of pseudo-cells among themselves.
_PURITY_NEIGHBORS = 10
#: Folds of the discriminator, and the weight of its data against a penalty of 1.
_FOLDS, _DATA_WEIGHT = 5, 0.1
PROJECTIONS = ("pca", "umap")


def projected(
    base: "FloatArray", both: "tuple[FloatArray, FloatArray]", projection: str, n_components: int, seed: int
) -> "tuple[FloatArray, FloatArray]":
    """Real cells and pseudo-cells in components of `base`, or in a plane that is fitted on the real cells' there."""
    pca = PCA(min(n_components, min(base.shape) - 1), random_state=seed).fit(base)
    places = pca.transform(both[0]), pca.transform(both[1])
    if projection == "pca":
        return places
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells that TensorFlow is missing, which it does not need here
        from umap import UMAP

        plane = UMAP(n_neighbors=min(15, len(places[0]) - 1), random_state=seed, n_jobs=1).fit(places[0])
        return plane.embedding_, plane.transform(places[1])


def knn_accuracy(
    real: "FloatArray", real_labels: "StrArray", made: "FloatArray", made_labels: "StrArray", k: int
) -> pd.Series:
    """Share of each label that the majority of real neighbours gives; NaN with fewer than `k` real cells."""
    if k > len(real):
        return pd.Series(dtype=float)
    neighbors = KNeighborsClassifier(k).fit(real, real_labels.astype(str))
    return pd.Series(neighbors.predict(made) == made_labels.astype(str)).groupby(made_labels).mean()


def purity(places: "FloatArray", labels: "StrArray") -> pd.Series:
    """Share of the nearest other cells that have the same label, the mean of each label."""
    k = min(_PURITY_NEIGHBORS, len(places) - 1)
    if k < 1:
        return pd.Series(dtype=float)
    rows = NearestNeighbors(n_neighbors=k).fit(places).kneighbors(return_distance=False)
    return pd.Series((labels[rows] == labels[:, None]).mean(axis=1)).groupby(labels).mean()


def energy_distance(x: "FloatArray", y: "FloatArray") -> float:
    """Unbiased energy distance between two samples, shapes `(n, dim)` and `(m, dim)`, at least two rows each."""
    return float(2 * cdist(x, y).mean() - pdist(x).mean() - pdist(y).mean())


def mean_discrepancy(
    x: "FloatArray", y: "FloatArray", n_permutations: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy over five widths, and its p-value by permutation.

    Widths are in units of the median distance within `x`.
    """
    both = np.vstack([x, y])
    squares = cdist(both, both, "sqeuclidean")
    median = np.median(np.sqrt(pdist(x, "sqeuclidean"))) or 1.0
    kernel = sum((np.exp(-squares / (2 * (width * median) ** 2)) for width in _WIDTHS), np.zeros(1)) / len(_WIDTHS)
    np.fill_diagonal(kernel, 0)
    n, m = len(x), len(y)

    def value(weights: "np.ndarray[Any, Any]") -> float:
        ours, others = weights, 1 - weights
        within = ours @ kernel @ ours / (n * (n - 1)) + others @ kernel @ others / (m * (m - 1))
        return float(within - 2 * (ours @ kernel @ others) / (n * m))

    weights = np.r_[np.ones(n), np.zeros(m)]
    found = value(weights)
    reached = sum(value(rng.permutation(weights)) >= found for _ in range(n_permutations))
    return found, (1 + reached) / (1 + n_permutations)


def distances(
    real: "FloatArray", made: "FloatArray", n_permutations: int, rng: np.random.Generator
) -> dict[str, float]:
    """Energy distance and mean discrepancy of one label; NaN with fewer than two cells on a side."""
    if min(len(real), len(made)) < 2:
        return dict.fromkeys(("energy_distance", "mmd", "mmd_p"), float("nan"))
    discrepancy, p_value = mean_discrepancy(real, made, n_permutations, rng)
    return {"energy_distance": energy_distance(real, made), "mmd": discrepancy, "mmd_p": p_value}


def diversity(real: "FloatArray", made: "FloatArray") -> float:
    """Mean distance among pseudo-cells over that among real ones.

    Over all genes: components that were fitted on the real cells show more of their spread.
    """
    spread = pdist(real).mean() if min(len(real), len(made)) > 1 else 0.0
    return float(pdist(made).mean() / spread) if spread else float("nan")


def discriminator_auc(real: "FloatArray", made: "FloatArray", seed: int) -> float:
    """AUROC of telling pseudo-cells from real ones, cross-validated."""
    if min(len(real), len(made)) < _FOLDS:
        return float("nan")
    both = np.vstack([real, made])
    features = np.hstack([both, (both - both.mean(axis=0)) ** 2])
    is_made = np.r_[np.zeros(len(real), int), np.ones(len(made), int)]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=_DATA_WEIGHT, max_iter=500))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    probabilities = cross_val_predict(model, features, is_made, cv=folds, method="predict_proba")
    return float(roc_auc_score(is_made, probabilities[:, 1]))
