"""Pseudo-cells against real ones: by neighbours, by distribution, and by genes."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist, pdist
from scipy.stats import ttest_ind_from_stats
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scmpt_scverse._checks import check_choice, check_positive, check_seed, checked_numbers, list_some
from scmpt_scverse._labels import checked_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import FloatArray, IntArray, StrArray

#: Widths of the kernels of the mean discrepancy, in units of the median distance of real cells.
_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
#: Neighbours for the purity of pseudo-cells among themselves.
_PURITY_NEIGHBORS = 10
#: Genes that count as markers of a type: those that real cells of it differ in most.
_N_MARKERS = 50
#: Folds of the discriminator, and the weight of its data against a penalty of 1.
_FOLDS, _DATA_WEIGHT = 5, 0.1
PROJECTIONS = ("pca", "umap")


def generation_metrics(
    real: "ArrayLike",
    generated: "ArrayLike",
    labels: "tuple[ArrayLike, ArrayLike]",
    *,
    fitted_on: "ArrayLike | None" = None,
    markers: Mapping[str, Sequence[int]] | None = None,
    ks: Sequence[int] = (5, 10, 25, 50),
    projection: Literal["pca", "umap"] = "pca",
    n_components: int = 50,
    max_cells: int = 500,
    n_permutations: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """How much pseudo-cells are like real cells of the same label that the generator has not seen.

    Parameters
    ----------
    real
        Log-normalised expression of real cells, shape `(n_real, n_genes)`, dense or sparse.
    generated
        Of pseudo-cells over the same genes, normalised in the same way, shape `(n_generated, n_genes)`.
    labels
        Label of each real cell, and of each pseudo-cell.
    fitted_on
        Further real cells, such as those that the generator was trained on, whose components are taken; shape
        `(n_cells, n_genes)`. `None` fits them on `real`: with fewer cells than genes, components then show more spread
        of these very cells than of any others, real ones included, and distances are too large.
    markers
        Label to columns of its markers; `None` takes the 50 genes that real cells of the label differ in most from the
        other real cells, by Welch's t.
    ks
        Numbers of neighbours.
    projection
        Where neighbours and distances are found: `"pca"`, or `"umap"`, two dimensions of these components, as in much
        of the field.
    n_components
        Principal components.
    max_cells
        Cells of a label that distances are computed between, drawn at random.
    n_permutations
        Of the test of the mean discrepancy.
    seed
        Of all draws.

    Returns
    -------
    One row per label of the pseudo-cells that real cells have, and `"mean"`:

    `knn_5`, `knn_10`, ...
        Share of the pseudo-cells whose label is that of most of their nearest real cells; higher is better.
    `self_knn`
        Share of the ten nearest other pseudo-cells that have the same label.
    `energy_distance`
        Twice the mean distance between the two sets, minus the mean distances within each; 0 for the same
        distribution, up to noise that may make it negative :cite:p:`szekely2013energy`.
    `mmd`, `mmd_p`
        Squared maximum mean discrepancy of Gaussian kernels of five widths, 0 for the same distribution, and the share
        of permutations that reach it :cite:p:`gretton2012mmd`.
    `lfc_correlation`
        Pearson correlation, over the markers, of differences to the other labels in mean log expression. The others are
        pseudo-cells, or real ones where there is only one label of pseudo-cells.
    `de_recovery`
        Share of the markers of the real cells that are among as many of the pseudo-cells.
    `marker_auroc`
        Whether markers are above other genes in the differences of the pseudo-cells; 0.5 is chance.
    `diversity_ratio`
        Mean distance over all genes among the pseudo-cells, over that among the real ones; below 1, they are too alike.
    `discriminator_auc`
        How well logistic regression on the components and their squares, so on means and spreads, tells them from real
        cells, cross-validated; 0.5 is best, 1 worst.

    A measure that too few cells allow is NaN.

    Raises
    ------
    TypeError
        Values are no numbers.
    ValueError
        Shapes differ, values are not finite, a label is missing, or no label is in both.

    Notes
    -----
    High accuracy among neighbours alone says little: the mean cell of each label has it, too.

    Examples
    --------
    >>> import numpy as np
    >>> from scmpt_scverse import metrics
    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat(["a", "b"], 60)
    >>> cells = rng.normal(size=(2, 120, 8)) + 3 * (labels == "b")[:, None]
    >>> table = metrics.generation_metrics(*cells, (labels, labels), n_permutations=20)
    >>> float(table.loc["mean", "knn_10"])
    1.0
    """
    check_seed(seed)
    check_choice(projection, PROJECTIONS, "projection")
    for name, value in (("n_components", n_components), ("max_cells", max_cells), ("n_permutations", n_permutations)):
        check_positive(value, name)
    for k in ks:
        check_positive(k, "ks")
    both = tuple(
        _cells(values, given, argument)
        for values, given, argument in zip((real, generated), labels, ("real", "generated"), strict=True)
    )
    (real_values, real_labels), (made_values, made_labels) = both
    if real_values.shape[1] != made_values.shape[1]:
        raise ValueError(
            f"Expected the same genes in `real` and `generated`; found {real_values.shape[1]} and "
            f"{made_values.shape[1]}. Select and order the columns of both."
        )
    shared = [name for name in dict.fromkeys(made_labels) if name in set(real_labels)]
    if not shared:
        raise ValueError(
            f"Expected labels that real and generated cells share; found {list_some(sorted(set(real_labels)))} and "
            f"{list_some(sorted(set(made_labels)))}. Pass the same names."
        )
    base = real_values if fitted_on is None else _finite(fitted_on, "fitted_on")
    if base.shape[1] != real_values.shape[1]:
        raise ValueError(
            f"Expected the same genes in `fitted_on` as in `real`; found {base.shape[1]} and {real_values.shape[1]}. "
            "Select and order the columns of both."
        )
    real_places, made_places = _projected(base, (real_values, made_values), projection, n_components, seed)
    table = pd.DataFrame(index=pd.Index(sorted(shared), name="label"))
    for k in ks:
        table[f"knn_{k}"] = _knn_accuracy(real_places, real_labels, made_places, made_labels, k).reindex(table.index)
    table["self_knn"] = _purity(made_places, made_labels).reindex(table.index)
    rng = np.random.default_rng(seed)
    differences = _Differences.of(real_values, real_labels), _Differences.of(made_values, made_labels)
    for name in table.index:
        rows = [_some(np.flatnonzero(of == name), max_cells, rng) for of in (real_labels, made_labels)]
        pair = real_places[rows[0]], made_places[rows[1]]
        row = _distances(*pair, n_permutations, rng) | {"discriminator_auc": _discriminator(*pair, seed)}
        row["diversity_ratio"] = _diversity(real_values[rows[0]], made_values[rows[1]])
        row |= _genes(name, *differences, None if markers is None else markers.get(name))
        for metric, found in row.items():
            table.loc[name, metric] = found
    table.loc["mean"] = table.mean()
    table["n_cells"] = [*(int((made_labels == name).sum()) for name in table.index[:-1]), len(made_labels)]
    return table


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


class _Differences(NamedTuple):
    """Of each label: mean, variance and number of cells; dense."""

    names: list[str]
    means: "FloatArray"  # (n_labels, n_genes)
    variances: "FloatArray"
    sizes: "IntArray"

    @classmethod
    def of(cls, values: "FloatArray", labels: "StrArray") -> "_Differences":
        names = sorted(set(labels))
        groups = [values[labels == name] for name in names]
        return cls(
            names,
            np.stack([each.mean(axis=0) for each in groups]),
            np.stack([each.var(axis=0, ddof=1) if len(each) > 1 else np.zeros(each.shape[1]) for each in groups]),
            np.array([len(each) for each in groups]),
        )

    def rest(self, name: str) -> "tuple[FloatArray, FloatArray, int] | None":
        """Mean, variance and number of the cells of other labels; `None` where there are none."""
        others = np.array([each != name for each in self.names])
        if not others.any():
            return None
        sizes = self.sizes[others]
        mean = np.average(self.means[others], axis=0, weights=sizes)
        square = np.average(self.variances[others] + self.means[others] ** 2, axis=0, weights=sizes)
        return mean, square - mean**2, int(sizes.sum())


def _genes(name: str, real: _Differences, made: _Differences, markers: "Sequence[int] | None") -> dict[str, float]:
    """What pseudo-cells keep of the genes that a label differs in."""
    real_rest = real.rest(name)
    if real_rest is None:
        return dict.fromkeys(("lfc_correlation", "de_recovery", "marker_auroc"), float("nan"))
    made_rest = made.rest(name) or real_rest
    differences, statistics = [], []
    for each, rest in ((real, real_rest), (made, made_rest)):
        row = each.names.index(name)
        mean, variance, n = each.means[row], each.variances[row], int(each.sizes[row])
        differences.append(mean - rest[0])
        deviations = np.sqrt(np.maximum([variance, rest[1]], 1e-12))
        statistics.append(
            ttest_ind_from_stats(mean, deviations[0], max(n, 2), rest[0], deviations[1], rest[2], False)[0]
        )
    n_markers = min(_N_MARKERS, len(differences[0]) - 1)
    top = [np.argsort(-each, kind="stable")[:n_markers] for each in statistics]
    chosen = top[0] if markers is None else np.asarray(markers, dtype=np.int64)
    is_marker = np.isin(np.arange(len(differences[0])), chosen)
    return {
        "lfc_correlation": _correlation(differences[0][is_marker], differences[1][is_marker]),
        "de_recovery": float(np.isin(top[0], top[1]).mean()),
        "marker_auroc": float(roc_auc_score(is_marker, differences[1])) if 0 < is_marker.mean() < 1 else float("nan"),
    }


def _correlation(x: "FloatArray", y: "FloatArray") -> float:
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 2 and x.std() > 0 and y.std() > 0 else float("nan")


def _cells(values: Any, labels: "ArrayLike", argument: str) -> "tuple[FloatArray, StrArray]":
    """Finite expression and a label for each cell."""
    found, names = _finite(values, argument), checked_labels(labels, "labels")
    if len(names) != len(found):
        raise ValueError(
            f"Expected a label for each of {len(found)} cells of `{argument}`; found {len(names)}. Pass one per row."
        )
    return found, names


def _finite(values: Any, argument: str) -> "FloatArray":
    found = checked_numbers(values, argument, ndim=2).astype(np.float32)
    if not found.size or not np.isfinite(found).all():
        raise ValueError(
            f"Expected finite expression of some cells in `{argument}`; found "
            f"{'none' if not found.size else 'NaN or infinite values'}. Pass log-normalised expression."
        )
    return found


def _projected(
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


def _knn_accuracy(
    real: "FloatArray", real_labels: "StrArray", made: "FloatArray", made_labels: "StrArray", k: int
) -> pd.Series:
    """Share of each label that the majority of real neighbours gives; NaN with fewer than `k` real cells."""
    if k > len(real):
        return pd.Series(dtype=float)
    neighbors = KNeighborsClassifier(k).fit(real, real_labels.astype(str))
    return pd.Series(neighbors.predict(made) == made_labels.astype(str)).groupby(made_labels).mean()


def _purity(places: "FloatArray", labels: "StrArray") -> pd.Series:
    k = min(_PURITY_NEIGHBORS, len(places) - 1)
    if k < 1:
        return pd.Series(dtype=float)
    rows = NearestNeighbors(n_neighbors=k).fit(places).kneighbors(return_distance=False)
    return pd.Series((labels[rows] == labels[:, None]).mean(axis=1)).groupby(labels).mean()


def _some(rows: "IntArray", n_cells: int, rng: np.random.Generator) -> "IntArray":
    return rows if len(rows) <= n_cells else rng.choice(rows, n_cells, replace=False)


def _distances(
    real: "FloatArray", made: "FloatArray", n_permutations: int, rng: np.random.Generator
) -> dict[str, float]:
    if min(len(real), len(made)) < 2:
        return dict.fromkeys(("energy_distance", "mmd", "mmd_p"), float("nan"))
    discrepancy, p_value = mean_discrepancy(real, made, n_permutations, rng)
    return {"energy_distance": energy_distance(real, made), "mmd": discrepancy, "mmd_p": p_value}


def _diversity(real: "FloatArray", made: "FloatArray") -> float:
    """Over all genes: components that were fitted on the real cells show more of their spread."""
    spread = pdist(real).mean() if min(len(real), len(made)) > 1 else 0.0
    return float(pdist(made).mean() / spread) if spread else float("nan")


def _discriminator(real: "FloatArray", made: "FloatArray", seed: int) -> float:
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
