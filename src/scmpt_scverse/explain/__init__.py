"""From genes through encoders and head to logits: what each gene adds to a label."""

from scmpt_scverse.explain._cells import (
    checked_groupby as checked_groupby,
    one_cell as one_cell,
    row_of_cell as row_of_cell,
    sample_cells as sample_cells,
    wanted_groups as wanted_groups,
)
from scmpt_scverse.explain._explainer import (
    Explainer as Explainer,
    GeneRemoval as GeneRemoval,
)
from scmpt_scverse.explain._own_rankings import OwnRanking as OwnRanking
from scmpt_scverse.explain._rankings import (
    CellAttributions as CellAttributions,
    contribution_table as contribution_table,
    curve_table as curve_table,
    write_attributions as write_attributions,
)
