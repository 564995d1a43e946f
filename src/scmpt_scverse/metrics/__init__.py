"""How well labels were predicted, and what simple predictors reach on the same cells."""

from scmpt_scverse.metrics._baselines import baseline_predictions, baseline_probabilities
from scmpt_scverse.metrics._bootstrap import bootstrap_metrics
from scmpt_scverse.metrics._calibration import calibration_metrics, reliability_curve
from scmpt_scverse.metrics._classification import classification_metrics, per_class_metrics
from scmpt_scverse.metrics._conformal import conformal_sets, conformal_threshold, cross_conformal_sets
from scmpt_scverse.metrics._embedding import embedding_metrics
from scmpt_scverse.metrics._linear_probe import linear_probe
from scmpt_scverse.metrics._replicates import paired_differences, replicate_summary
from scmpt_scverse.metrics._splits import cell_splits

__all__ = [
    "baseline_predictions",
    "baseline_probabilities",
    "bootstrap_metrics",
    "calibration_metrics",
    "cell_splits",
    "classification_metrics",
    "conformal_sets",
    "conformal_threshold",
    "cross_conformal_sets",
    "embedding_metrics",
    "linear_probe",
    "paired_differences",
    "per_class_metrics",
    "reliability_curve",
    "replicate_summary",
]
