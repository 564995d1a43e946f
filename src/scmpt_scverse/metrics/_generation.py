"""Pseudo-cells against real ones: by neighbours, by distribution, and by genes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_choice, check_positive, check_seed, checked_numbers, list_some
from scmpt_scverse._labels import checked_labels
from scmpt_scverse.metrics._generation_genes import LabelMoments, gene_agreement
from scmpt_scverse.metrics._generation_places import (
    PROJECTIONS,
    discriminator_auc,
    distances,
    diversity,
    knn_accuracy,
    projected,
    purity,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scmpt_scverse._types import FloatArray, IntArray, StrArray


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
    """How similar pseudo-cells are to real cells of the same label that the generator has not seen.

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
        Values are not numbers.
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
    if len(labels) != 2:
        raise ValueError(
            "Expected labels of `real` and labels of `generated` in `labels`; found "
            f"{len(labels)} things. Pass a tuple of two."
        )
    real_values, real_labels = _cells(real, labels[0], "real")
    made_values, made_labels = _cells(generated, labels[1], "generated")
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
    real_places, made_places = projected(base, (real_values, made_values), projection, n_components, seed)
    table = pd.DataFrame(index=pd.Index(sorted(shared), name="label"))
    for k in ks:
        table[f"knn_{k}"] = knn_accuracy(real_places, real_labels, made_places, made_labels, k).reindex(table.index)
    table["self_knn"] = purity(made_places, made_labels).reindex(table.index)
    rng = np.random.default_rng(seed)
    differences = LabelMoments.of(real_values, real_labels), LabelMoments.of(made_values, made_labels)
    for name in table.index:
        rows = [_some(np.flatnonzero(of == name), max_cells, rng) for of in (real_labels, made_labels)]
        pair = real_places[rows[0]], made_places[rows[1]]
        row = distances(*pair, n_permutations, rng) | {"discriminator_auc": discriminator_auc(*pair, seed)}
        row["diversity_ratio"] = diversity(real_values[rows[0]], made_values[rows[1]])
        row |= gene_agreement(name, *differences, None if markers is None else markers.get(name))
        for metric, found in row.items():
            table.loc[name, metric] = found
    table.loc["mean"] = table.mean()
    table["n_cells"] = [*(int((made_labels == name).sum()) for name in table.index[:-1]), len(made_labels)]
    return table


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


def _some(rows: "IntArray", n_cells: int, rng: np.random.Generator) -> "IntArray":
    return rows if len(rows) <= n_cells else rng.choice(rows, n_cells, replace=False)
