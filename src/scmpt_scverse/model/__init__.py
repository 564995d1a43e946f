"""Models that users hold in hand."""

from scmpt_scverse.model._scmpt import SCMPT

__all__ = ["SCMPT"]
