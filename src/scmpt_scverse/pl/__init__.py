"""Plots of annotated cells and of training; they read results and compute none. The report is a page of its own."""

from scmpt_scverse.pl._ablation import ablations, deletion_curves
from scmpt_scverse.pl._attribution import attributions, cell_attributions, marker_overlap
from scmpt_scverse.pl._descriptions import descriptions, profiles
from scmpt_scverse.pl._evaluation import evaluation
from scmpt_scverse.pl._generation import generation
from scmpt_scverse.pl._history import training_curve
from scmpt_scverse.pl._prediction import confusion_matrix
from scmpt_scverse.pl._reliability import reliability_diagram
from scmpt_scverse.pl._search import search
from scmpt_scverse.pl._trust import contributions, novelty
from scmpt_scverse.report import report

__all__ = [
    "ablations",
    "attributions",
    "cell_attributions",
    "confusion_matrix",
    "contributions",
    "deletion_curves",
    "descriptions",
    "evaluation",
    "generation",
    "marker_overlap",
    "novelty",
    "profiles",
    "reliability_diagram",
    "report",
    "search",
    "training_curve",
]
