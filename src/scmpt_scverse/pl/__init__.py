"""Pictures of annotated cells and of training; they read results and compute none."""

from scmpt_scverse.pl._history import training_curve
from scmpt_scverse.pl._prediction import confusion_matrix

__all__ = ["confusion_matrix", "training_curve"]
