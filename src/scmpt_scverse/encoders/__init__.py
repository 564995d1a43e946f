"""Frozen encoders: networks that turn cells into vectors and are never trained here."""

from scmpt_scverse.encoders._base import Encoder
from scmpt_scverse.encoders._get import get, list_encoders
from scmpt_scverse.encoders._scgpt import ScGPTEncoder
from scmpt_scverse.encoders._sentence_transformer import SentenceTransformerEncoder

__all__ = ["Encoder", "ScGPTEncoder", "SentenceTransformerEncoder", "get", "list_encoders"]
