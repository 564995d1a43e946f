"""From genes through encoders and head to logits: what each gene adds to a label."""

from scmpt_scverse.explain._explainer import (
    Explainer as Explainer,
    GeneRemoval as GeneRemoval,
    sample_cells as sample_cells,
)
from scmpt_scverse.explain._rankings import (
    CellAttributions as CellAttributions,
    write_attributions as write_attributions,
)
