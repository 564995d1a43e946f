"""Tools that apply encoders to AnnData: write embeddings, and measure what is in them."""

from scmpt_scverse.tl._back_off import back_off
from scmpt_scverse.tl._embed import embed
from scmpt_scverse.tl._embed_file import embed_file
from scmpt_scverse.tl._linear_probe import linear_probe

__all__ = ["back_off", "embed", "embed_file", "linear_probe"]
