"""Frozen encoders: networks that turn cells into vectors and are never trained here."""

from scmpt_scverse.encoders._base import CacheableCells, Encoder
from scmpt_scverse.encoders._gene_text import GeneTextEncoder
from scmpt_scverse.encoders._get import get, list_encoders
from scmpt_scverse.encoders._scgpt import ScGPTEncoder
from scmpt_scverse.encoders._sentence_transformer import SentenceTransformerEncoder
from scmpt_scverse.encoders.pretraining._pretrain import pretrain
from scmpt_scverse.encoders.pretraining._recipe import PretrainingRecipe

__all__ = [
    "CacheableCells",
    "Encoder",
    "GeneTextEncoder",
    "PretrainingRecipe",
    "ScGPTEncoder",
    "SentenceTransformerEncoder",
    "get",
    "list_encoders",
    "pretrain",
]
