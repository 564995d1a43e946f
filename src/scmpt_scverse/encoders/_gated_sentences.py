"""A text encoder as a function of how much of each gene is there."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scmpt_scverse.encoders._gene_gates import GeneGates, turned_down

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.pp._cell_sentence import CellSentences


class GatedSentences(GeneGates):
    """Cell sentences, whose token embeddings are turned down.

    Parameters
    ----------
    model
        In float32.
    sentences
        Of all cells.
    n_genes
        Word `i` is of gene `i % n_genes`.
    device
        Where the model is.
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


def _genes_at(sentences: "CellSentences", letters: "IntArray") -> "IntArray":
    """The word that each letter of each sentence belongs to, shape as `letters`."""
    genes = np.empty_like(letters)
    lengths = np.fromiter(map(len, sentences.genes), dtype=np.int64, count=len(sentences.genes)) + 1  # and a space
    for row, (start, stop) in enumerate(pairwise(sentences.indptr)):
        ranked = sentences.ranked[start:stop]
        word = np.searchsorted(np.cumsum(lengths[ranked]), letters[row], side="right")
        genes[row] = ranked[np.minimum(word, len(ranked) - 1)]
    return genes
