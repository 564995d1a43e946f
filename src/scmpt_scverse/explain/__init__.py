"""From genes through encoders and head to logits: what each gene adds to a label."""

from scmpt_scverse.explain._explainer import Explainer, GeneRemoval, sample_cells
from scmpt_scverse.explain._rankings import CellAttributions, write_layer, write_ranking

__all__ = ["CellAttributions", "Explainer", "GeneRemoval", "sample_cells", "write_layer", "write_ranking"]
