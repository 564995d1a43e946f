"""Compare a ranking of genes with known markers: enrichment at the top, and AUROC over all genes."""

from typing import TYPE_CHECKING, TypedDict

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray

#: With fewer markers, no AUROC is computed.
MIN_MARKERS = 3
_Z = 1.96


class Overlap(TypedDict):
    """How highly markers rank in one ranking of genes."""

    n_genes: int
    n_markers: int
    n_top: int
    n_overlap: int
    overlap_pval: float
    auroc: float
    auroc_lower: float
    auroc_upper: float
    auroc_pval: float


def overlap(scores: "FloatArray", is_marker: "BoolArray", n_top: int) -> Overlap:
    """Test whether markers rank highly.

    Parameters
    ----------
    scores
        Scores of the genes that are ranked, shape `(n_genes,)`.
    is_marker
        Which of them are markers, shape `(n_genes,)`.
    n_top
        How many top genes the hypergeometric test uses.

    Returns
    -------
    Counts; the one-sided p-value of a hypergeometric test; the AUROC with a 95 % interval from the standard error of
    Hanley and McNeil (1982), and the one-sided p-value of a Mann-Whitney U test. P-values and AUROC are NaN with fewer
    than 3 markers, or if all genes are markers.
    """
    n_genes, n_markers = len(scores), int(is_marker.sum())
    n_top = min(n_top, n_genes)
    top = np.argsort(-scores, kind="stable")[:n_top]
    n_overlap = int(is_marker[top].sum())
    found = Overlap(
        n_genes=n_genes,
        n_markers=n_markers,
        n_top=n_top,
        n_overlap=n_overlap,
        overlap_pval=float("nan"),
        auroc=float("nan"),
        auroc_lower=float("nan"),
        auroc_upper=float("nan"),
        auroc_pval=float("nan"),
    )
    if n_markers < MIN_MARKERS or n_markers == n_genes:
        return found
    n_others = n_genes - n_markers
    found["overlap_pval"] = float(stats.hypergeom.sf(n_overlap - 1, n_genes, n_markers, n_top))
    test = stats.mannwhitneyu(scores[is_marker], scores[~is_marker], alternative="greater")
    auroc = float(test.statistic) / (n_markers * n_others)
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    spread = auroc * (1 - auroc) + (n_markers - 1) * (q1 - auroc**2) + (n_others - 1) * (q2 - auroc**2)
    error = _Z * np.sqrt(spread / (n_markers * n_others))
    found["auroc"], found["auroc_pval"] = auroc, float(test.pvalue)
    found["auroc_lower"], found["auroc_upper"] = float(max(auroc - error, 0)), float(min(auroc + error, 1))
    return found
