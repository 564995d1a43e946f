"""Frozen text encoder: cell sentences through the sentence-transformers library."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from scmpt_scverse._checks import check_choice, check_positive, check_share
from scmpt_scverse._hardware import resolve_device, resolve_precision
from scmpt_scverse._hashing import file_sha256, fingerprint_of
from scmpt_scverse.encoders._base import Encoder
from scmpt_scverse.encoders._get import slug
from scmpt_scverse.encoders._packed_layers import length_batches, packs_tokens
from scmpt_scverse.encoders._sentence_folder import (
    check_weights,
    described_sizes,
    files_that_decide,
    opened_folder,
    sentence_tokenizer,
)
from scmpt_scverse.encoders._sentence_tokens import SentenceTokenizer
from scmpt_scverse.pp import TABLE_OF, CellSentences, check_form, read_table, sentences_in_form

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

    from scmpt_scverse._types import BoolArray, FloatArray, Precision, StrArray, StrPath
    from scmpt_scverse.encoders._gene_gates import JoinedGates
    from scmpt_scverse.encoders._sentence_network import SentenceNetwork
    from scmpt_scverse.pp import GeneExpression

#: Sentences per forward pass where the library makes the batches.
_LIBRARY_BATCH_SIZE = 32
_POOLINGS = ("cls", "mean", "max")
#: Raise it when prepared sentences change, so that embeddings of both versions are distinguished.
_PREPROCESSING_VERSION = 1
#: The loaded model; and tokenizer and network, where sentences can be tokenised gene by gene.
_Loaded: TypeAlias = (
    "tuple[torch.device, torch.dtype, bool, SentenceTransformer, SentenceTokenizer | None, SentenceNetwork | None]"
)


class SentenceTransformerEncoder(Encoder):
    """A sentence-transformers model that reads cell sentences.

    Parameters
    ----------
    folder
        Model folder as sentence-transformers saves it (`modules.json`, `config.json`, tokenizer, weights).
    name
        Name for slots; `None` takes the folder's name in lower case.
    max_genes
        Genes per sentence, most expressed first. `None` takes as many as the model reads tokens. Several numbers
        give one sentence each; their embeddings are concatenated.
    pooling
        How token vectors become one vector; `None` keeps what the folder's own files say.
    min_genes, min_expression
        See :class:`Encoder`.
    weights_sha256
        Expected sha256 of `model.safetensors`; checked when the weights are loaded.
    sentence
        How a cell is written: `"ranked"` (symbols, most expressed first), `"binned"` (each followed by a word for its
        expression), `"tfidf"` (in the order of expression times inverse cell frequency) or `"full_names"`.
    sentence_table
        For the last two: a `.csv` or `.tsv` file with each gene and the share of cells that express it, or its full
        name.

    Raises
    ------
    FileNotFoundError
        The folder, its description or `sentence_table` is missing.
    ValueError
        An option is out of range, the description is damaged, or the weights are not the expected ones.

    Notes
    -----
    A sentence with more tokens than the model reads is cut at the end, which holds its lowest-ranked genes.
    """

    modality: Literal["text"] = "text"

    def __init__(
        self,
        folder: "StrPath",
        *,
        name: str | None = None,
        max_genes: int | Sequence[int] | None = None,
        pooling: Literal["cls", "mean", "max"] | None = None,
        min_genes: int | None = None,
        min_expression: float = 0.2,
        weights_sha256: str | None = None,
        sentence: str = "ranked",
        sentence_table: "StrPath | None" = None,
    ) -> None:
        self.folder = Path(folder)
        self.name = name or slug(self.folder.resolve().name)
        if pooling is not None:
            check_choice(pooling, _POOLINGS, "pooling")
        if min_genes is not None:
            check_positive(min_genes, "min_genes")
        check_share(min_expression, "min_expression")
        check_form(sentence, sentence_table)
        self.sentence = sentence
        self._table_path = sentence_table if sentence in TABLE_OF else None
        self._table = None if self._table_path is None else read_table(self._table_path, sentence)
        self.pooling = pooling
        self.min_genes = min_genes
        self.min_expression = min_expression
        self._weights_sha256 = weights_sha256
        self._hidden_size, self._max_seq_length, dim = described_sizes(self.folder, pools_as_saved=pooling is None)
        self.sentence_lengths = _checked_lengths(max_genes, self._max_seq_length)
        self.max_genes = max(self.sentence_lengths)
        self.embedding_dim = dim * len(self.sentence_lengths)
        self._loaded: _Loaded | None = None

    @property
    def options(self) -> dict[str, int | float | str]:
        """Genes per sentence, tokens per sentence, pooling (`"as saved"` unless given), and the form of sentences."""
        options: dict[str, int | float | str] = {
            "max_genes": self.max_genes if len(self.sentence_lengths) == 1 else str(self.sentence_lengths),
            "max_seq_length": self._max_seq_length,
            "pooling": self.pooling or "as saved",
        }
        # Left out for the default form, so that its embeddings keep the fingerprint from before there were other forms.
        if self.sentence != "ranked":
            options["sentence"] = self.sentence
        if self._table_path is not None:
            options["sentence_table_sha256"] = file_sha256(Path(self._table_path))
        return options

    def known_genes(self, genes: "StrArray") -> "BoolArray":
        """All genes: a tokenizer splits symbols that it does not know into pieces."""
        return np.ones(len(genes), dtype=bool)

    def prepare(self, expression: "GeneExpression") -> CellSentences:
        """The cell sentences of a chunk, cut to `max_genes`."""
        return sentences_in_form(self.sentence, expression, self.max_genes, self._table)

    def encode(
        self,
        inputs: CellSentences,
        *,
        batch_size: "int | Literal['auto']" = "auto",
        device: str = "auto",
        precision: "Precision" = "auto",
    ) -> "FloatArray":
        """See :meth:`Encoder.encode`; an empty sentence gives a row of NaN."""
        if batch_size != "auto":
            check_positive(batch_size, "batch_size")
        target = resolve_device(device)
        embeddings = self._empty_embedding(len(inputs))
        usable = np.flatnonzero(np.diff(inputs.indptr))
        if not usable.size:
            return embeddings
        parts = [
            self._encode(part, batch_size, target, resolve_precision(precision, target))
            for part in self._parts(inputs.take(usable))
        ]
        embeddings[usable] = np.hstack(parts)
        return embeddings

    def encode_texts(
        self,
        texts: "Sequence[str]",
        *,
        batch_size: "int | Literal['auto']" = "auto",
        device: str = "auto",
        precision: "Precision" = "auto",
    ) -> "FloatArray":
        """The embeddings of texts of any kind, float32 of shape `(n_texts, embedding_dim)`; as :meth:`encode`."""
        words = np.array(list(texts), dtype=object)
        whole = CellSentences(np.arange(len(words) + 1), np.arange(len(words)), words)  # each text as one word
        return self.encode(whole, batch_size=batch_size, device=device, precision=precision)

    def _parts(self, sentences: CellSentences) -> list[CellSentences]:
        """The sentences at each length; the longest are as they were prepared."""
        return [sentences if n == self.max_genes else sentences.cut(n) for n in self.sentence_lengths]

    def _encode(
        self,
        sentences: CellSentences,
        batch_size: "int | Literal['auto']",
        device: "torch.device",
        dtype: "torch.dtype",
    ) -> "FloatArray":
        """The embeddings of sentences that have a word each."""
        import torch

        packs = packs_tokens(device, dtype)
        model, tokenizer, network = self._model(dtype, device, packs=packs)
        if tokenizer is None or network is None:
            by_library: FloatArray = model.encode(
                sentences.texts(),
                batch_size=_LIBRARY_BATCH_SIZE if batch_size == "auto" else batch_size,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
            return by_library
        token_ids, indptr = tokenizer(sentences)
        batches = length_batches(np.diff(indptr), batch_size, device, packs=packs)
        with torch.inference_mode():
            rows = torch.cat([network(token_ids, indptr, batch) for batch in batches])
        embeddings = np.empty(rows.shape, dtype=np.float32)
        embeddings[np.concatenate(batches)] = rows.cpu().numpy()
        return embeddings

    def gene_gates(self, expression: "GeneExpression", device: "torch.device") -> "JoinedGates":
        """The cells of `expression` as a differentiable function of their genes; see :class:`GeneDifferentiable`."""
        import torch

        from scmpt_scverse.encoders._gated_inputs import GatedSentences
        from scmpt_scverse.encoders._gene_gates import JoinedGates

        model = self._model(torch.float32, device)[0]
        parts = self._parts(self.prepare(expression))
        return JoinedGates([GatedSentences(model, part, len(expression.genes), device) for part in parts])

    def _model(
        self, dtype: "torch.dtype", device: "torch.device", *, packs: bool = False
    ) -> "tuple[SentenceTransformer, SentenceTokenizer | None, SentenceNetwork | None]":
        import torch

        from scmpt_scverse.encoders._sentence_network import SentenceNetwork

        if self._loaded is None or self._loaded[:3] != (device, dtype, packs):
            self._loaded = None  # frees the other copy first
            if self._weights_sha256 is not None:
                check_weights(self.folder, self.name, self._weights_sha256)
            model = opened_folder(self.folder, dtype, device, pooling=self.pooling, hidden_size=self._hidden_size)
            tokenizer = sentence_tokenizer(model)
            with torch.inference_mode():
                network = None if tokenizer is None else SentenceNetwork(model, tokenizer, packs=packs)
            self._loaded = (device, dtype, packs, model, tokenizer, network)
        return self._loaded[3:]

    def _compute_fingerprint(self) -> str:
        options = {**self.options, "preprocessing": _PREPROCESSING_VERSION}
        return fingerprint_of(files_that_decide(self.folder), self.folder, options)

    def __getstate__(self) -> dict[str, Any]:
        # A worker loads the weights itself: cheaper and safer than sending them.
        return {**self.__dict__, "_loaded": None}


def _checked_lengths(max_genes: int | Sequence[int] | None, max_seq_length: int) -> tuple[int, ...]:
    """Genes of each sentence; a gene has at least one token, so more genes than tokens are never read."""
    given = (max_genes,) if max_genes is None or isinstance(max_genes, int) else tuple(max_genes)
    for length in given:
        if length is not None:
            check_positive(length, "max_genes")
    lengths = tuple(min(length or max_seq_length, max_seq_length) for length in given)
    if not lengths or len(set(lengths)) < len(lengths):
        raise ValueError(
            f"Several `max_genes` must be different numbers, of which those above the {max_seq_length} tokens that the "
            f"model reads count as one; found {max_genes!r}."
        )
    return lengths
