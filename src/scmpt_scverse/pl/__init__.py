"""Pictures of annotated cells and of training; they read results and compute none."""

from scmpt_scverse.pl._evaluation import evaluation
from scmpt_scverse.pl._history import training_curve
from scmpt_scverse.pl._prediction import confusion_matrix
from scmpt_scverse.pl._reliability import reliability_diagram

__all__ = ["confusion_matrix", "evaluation", "reliability_diagram", "training_curve"]
