"""What is trained: classifiers over frozen embeddings. Tensors only; AnnData is not known here."""

from scmpt_scverse.module._classifier import Classifier, Fit, FitOptions, HeldOut, Rows, in_batches
from scmpt_scverse.module._data_module import CellSplit, checked_validation_size, split_cells
from scmpt_scverse.module._fusion_base import FusionHead, HeadOptions
from scmpt_scverse.module._fusion_classifier import FUSIONS, FusionClassifier, fusion_name
from scmpt_scverse.module._training_plan import Trainable, TrainingPlan

__all__ = [
    "FUSIONS",
    "CellSplit",
    "Classifier",
    "Fit",
    "FitOptions",
    "FusionClassifier",
    "FusionHead",
    "HeadOptions",
    "HeldOut",
    "Rows",
    "Trainable",
    "TrainingPlan",
    "checked_validation_size",
    "fusion_name",
    "in_batches",
    "split_cells",
]
