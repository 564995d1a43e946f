"""Tools that apply frozen models to AnnData, or read what was written with them."""

from scmpt_scverse.attribution import faithfulness
from scmpt_scverse.tl._annotate_with_llm import annotate_with_llm
from scmpt_scverse.tl._back_off import back_off
from scmpt_scverse.tl._embed import embed
from scmpt_scverse.tl._embed_file import embed_file
from scmpt_scverse.tl._linear_probe import linear_probe
from scmpt_scverse.tl._marker_overlap import compare_attributions, marker_overlap
from scmpt_scverse.tl._niche import embed_niche
from scmpt_scverse.tl._second_opinion import (
    cells_as_subjects as cells_as_subjects,
    check_second_opinion as check_second_opinion,
    cluster_codes as cluster_codes,
    clusters_as_subjects as clusters_as_subjects,
    write_second_opinion as write_second_opinion,
)
from scmpt_scverse.tl._smoothing import smooth_probabilities

__all__ = [
    "annotate_with_llm",
    "back_off",
    "compare_attributions",
    "embed",
    "embed_file",
    "embed_niche",
    "faithfulness",
    "linear_probe",
    "marker_overlap",
    "smooth_probabilities",
]
