"""Tools that apply frozen models to AnnData, or read what was written with them."""

from scmpt_scverse.tl._annotate_with_llm import annotate_with_llm
from scmpt_scverse.tl._back_off import back_off
from scmpt_scverse.tl._embed import embed
from scmpt_scverse.tl._embed_file import embed_file
from scmpt_scverse.tl._linear_probe import linear_probe

__all__ = ["annotate_with_llm", "back_off", "embed", "embed_file", "linear_probe"]
