"""What pseudo-cells keep of the genes in which labels differ."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import ttest_ind_from_stats
from sklearn.metrics import roc_auc_score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scmpt_scverse._types import FloatArray, IntArray, StrArray

#: Genes that count as markers of a type: those that real cells of it differ in most.
_N_MARKERS = 50


class LabelMoments(NamedTuple):
    """Of each label: mean, variance and number of cells; dense."""

    names: list[str]
    means: "FloatArray"  # (n_labels, n_genes)
    variances: "FloatArray"
    sizes: "IntArray"

    @classmethod
    def of(cls, values: "FloatArray", labels: "StrArray") -> "LabelMoments":
        """From expression `(n_cells, n_genes)` and a label for each cell."""
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


def gene_agreement(
    name: str, real: LabelMoments, made: LabelMoments, markers: "Sequence[int] | None"
) -> dict[str, float]:
    """What pseudo-cells keep of the genes that a label differs in, as `generation_metrics` gives it."""
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
