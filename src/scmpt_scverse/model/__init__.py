"""Model classes: what users train, save and ask."""

from scmpt_scverse.model._scmpt import SCMPT

__all__ = ["SCMPT"]
