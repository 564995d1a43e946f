"""Frozen encoders: networks that turn cells into vectors and are not trained with a model."""

from scmpt_scverse.encoders._base import (
    CacheableCells as CacheableCells,
    Encoder as Encoder,
    TextEncoder as TextEncoder,
    TokenEmbeddings as TokenEmbeddings,
    TokenEncoder as TokenEncoder,
)
from scmpt_scverse.encoders._cached_rows import CachedRows as CachedRows
from scmpt_scverse.encoders._catalog import CARDS as CARDS
from scmpt_scverse.encoders._embedding_cache import EmbeddingCache as EmbeddingCache, Space as Space
from scmpt_scverse.encoders._gene_gates import (
    ExpressedGenes as ExpressedGenes,
    GeneDifferentiable as GeneDifferentiable,
    GeneGates as GeneGates,
)
from scmpt_scverse.encoders._gene_text import GeneTextEncoder as GeneTextEncoder
from scmpt_scverse.encoders._get import (
    ENCODERS as ENCODERS,
    get,
    is_local as is_local,
    list_encoders,
    name_and_dim as name_and_dim,
)
from scmpt_scverse.encoders._scgpt import ScGPTEncoder as ScGPTEncoder
from scmpt_scverse.encoders._sentence_transformer import SentenceTransformerEncoder as SentenceTransformerEncoder
from scmpt_scverse.encoders.pretraining._pretrain import pretrain
from scmpt_scverse.encoders.pretraining._recipe import PretrainingRecipe

__all__ = ["PretrainingRecipe", "get", "list_encoders", "pretrain"]
