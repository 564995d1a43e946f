"""Simulated studies for the text model: cell types with marker genes, and an encoder that reads words."""

import hashlib
from collections.abc import Sequence

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scmpt_scverse.module import TowerOptions

#: Types of the Cell Ontology, each with fifteen genes of its own.
TYPES = (
    "B cell",
    "T cell",
    "natural killer cell",
    "monocyte",
    "platelet",
    "fibroblast",
    "endothelial cell",
    "hepatocyte",
)
#: Types that studies to train on have, others, and what cells of :func:`study` are usually labelled with.
SEEN, UNSEEN = TYPES[:5], TYPES[5:]
LABELS = [*UNSEEN, SEEN[0]]
#: A tower that trains in a second.
OPTIONS = TowerOptions(n_hidden=32, n_axes=8, n_steps=60, types_per_step=8, lr=5e-3)
N_MARKERS = 15
GENES = [f"{name.replace(' ', '').upper()}{number}" for name in TYPES for number in range(N_MARKERS)] + [
    f"OTHER{number}" for number in range(60)
]


class WordEncoder:
    """A text is the sum of random vectors of its words, so that texts which share words are alike."""

    name = "words"
    embedding_dim = 48
    fingerprint = "words-1"

    def encode_texts(self, texts: Sequence[str], *, precision: str = "auto") -> np.ndarray:
        return np.stack([self._one(text) for text in texts]).astype(np.float32)

    def _one(self, text: str) -> np.ndarray:
        words = text.lower().replace(",", " ").replace(":", " ").replace(".", " ").split()[:30]
        total = np.zeros(self.embedding_dim)
        for word in words:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
            total += np.random.default_rng(seed).normal(size=self.embedding_dim)
        return total / max(float(np.linalg.norm(total)), 1e-9)


def markers() -> pd.DataFrame:
    """The table of the markers of all types."""
    rows = [
        {"type": name, "gene": gene, "organism": "human", "tissue": "blood" if number < 5 else "liver"}
        for number, name in enumerate(TYPES)
        for gene in genes_of(name)
    ]
    return pd.DataFrame(rows)


def genes_of(name: str) -> list[str]:
    """The markers of a type."""
    return [gene for gene in GENES if gene.rstrip("0123456789") == name.replace(" ", "").upper()]


def study(types: Sequence[str], n_each: int = 40, seed: int = 0, dropout: float = 0.5) -> AnnData:
    """Counts of cells of some types, in `.obs["cell_type"]`; markers are five times as frequent in their type."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(list(types), n_each)
    rates = np.full((len(labels), len(GENES)), 0.6)
    for name in types:
        columns = np.isin(GENES, genes_of(name))
        rates[np.ix_(labels == name, columns)] = 3.0
    counts = rng.poisson(rates * rng.uniform(0.6, 1.6, (len(labels), 1))) * (rng.random(rates.shape) > dropout)
    obs = pd.DataFrame({"cell_type": labels}, index=[f"cell{number}" for number in range(len(labels))])
    return AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=pd.DataFrame(index=GENES))


def two_studies() -> AnnData:
    """Cells of two studies of five of the eight types, in `.obs["study"]`."""
    return ad.concat({"one": study(SEEN[:3], seed=1), "two": study(SEEN[2:], seed=2)}, label="study", index_unique="-")
