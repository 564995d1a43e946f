"""From the token ids of sentences to their embeddings, through the modules of a sentence-transformers model."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
from torch import Tensor, nn

from scmpt_scverse.encoders._packed_layers import LayerWeights, PackedLayer, Segments

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.encoders._sentence_tokens import SentenceTokenizer


class SentenceNetwork:
    """A frozen model that reads token ids.

    Parameters
    ----------
    model
        A model in evaluation mode.
    tokenizer
        The tokenizer that made the token ids.
    packs
        Whether a BERT is to run without padding; its layers are then taken out of `model`.
    """

    def __init__(self, model: "SentenceTransformer", tokenizer: "SentenceTokenizer", *, packs: bool) -> None:
        self._transformer, *self._others = model
        self._tokenizer = tokenizer
        self._device = model.device
        self._bert = _packed_bert(model) if packs else None

    def __call__(self, token_ids: "IntArray", indptr: "IntArray", cells: "IntArray") -> Tensor:
        """The embeddings of some sentences, float32, shape `(n_cells, embedding_dim)`."""
        if self._bert is None:
            features = self._transformer(self._tokenizer.padded(token_ids, indptr, cells, self._device))
        else:
            ids, n_tokens = self._tokenizer.packed(token_ids, indptr, cells)
            rows, lengths = self._bert(torch.from_numpy(ids).to(self._device), n_tokens.tolist())
            is_token = np.arange(max(lengths)) < np.array(lengths)[:, None]
            padded = rows.new_zeros(is_token.size, rows.shape[-1])
            padded[torch.from_numpy(np.flatnonzero(is_token)).to(self._device)] = rows
            features = {
                "token_embeddings": padded.view(*is_token.shape, -1),
                "attention_mask": torch.from_numpy(is_token).long().to(self._device),
            }
        # The modules after the transformer take little time and would lose precision in bfloat16.
        features["token_embeddings"] = features["token_embeddings"].float()  # (n_cells, n_tokens, dim)
        for module in self._others:
            features = module(features)
        embeddings: Tensor = features["sentence_embedding"]
        return embeddings


class PackedBert:
    """A BERT over the tokens of all sentences in one row, without padding (see :class:`PackedLayer`).

    Parameters
    ----------
    bert
        A `transformers.BertModel`; its layers are removed, so that their weights are not in memory twice.
    reads_first
        Whether only the first token of a sentence is read afterwards; the last layer then computes no other.
    """

    def __init__(self, bert: Any, *, reads_first: bool) -> None:
        self._embeddings = bert.embeddings
        n_heads = bert.config.num_attention_heads
        self._layers = [PackedLayer(_weights(layer), n_heads, "gelu") for layer in bert.encoder.layer]
        self._reads_first = reads_first
        bert.encoder.layer = nn.ModuleList()

    def __call__(self, token_ids: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        """The rows of `(n_tokens,)` tokens that are read afterwards, and their number in each sentence."""
        places = torch.from_numpy(np.concatenate([np.arange(length) for length in lengths])).to(token_ids.device)
        sentences = Segments(lengths, token_ids.device)
        tokens = self._embeddings(input_ids=token_ids[None], position_ids=places[None])[0]  # (n_tokens, dim)
        *layers, last = self._layers
        for layer in layers:
            tokens = layer(tokens, sentences)
        if self._reads_first:
            return last.first_rows(tokens, sentences), [1] * len(lengths)
        return last(tokens, sentences), lengths


def _packed_bert(model: "SentenceTransformer") -> PackedBert | None:
    """The model's transformer over packed tokens, where it is known to give the same result; else `None`."""
    from transformers import BertModel

    first, *others = model
    bert: Any = first.auto_model
    is_known = (
        type(bert) is BertModel
        and bert.config.hidden_act == "gelu"
        and not bert.config.is_decoder
        and all(isinstance(module, Pooling | Dense | Normalize) for module in others)
    )
    if not is_known:
        return None
    reads_first = [module.pooling_mode for module in others if isinstance(module, Pooling)] == ["cls"]
    return PackedBert(bert, reads_first=reads_first)


def _weights(layer: Any) -> LayerWeights:
    attention = layer.attention.self
    parts = (attention.query, attention.key, attention.value)
    maps = (layer.attention.output.dense, layer.intermediate.dense, layer.output.dense)
    out, up, down = ((part.weight, part.bias) for part in maps)
    return LayerWeights(
        query_key_value=(torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])),
        out=out,
        up=up,
        down=down,
        attention_norm=layer.attention.output.LayerNorm,
        output_norm=layer.output.LayerNorm,
    )
