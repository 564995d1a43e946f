"""Tools that apply frozen models to AnnData, or use the results."""

from scmpt_scverse.attribution import faithfulness
from scmpt_scverse.tl._annotate_with_llm import annotate_with_llm
from scmpt_scverse.tl._back_off import back_off
from scmpt_scverse.tl._embed import embed
from scmpt_scverse.tl._late_fusion import (
    Judged as Judged,
    Question as Question,
    second_opinion as second_opinion,
)
from scmpt_scverse.tl._linear_probe import linear_probe
from scmpt_scverse.tl._marker_overlap import compare_attributions, marker_overlap
from scmpt_scverse.tl._niche import embed_niche
from scmpt_scverse.tl._smoothing import smooth_probabilities

__all__ = [
    "annotate_with_llm",
    "back_off",
    "compare_attributions",
    "embed",
    "embed_niche",
    "faithfulness",
    "linear_probe",
    "marker_overlap",
    "smooth_probabilities",
]
