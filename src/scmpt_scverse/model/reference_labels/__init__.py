"""What a model says of cells by the labels of a reference: which, how right they are, why, and what would help."""

from scmpt_scverse.model.reference_labels._advises import AdvisesMixin as AdvisesMixin
from scmpt_scverse.model.reference_labels._explains import ExplainsMixin as ExplainsMixin
from scmpt_scverse.model.reference_labels._new_models import ModelKind as ModelKind
from scmpt_scverse.model.reference_labels._predicts_labels import PredictsLabelsMixin as PredictsLabelsMixin
from scmpt_scverse.model.reference_labels._second_opinion import refine_reference_labels as refine_reference_labels
