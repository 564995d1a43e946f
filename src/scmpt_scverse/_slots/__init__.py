"""Every slot that this package writes into AnnData: its keys, whether it can be written, and where it came from."""

from scmpt_scverse._slots._checks import (
    check_column_is_ours as check_column_is_ours,
    check_embedding_slot as check_embedding_slot,
    check_ranking_is_ours as check_ranking_is_ours,
    check_recorded as check_recorded,
    check_records as check_records,
    check_writable as check_writable,
    checked_probabilities as checked_probabilities,
    is_ranking as is_ranking,
)
from scmpt_scverse._slots._colours import colours_of as colours_of
from scmpt_scverse._slots._keys import (
    BY_MODALITY as BY_MODALITY,
    DEFAULT_ATTRIBUTIONS_KEY as DEFAULT_ATTRIBUTIONS_KEY,
    DEFAULT_KEY_ADDED as DEFAULT_KEY_ADDED,
    DEFAULT_TEXT_KEY_ADDED as DEFAULT_TEXT_KEY_ADDED,
    NOVEL_ABOVE as NOVEL_ABOVE,
    UNS_KEYS as UNS_KEYS,
    AttributionKeys as AttributionKeys,
    DescriptionKeys as DescriptionKeys,
    LLMKeys as LLMKeys,
    OntologyKeys as OntologyKeys,
    PredictionKeys as PredictionKeys,
    Slot as Slot,
    TextLabelKeys as TextLabelKeys,
    UnsKeys as UnsKeys,
    embedding_key as embedding_key,
)
from scmpt_scverse._slots._synthetic import (
    SYNTHETIC_KEYS as SYNTHETIC_KEYS,
    check_measured as check_measured,
    is_synthetic as is_synthetic,
    mark_synthetic as mark_synthetic,
    synthetic_name as synthetic_name,
)
from scmpt_scverse._slots._writing import (
    provenance as provenance,
    read_record as read_record,
    with_record as with_record,
    write_embedding as write_embedding,
    write_record as write_record,
    write_slots as write_slots,
)
