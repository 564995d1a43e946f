"""What a model fuses: where each modality comes from, and how its rows are read."""

from scmpt_scverse.modalities._compute import compute_embedding, stream_embedding
from scmpt_scverse.modalities._expression import ExpressionFeatures, ExpressionRows, GeneValues
from scmpt_scverse.modalities._modalities import ExpressionSource, GeneEncoder, Modalities, readable_cells
from scmpt_scverse.modalities._modality import COUNTS, Modality, describe_encoders, modalities_of
from scmpt_scverse.modalities._mudata import EXPRESSION, JoinedField, as_cells, checked_modalities, pull_hint
from scmpt_scverse.modalities._obsm import finite_embedding
from scmpt_scverse.modalities._presets import DEFAULT_PRESET, PRESETS, preset_of

__all__ = [
    "COUNTS",
    "DEFAULT_PRESET",
    "EXPRESSION",
    "PRESETS",
    "ExpressionFeatures",
    "ExpressionRows",
    "ExpressionSource",
    "GeneEncoder",
    "GeneValues",
    "JoinedField",
    "Modalities",
    "Modality",
    "as_cells",
    "checked_modalities",
    "compute_embedding",
    "describe_encoders",
    "finite_embedding",
    "modalities_of",
    "preset_of",
    "pull_hint",
    "readable_cells",
    "stream_embedding",
]
