"""What a model fuses: where each modality comes from, and how its rows are read."""

from scmpt_scverse.modalities._cell_keys import (
    cell_keys as cell_keys,
    content_keys as content_keys,
)
from scmpt_scverse.modalities._compute import (
    compute_embedding as compute_embedding,
    stream_embedding as stream_embedding,
)
from scmpt_scverse.modalities._coverage import gene_coverage as gene_coverage
from scmpt_scverse.modalities._expression import (
    ExpressionFeatures as ExpressionFeatures,
    ExpressionRows as ExpressionRows,
    GeneValues as GeneValues,
)
from scmpt_scverse.modalities._fields import (
    category_codes as category_codes,
    embedding_field as embedding_field,
    registered_fields as registered_fields,
)
from scmpt_scverse.modalities._modalities import (
    GeneEncoder as GeneEncoder,
    Modalities as Modalities,
)
from scmpt_scverse.modalities._modality import (
    COUNTS as COUNTS,
    Modality as Modality,
    describe_encoders as describe_encoders,
    modalities_of as modalities_of,
)
from scmpt_scverse.modalities._mudata import (
    EXPRESSION as EXPRESSION,
    JoinedField as JoinedField,
    as_cells as as_cells,
    check_anndata as check_anndata,
    check_data as check_data,
    checked_modalities as checked_modalities,
)
from scmpt_scverse.modalities._obsm import (
    finite_embedding as finite_embedding,
)
from scmpt_scverse.modalities._presets import (
    DEFAULT_PRESET as DEFAULT_PRESET,
    PRESETS as PRESETS,
    preset_of as preset_of,
)
from scmpt_scverse.modalities._registration import (
    one_or_all as one_or_all,
    register_anndata as register_anndata,
    register_mudata as register_mudata,
)
from scmpt_scverse.modalities._source import (
    AS_VAR_NAMES as AS_VAR_NAMES,
    IN_X as IN_X,
    ExpressionSource as ExpressionSource,
)
