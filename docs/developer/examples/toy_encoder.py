"""A random projection of log-normalised expression, as an encoder."""

import hashlib
from typing import Any

import numpy as np

from scmpt_scverse.encoders import Encoder
from scmpt_scverse.pp import gene_weights_of


class ToyEncoder(Encoder):
    """The sum of random vectors, one per gene, weighted by log-normalised expression."""

    modality = "expression"

    def __init__(self, embedding_dim: int = 64, seed: int = 0) -> None:
        self.name = "toy"
        self.embedding_dim = embedding_dim
        self.seed = seed

    def known_genes(self, genes: Any) -> Any:
        return np.ones(len(genes), dtype=bool)

    def prepare(self, expression: Any) -> Any:
        return gene_weights_of(expression, power=1)  # the weights of a cell sum to 1, and depend on that cell alone

    def encode(self, inputs: Any, *, batch_size: Any = "auto", device: str = "auto", precision: str = "auto") -> Any:
        # A gene's vector depends on its symbol and the seed, so the genes of a data set do not matter.
        vectors = np.stack([np.random.default_rng([self.seed, *gene.encode()]).normal(size=self.embedding_dim)
                            for gene in inputs.genes])  # (n_genes, embedding_dim)  # fmt: skip
        embeddings = (inputs.matrix @ vectors).astype(np.float32)
        embeddings[np.diff(inputs.matrix.indptr) == 0] = np.nan  # cells without any gene
        return embeddings

    def _compute_fingerprint(self) -> str:
        return hashlib.sha256(f"toy, version 1, {self.embedding_dim}, {self.seed}".encode()).hexdigest()
