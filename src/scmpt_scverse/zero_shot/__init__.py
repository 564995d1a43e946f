"""Labels for cells from texts alone: candidates, scores, refinement on the query, and what they are learned from."""

from scmpt_scverse.zero_shot._annotate import (
    REFINEMENTS as REFINEMENTS,
    Refine as Refine,
    averaged as averaged,
    label_probabilities as label_probabilities,
    label_scores as label_scores,
)
from scmpt_scverse.zero_shot._answers import (
    AnswerLimits as AnswerLimits,
    Answers as Answers,
    answers_of as answers_of,
    checked_others as checked_others,
)
from scmpt_scverse.zero_shot._back_off import (
    backed_off as backed_off,
)
from scmpt_scverse.zero_shot._candidates import (
    Candidates as Candidates,
    Labels as Labels,
    candidates_of as candidates_of,
    embedded as embedded,
    markers_in_words as markers_in_words,
    registered_candidates as registered_candidates,
    without_id as without_id,
)
from scmpt_scverse.zero_shot._cell_to_text import (
    cell_tokens as cell_tokens,
    fit_cell_to_text as fit_cell_to_text,
    kinship as kinship,
    marker_tokens as marker_tokens,
    text_scores as text_scores,
)
from scmpt_scverse.zero_shot._evaluation import (
    evaluated as evaluated,
    marker_probabilities as marker_probabilities,
)
from scmpt_scverse.zero_shot._explanation import (
    checked_label as checked_label,
    explained_cell as explained_cell,
    gene_shares as gene_shares,
)
from scmpt_scverse.zero_shot._fit import (
    TrainingStudy as TrainingStudy,
    fit_alignment as fit_alignment,
    labelled_cells as labelled_cells,
    spread as spread,
)
from scmpt_scverse.zero_shot._matching import (
    matching_candidates as matching_candidates,
)
from scmpt_scverse.zero_shot._neighbourhood import (
    Neighbourhood as Neighbourhood,
    nearest_cells as nearest_cells,
)
from scmpt_scverse.zero_shot._novelty import (
    novelty_scores as novelty_scores,
    types_apart as types_apart,
)
from scmpt_scverse.zero_shot._query import (
    BACKGROUND_SHARE as BACKGROUND_SHARE,
    Query as Query,
)
from scmpt_scverse.zero_shot._refinement import (
    refined as refined,
    smoothed as smoothed,
)
from scmpt_scverse.zero_shot._search import (
    search_scores as search_scores,
)
from scmpt_scverse.zero_shot._teachers import (
    check_teaching_share as check_teaching_share,
    taught_labels as taught_labels,
)
from scmpt_scverse.zero_shot._text_model import (
    UNKNOWN as UNKNOWN,
    TextModel as TextModel,
)
from scmpt_scverse.zero_shot._training_data import (
    MarkerProfiles as MarkerProfiles,
    StudySource as StudySource,
    sources_of as sources_of,
    training_studies as training_studies,
    training_texts as training_texts,
)
from scmpt_scverse.zero_shot._training_report import (
    expected_seconds as expected_seconds,
    label_report as label_report,
)
from scmpt_scverse.zero_shot._types import (
    RegisteredTypes as RegisteredTypes,
)
