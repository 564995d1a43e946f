"""Model classes: what users train, save and ask."""

from scmpt_scverse.model._saving import (
    pretrained_folder as pretrained_folder,
    pretrained_names as pretrained_names,
)
from scmpt_scverse.model._scmmgpt import SCMMGPT
from scmpt_scverse.model._scmpt import SCMPT

__all__ = ["SCMMGPT", "SCMPT"]
