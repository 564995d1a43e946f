"""Which genes decided: methods that attribute a logit to genes, and tests of their scores over arrays."""

from scmpt_scverse.attribution._base import (
    Attribution as Attribution,
    Attributor as Attributor,
    GatedLogits as GatedLogits,
    total_difference as total_difference,
)
from scmpt_scverse.attribution._faithfulness import curve as curve, faithfulness as faithfulness
from scmpt_scverse.attribution._get import ATTRIBUTORS as ATTRIBUTORS, get, method_name as method_name
from scmpt_scverse.attribution._group_statistics import group_statistics as group_statistics, t_test as t_test
from scmpt_scverse.attribution._marker_overlap import MIN_MARKERS as MIN_MARKERS, overlap as overlap

__all__ = ["get"]
