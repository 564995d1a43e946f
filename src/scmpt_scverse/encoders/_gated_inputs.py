"""What each encoder reads, as a differentiable function of its genes: sentences, gene tokens, gene weights."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse

from scmpt_scverse.encoders._gene_gates import ExpressedGenes, GeneGates, turned_down

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.encoders._scgpt_network import ScGPTNetwork
    from scmpt_scverse.pp import CellSentences


class GatedSentences(GeneGates):
    """Cell sentences, whose token embeddings are turned down.

    Parameters
    ----------
    model
        The model, in float32.
    sentences
        Sentences of all cells.
    n_genes
        Number of genes; word `i` belongs to gene `i % n_genes`.
    device
        Device of the model.
    """

    def __init__(
        self, model: "SentenceTransformer", sentences: "CellSentences", n_genes: int, device: "torch.device"
    ) -> None:
        self._transformer, *self._others = model.requires_grad_(False)
        prompt = (model.prompts or {}).get(model.default_prompt_name or "") or ""
        texts = [prompt + text for text in sentences.texts()]
        if getattr(self._transformer, "do_lower_case", False):
            texts = [text.lower() for text in texts]
        encoded = model.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=model.max_seq_length,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        is_special = np.array(encoded.pop("special_tokens_mask"), dtype=bool)
        last_letter = np.array(encoded.pop("offset_mapping"))[..., 1] - 1 - len(prompt)  # (n_cells, n_positions)
        self.genes = np.where(is_special | (last_letter < 0), -1, _genes_at(sentences, last_letter) % n_genes)
        self._features = {name: torch.tensor(values, device=device) for name, values in encoded.items()}
        network: Any = self._transformer.auto_model
        self._words = network.get_input_embeddings()
        self._network = network
        mask = model.tokenizer.mask_token_id
        self._neutral = self._words.weight[mask] if mask is not None else self._words.weight.mean(0)

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneGates.__call__`."""
        features = {name: values[cells] for name, values in self._features.items()}
        embedded = self._words(features.pop("input_ids"))  # (batch, n_positions, dim)
        mixed = turned_down(embedded, self._neutral.expand_as(embedded), gates)
        features["token_embeddings"] = self._network(inputs_embeds=mixed, **features)[0]
        for module in self._others:
            features = module(features)
        return features["sentence_embedding"]


class GatedTokens(GeneGates):
    """Cells as gene tokens, whose embeddings (gene plus value) are turned down together.

    Parameters
    ----------
    network
        The network, in float32.
    genes
        See :class:`GeneGates`.
    gene_ids, bins, is_token
        Inputs of the network for all cells, each `(n_cells, n_positions)`.
    """

    def __init__(
        self, network: "ScGPTNetwork", genes: "IntArray", gene_ids: "Tensor", bins: "Tensor", is_token: "Tensor"
    ) -> None:
        self.genes = genes
        self._network = network
        self._gene_ids, self._bins, self._is_token = gene_ids, bins, is_token

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneGates.__call__`."""
        is_token = self._is_token[cells]
        embedded = self._network.encoder(self._gene_ids[cells]) + F.embedding(
            self._bins[cells], self._network.value_table
        )  # (batch, n_positions, dim)
        # The neutral token is the mean of the cell's: the network was never trained on a token without gene and value.
        weights = (is_token & (self._bins[cells] > 0)).unsqueeze(-1)
        neutral = (embedded * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
        cls = self._network.transformer_encoder(turned_down(embedded, neutral, gates), is_token)  # (batch, dim)
        return F.normalize(cls, dim=-1)


class GatedGeneWeights(GeneGates):
    """Weighted means of gene vectors, in which a closed gate replaces a vector by the unweighted mean of its cell's.

    Parameters
    ----------
    weights
        Weights of genes in all cells; rows sum to 1, shape `(n_cells, n_genes)`.
    vectors
        Shape `(n_genes, dim)`; those of genes that no cell expresses do not count.
    device
        Where to compute.
    """

    def __init__(self, weights: "sparse.csr_matrix", vectors: "FloatArray", device: "torch.device") -> None:
        expressed = ExpressedGenes(weights)
        self.genes = expressed.columns
        padded = np.zeros(expressed.columns.shape, dtype=np.float32)
        padded[expressed.is_gene] = weights.data
        self._weights = torch.from_numpy(padded).to(device)
        # Where a cell has fewer genes than others, a weight of 0 is added to the first gene.
        self._columns = torch.from_numpy(expressed.columns.clip(min=0)).to(device)
        self._vectors = torch.from_numpy(vectors).to(device)
        n_expressed = np.diff(weights.indptr)
        shares = np.repeat(np.float32(1) / n_expressed.astype(np.float32), n_expressed)
        equal = sparse.csr_matrix((shares, weights.indices, weights.indptr), weights.shape)
        self._neutral = torch.from_numpy(equal @ vectors).to(device)

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneGates.__call__`."""
        weights = self._weights[cells] * gates
        of_genes = weights.new_zeros(len(cells), len(self._vectors)).scatter_add(1, self._columns[cells], weights)
        return of_genes @ self._vectors + (1 - weights.sum(dim=1, keepdim=True)) * self._neutral[cells]


def _genes_at(sentences: "CellSentences", letters: "IntArray") -> "IntArray":
    """The word that each letter of each sentence belongs to, shape as `letters`."""
    genes = np.empty_like(letters)
    lengths = np.fromiter(map(len, sentences.genes), dtype=np.int64, count=len(sentences.genes)) + 1  # and a space
    for row, (start, stop) in enumerate(pairwise(sentences.indptr)):
        ranked = sentences.ranked[start:stop]
        word = np.searchsorted(np.cumsum(lengths[ranked]), letters[row], side="right")
        genes[row] = ranked[np.minimum(word, len(ranked) - 1)]
    return genes
