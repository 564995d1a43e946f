"""How far predictions can be trusted: calibration, novelty, shares of the modalities, sets of labels. Arrays only."""

from scmpt_scverse.trust._calibration import Calibration, Reject, check_reject
from scmpt_scverse.trust._contributions import contributions, logits_by_coalition
from scmpt_scverse.trust._label_sets import check_alpha, cross_conformal_sets, log_odds
from scmpt_scverse.trust._novelty import N_REFERENCES, Novelty

__all__ = [
    "N_REFERENCES",
    "Calibration",
    "Novelty",
    "Reject",
    "check_alpha",
    "check_reject",
    "contributions",
    "cross_conformal_sets",
    "log_odds",
    "logits_by_coalition",
]
