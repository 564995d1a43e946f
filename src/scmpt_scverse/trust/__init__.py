"""How far predictions can be trusted: calibration, novelty, shares of the modalities, sets of labels. Arrays only."""

from scmpt_scverse.trust._calibration import (
    Calibration as Calibration,
    Reject as Reject,
    check_reject as check_reject,
    fit_temperature as fit_temperature,
)
from scmpt_scverse.trust._contributions import (
    contributions as contributions,
    logits_by_coalition as logits_by_coalition,
)
from scmpt_scverse.trust._label_sets import (
    cells_for as cells_for,
    check_alpha as check_alpha,
    cross_conformal_sets as cross_conformal_sets,
    cumulative_sets as cumulative_sets,
    log_odds as log_odds,
)
from scmpt_scverse.trust._novelty import (
    N_REFERENCES as N_REFERENCES,
    Novelty as Novelty,
    warn_of_novel_cells as warn_of_novel_cells,
)
from scmpt_scverse.trust._training_record import (
    TrainingRecord as TrainingRecord,
    digest_of as digest_of,
)
