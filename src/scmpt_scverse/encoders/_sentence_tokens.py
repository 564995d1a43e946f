"""Token ids of cell sentences without spelling the sentences out: each gene is tokenised once."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from scmpt_scverse._types import IntArray, StrArray
    from scmpt_scverse.pp import CellSentences

#: Number of sentences whose token ids are compared with those of the tokenizer, whenever there are new genes.
_N_COMPARED = 64


class SentenceTokenizer:
    """Turns cell sentences into token ids.

    Most tokenizers split a sentence at spaces first, so the tokens of a sentence are those of its genes, one after
    another. Whether this holds is tested on some of the sentences; if not, the tokenizer reads the text.

    Parameters
    ----------
    tokenizer
        A fast Hugging Face tokenizer.
    max_length
        Maximum number of tokens per sentence, special ones included.
    """

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._genes: StrArray | None = None
        self._tokens_of_genes: tuple[IntArray, IntArray] | None = None

    def __call__(self, sentences: "CellSentences") -> "tuple[IntArray, IntArray]":
        """Token ids of all sentences, one after another, and where sentences start and end, shape `(n_cells + 1,)`."""
        if self._genes is None or not np.array_equal(self._genes, sentences.genes):
            self._genes = sentences.genes
            self._tokens_of_genes = self._tokenize_genes(sentences)
        if self._tokens_of_genes is None:
            return self._from_texts(sentences.texts())
        return self._assemble(sentences, *self._tokens_of_genes)

    @staticmethod
    def packed(token_ids: "IntArray", indptr: "IntArray", cells: "IntArray") -> "tuple[IntArray, IntArray]":
        """Token ids of some of the sentences, one after another, and the number of tokens of each."""
        lengths = np.diff(indptr)[cells]
        offset = np.repeat(indptr[cells] - (np.cumsum(lengths) - lengths), lengths)
        return token_ids[offset + np.arange(lengths.sum())], lengths

    def padded(
        self, token_ids: "IntArray", indptr: "IntArray", cells: "IntArray", device: "torch.device"
    ) -> "dict[str, torch.Tensor]":
        """The inputs of a sentence-transformers model for some of the sentences, each `(n_cells, n_tokens)`."""
        import torch

        packed, lengths = self.packed(token_ids, indptr, cells)
        is_token = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(is_token.shape, self._tokenizer.pad_token_id)
        ids[is_token] = packed
        features = {"input_ids": ids, "attention_mask": is_token.astype(np.int64)}
        if "token_type_ids" in self._tokenizer.model_input_names:
            features["token_type_ids"] = np.zeros_like(ids)
        return {name: torch.from_numpy(values).to(device) for name, values in features.items()}

    def _tokenize_genes(self, sentences: "CellSentences") -> "tuple[IntArray, IntArray] | None":
        """Token ids of every gene, and where they start; `None` if a sentence does not have the tokens of its genes."""
        options = {"add_special_tokens": False, "truncation": True, "max_length": self._max_length}
        ids = self._tokenizer(list(sentences.genes), **options)["input_ids"]
        indptr = np.cumsum([0, *map(len, ids)])
        tokens = np.concatenate([np.empty(0, dtype=np.int64), *(np.array(some, dtype=np.int64) for some in ids)])
        sample = sentences.take(np.flatnonzero(np.diff(sentences.indptr))[:_N_COMPARED])
        expected, found = self._from_texts(sample.texts()), self._assemble(sample, tokens, indptr)
        is_same = all(np.array_equal(*pair) for pair in zip(expected, found, strict=True))
        return (tokens, indptr) if is_same else None

    def _assemble(
        self, sentences: "CellSentences", tokens: "IntArray", starts: "IntArray"
    ) -> "tuple[IntArray, IntArray]":
        """The genes' tokens in the order of each sentence, cut at the end, between the special tokens."""
        first, last = self._special_tokens()
        room = self._max_length - 2
        lengths = np.diff(starts)[sentences.ranked]  # tokens of each gene of each sentence
        # Where each gene begins in its sentence, and how much of it fits.
        ends = np.concatenate([[0], np.cumsum(lengths)])
        begin = ends[:-1] - np.repeat(ends[sentences.indptr[:-1]], np.diff(sentences.indptr))
        kept = np.clip(room - begin, 0, lengths)
        n_tokens = np.diff(np.concatenate([[0], np.cumsum(kept)])[sentences.indptr])
        indptr = np.cumsum(np.concatenate([[0], n_tokens + 2]))
        assembled = np.empty(indptr[-1], dtype=np.int64)
        assembled[indptr[:-1]], assembled[indptr[1:] - 1] = first, last
        is_gene = np.ones(len(assembled), dtype=bool)
        is_gene[indptr[:-1]] = is_gene[indptr[1:] - 1] = False
        before = np.cumsum(kept) - kept
        assembled[is_gene] = tokens[np.repeat(starts[:-1][sentences.ranked] - before, kept) + np.arange(kept.sum())]
        return assembled, indptr

    def _special_tokens(self) -> tuple[int, int]:
        """The tokens that the tokenizer puts before and after a text."""
        ids = self._tokenizer("")["input_ids"]
        return (ids[0], ids[-1]) if len(ids) == 2 else (-1, -1)  # so that the comparison with the tokenizer fails

    def _from_texts(self, texts: list[str]) -> "tuple[IntArray, IntArray]":
        if not texts:
            return np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
        ids = self._tokenizer(texts, truncation=True, max_length=self._max_length)["input_ids"]
        return np.concatenate([np.array(some, dtype=np.int64) for some in ids]), np.cumsum([0, *map(len, ids)])
