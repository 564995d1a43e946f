"""How well labels were predicted, and what simple predictors reach on the same cells."""

from scmpt_scverse.metrics._baselines import baseline_predictions
from scmpt_scverse.metrics._classification import classification_metrics
from scmpt_scverse.metrics._linear_probe import linear_probe

__all__ = ["baseline_predictions", "classification_metrics", "linear_probe"]
