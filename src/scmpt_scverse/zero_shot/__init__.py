"""Labels for cells from texts alone: candidates, scores, refinement on the query, and what they are learned from."""

from scmpt_scverse.zero_shot._annotate import (
    REFINEMENTS as REFINEMENTS,
    Refine as Refine,
    label_probabilities as label_probabilities,
    label_scores as label_scores,
    query_components as query_components,
)
from scmpt_scverse.zero_shot._candidates import (
    Candidates as Candidates,
    Labels as Labels,
    candidates_of as candidates_of,
    embedded as embedded,
    markers_in_words as markers_in_words,
    registered_candidates as registered_candidates,
)
from scmpt_scverse.zero_shot._fit import (
    TrainingStudy as TrainingStudy,
    fit_alignment as fit_alignment,
)
from scmpt_scverse.zero_shot._query import (
    Query as Query,
)
from scmpt_scverse.zero_shot._refinement import (
    refined as refined,
    smoothed as smoothed,
)
from scmpt_scverse.zero_shot._search import (
    search_scores as search_scores,
)
from scmpt_scverse.zero_shot._standardisation import (
    Standardisation as Standardisation,
)
from scmpt_scverse.zero_shot._training_data import (
    MarkerProfiles as MarkerProfiles,
    training_studies as training_studies,
)
from scmpt_scverse.zero_shot._types import (
    RegisteredTypes as RegisteredTypes,
)
