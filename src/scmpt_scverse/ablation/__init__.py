"""What a model loses when part of its input is removed or changed."""

from scmpt_scverse.ablation._base import Ablation as Ablation
from scmpt_scverse.ablation._expression import DropGenes, LowDepth, Truncate
from scmpt_scverse.ablation._modality import WithoutModality
from scmpt_scverse.ablation._run import run
from scmpt_scverse.ablation._sentence import ReplaceNames, SentenceForm, Shuffle

__all__ = [
    "DropGenes",
    "LowDepth",
    "ReplaceNames",
    "SentenceForm",
    "Shuffle",
    "Truncate",
    "WithoutModality",
    "run",
]
