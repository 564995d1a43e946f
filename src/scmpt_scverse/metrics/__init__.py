"""How well labels were predicted and texts were written, how far probabilities can be trusted, and intervals."""

from scmpt_scverse._statistics import mean_interval as mean_interval
from scmpt_scverse.metrics._bootstrap import bootstrap_metrics
from scmpt_scverse.metrics._calibration import calibration_metrics
from scmpt_scverse.metrics._classification import classification_metrics, per_class_metrics as per_class_metrics
from scmpt_scverse.metrics._description import description_metrics
from scmpt_scverse.metrics._embedding import embedding_metrics
from scmpt_scverse.metrics._generation import generation_metrics
from scmpt_scverse.metrics._linear_probe import linear_probe as linear_probe
from scmpt_scverse.metrics._replicates import paired_differences, replicate_summary
from scmpt_scverse.metrics._retrieval import retrieval_metrics

__all__ = [
    "bootstrap_metrics",
    "calibration_metrics",
    "classification_metrics",
    "description_metrics",
    "embedding_metrics",
    "generation_metrics",
    "paired_differences",
    "replicate_summary",
    "retrieval_metrics",
]
