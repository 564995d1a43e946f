"""Tools that write AnnData."""

from scmpt_scverse.tl._embed import embed

__all__ = ["embed"]
