"""A language model of transformers that is taught to describe cells."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from safetensors.numpy import load_file
from tests._llm import make_language_model
from tests._zero_shot import OPTIONS, SEEN, WordEncoder, markers, study, two_studies
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertForMaskedLM, BertModel

from scmpt_scverse import SCMMGPT
from scmpt_scverse.description import Evidence, cell_vectors, texts_of_cells
from scmpt_scverse.description._language_model_writer import tokens_of, whole_sentences
from scmpt_scverse.llm import LanguageModel
from scmpt_scverse.model.text_labels._description_request import writer_for
from scmpt_scverse.module import WriterOptions
from scmpt_scverse.pp import ExpressionReader
from scmpt_scverse.zero_shot import Query

pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
HOW: dict[str, Any] = {"accelerator": "cpu", "progress": False}
SMALL = WriterOptions(n_tokens=2, max_epochs=12, batch_size=16, cells_per_text=40, max_tokens=64, lr=2e-2)
#: Short, so that a network of sixteen dimensions learns them in seconds.
TEXTS = {
    "B cell": "makes antibodies.",
    "T cell": "helps or kills.",
    "natural killer cell": "kills unasked.",
    "monocyte": "eats debris.",
    "platelet": "stops bleeding.",
}


@pytest.fixture(scope="session")
def language_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT that has read the texts, each after a sign of its own, in the place of which cells will stand."""
    folder = make_language_model(tmp_path_factory.mktemp("language") / "gpt")
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    lines = [f"Description of these cells: {name}: {text}\n" for name, text in TEXTS.items()]
    tokens = [torch.tensor([tokenizer(line)["input_ids"]]) for line in lines]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        network.train()
        for _ in range(100):
            for sign, ids in enumerate(tokens):
                optimizer.zero_grad()
                read = torch.cat([torch.full((1, SMALL.n_tokens), sign), ids], dim=1)
                network(input_ids=read, labels=read).loss.backward()
                optimizer.step()
    network.save_pretrained(folder)
    return folder


def aligned(labels: Callable[[pd.Series], pd.Series] | None = None, n_unlabelled: int = 0) -> SCMMGPT:
    """A text model, and cells of which some may have other labels, or none."""
    cells = two_studies()
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(object)
    cells.obs.loc[cells.obs_names[:n_unlabelled], "cell_type"] = "Unknown"
    if labels is not None:
        cells.obs["cell_type"] = labels(cells.obs["cell_type"])
    SCMMGPT.setup_anndata(cells, "cell_type", batch_key="study")
    model = SCMMGPT(cells, text_encoder=WordEncoder())
    model.train(markers=[markers()], options=OPTIONS, **HOW)
    return model


@pytest.fixture(scope="session")
def taught(language_folder: Path) -> SCMMGPT:
    """Not to be trained further."""
    model = aligned()
    model.train("describe", language_model=language_folder, texts=TEXTS, options=SMALL, **HOW)
    return model


@pytest.fixture(scope="session")
def text_model_untaught() -> SCMMGPT:
    return aligned()


@pytest.fixture
def query() -> AnnData:
    return study(SEEN, seed=9)


def weights(model: SCMMGPT) -> dict[str, np.ndarray]:
    assert model.writer is not None
    return model.writer.cells.arrays()


def held_out_loss(model: SCMMGPT, folder: Path, query: AnnData) -> float:
    """Mean cross-entropy of the right texts of cells that were not trained on."""
    language, trained = LanguageModel.open(folder), model._trained()
    reader = ExpressionReader(query)
    vectors = cell_vectors(trained, Query(reader, model.genes, trained.alignment.background, model.background))
    labels = query.obs["cell_type"].to_numpy(dtype=object)
    tokens = [tokens_of(each.text, language, 64) for each in texts_of_cells(labels, TEXTS, reader.genes)]
    assert model.writer is not None
    return float(model.writer.cells.losses_of(language.network, vectors, tokens).mean())


def described(model: SCMMGPT, query: AnnData, **options: Any) -> pd.DataFrame:
    """One row per type; labels are named from a probability of one half on."""
    options = {"writer": "language-model", "labels": SEEN, "back_off": 0.5, **options}
    return model.describe(query, "cell_type", **options)


def test_it_learns_which_text_belongs_to_which_cell(taught: SCMMGPT, language_folder: Path, query: AnnData) -> None:
    """On held-out cells, the right texts are more surprising to a model that was taught the texts of other cells."""
    moved = dict(zip(SEEN, [*SEEN[1:], SEEN[0]], strict=True))
    wrong = aligned(labels=lambda labels: labels.map(moved))
    wrong.train("describe", language_model=language_folder, texts=TEXTS, options=SMALL, **HOW)
    assert held_out_loss(taught, language_folder, query) < held_out_loss(wrong, language_folder, query) - 0.2
    assert taught.history is not None
    losses = taught.history["writer_loss"]["writer_loss"]
    assert losses.iloc[-10:].mean() < losses.iloc[:10].mean() / 2


def test_it_writes_from_the_term_on(taught: SCMMGPT, query: AnnData, recwarn: pytest.WarningsRecorder) -> None:
    table = described(taught, query)
    own = table["writer"] == "language-model"
    assert own.sum() >= 3
    for _, row in table[own].iterrows():
        assert row["description"] == f"{row['term']}: {TEXTS[row['term']]}"
    assert set(table["writer"]) <= {"language-model", "retrieval"}
    pd.testing.assert_frame_equal(described(taught, query), table)
    default = described(taught, query, writer="retrieval")
    same = [name for name in table if name not in ("description", "writer")]
    pd.testing.assert_frame_equal(table[same], default[same])
    assert (table["description"][~own] == default["description"][~own]).all()


@pytest.mark.filterwarnings("ignore:Of . texts")
def test_no_text_depends_on_another_or_on_labels_of_the_query(taught: SCMMGPT, query: AnnData) -> None:
    query.obs["cluster"] = query.obs["cell_type"].map({name: str(number) for number, name in enumerate(SEEN)})
    expected = taught.describe(query, "cluster", labels=SEEN, writer="language-model", back_off=0.5)
    query.obs["cell_type"] = "B cell"
    query.obs["text"] = "eats debris."
    found = taught.describe(query, "cluster", labels=SEEN, writer="language-model", back_off=0.5)
    pd.testing.assert_frame_equal(found, expected)
    evidence = [
        Evidence(name, False, 9, ((name, 1.0),), name, is_sure=True, vector=np.random.default_rng(1).normal(size=8))
        for name in SEEN
    ]
    greedy, third, fourth = (writer_for("language-model", taught.writer, seed) for seed in (None, 3, 4))
    assert third.write(evidence[::-1]) == third.write(evidence)[::-1]
    assert third.write(evidence) != fourth.write(evidence)
    for missing in ({"is_sure": False}, {"vector": None}, {"term": "lymphocyte"}):
        assert greedy.write([replace(evidence[0], **missing)]) == [None]


def test_texts_of_cells_that_are_held_out_do_not_enter(language_folder: Path) -> None:
    """Cells without a label, or without a text, teach nothing, whatever else is said of them."""
    few = replace(SMALL, max_epochs=1, cells_per_text=10)
    found = []
    for other in ("eats debris.", "B cell: stops bleeding. CD19."):
        model = aligned(n_unlabelled=60)
        cells = model.adata
        cells.obs["text"] = [TEXTS.get(label, other) for label in cells.obs["cell_type"]]
        cells.obs.loc[cells.obs_names[100:120], "text"] = None
        cells.obs["further"] = other
        model.train("describe", language_model=language_folder, text_key="text", options=few, **HOW)
        found.append(weights(model))
    for name, values in found[0].items():
        np.testing.assert_array_equal(values, found[1][name], err_msg=name)
    labels = np.array(["B cell", None, "my type"], dtype=object)
    genes = np.array(["CD19"], dtype=object)
    own = np.array(["Makes  antibodies", "x", " "], dtype=object)
    assert list(texts_of_cells(labels, None, genes, own)) == [("B cell", "B cell: Makes antibodies."), None, None]
    with pytest.warns(UserWarning, match="Nothing is known of 'my type' but the name"):
        texts = texts_of_cells(labels, None, genes)
    assert texts[0].text.startswith("B cell: a lymphocyte of B lineage")
    assert list(texts[1:]) == [None, ("my type", "my type.")]
    odd = np.array(["my: type", "NK"], dtype=object)
    told = texts_of_cells(odd, {"my: type": "My: type: helps"}, genes)
    assert [each.term for each in told] == ["my: type", "natural killer cell"]
    assert told[0].text == "my: type: helps."


@pytest.mark.filterwarnings("ignore:Of . texts")
def test_save_and_load(taught: SCMMGPT, language_folder: Path, query: AnnData, tmp_path: Path) -> None:
    taught.save(str(tmp_path / "model"))
    again = SCMMGPT.load(str(tmp_path / "model"), text_encoder=WordEncoder())
    pd.testing.assert_frame_equal(described(again, query), described(taught, query))
    assert again.writer is not None
    assert again.writer.source == str(language_folder)
    with pytest.warns(UserWarning, match="The card says nothing of cells from elsewhere"):
        taught.push_to_hub(str(tmp_path / "shared"), license="mit")
    card = (tmp_path / "shared" / "README.md").read_text()
    assert f"gpt ({again.writer.fingerprint[:12]}), not included" in card
    saved = load_file(tmp_path / "model" / "model.safetensors")
    assert {name.split(".")[1] for name in saved if name.startswith("writer.")} == {"prompt", "losses"}
    moved = tmp_path / "elsewhere"
    shutil.copytree(language_folder, moved)
    pd.testing.assert_frame_equal(described(again, query, writer=moved), described(taught, query))
    pair = AutoModelForCausalLM.from_pretrained(moved), AutoTokenizer.from_pretrained(moved)
    pd.testing.assert_frame_equal(described(again, query, writer=pair), described(taught, query))
    other = make_language_model(tmp_path / "other")
    with pytest.raises(ValueError, match="the language model that the writer was trained with"):
        described(again, query, writer=other)
    file = tmp_path / "model" / "model.json"
    content = json.loads(file.read_text())
    content["writer"]["options"]["n_tokens"] = 3
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="cannot be read"):
        SCMMGPT.load(str(tmp_path / "model"), text_encoder=WordEncoder())


def test_a_language_model_is_as_before(language_folder: Path) -> None:
    network = AutoModelForCausalLM.from_pretrained(language_folder)
    pair = network, AutoTokenizer.from_pretrained(language_folder)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    few = replace(SMALL, max_epochs=1, cells_per_text=5)
    model = aligned()
    model.train("describe", language_model=pair, texts=TEXTS, options=few, **HOW)
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    assert all(each.requires_grad for each in network.parameters())
    state = torch.get_rng_state()
    model.train("describe", language_model=language_folder, texts=TEXTS, options=few, **HOW)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.filterwarnings("ignore:Of . texts")
def test_lora_is_saved_and_the_network_is_not(language_folder: Path, query: AnnData, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="needs the extra `generate`")
    few = replace(SMALL, max_epochs=3, cells_per_text=10, lora_rank=2)
    network = AutoModelForCausalLM.from_pretrained(language_folder)
    names = list(network.state_dict())
    model = aligned()
    pair = network, AutoTokenizer.from_pretrained(language_folder)
    model.train("describe", language_model=pair, texts=TEXTS, options=few, **HOW)
    assert list(network.state_dict()) == names
    adapter = [name for name in weights(model) if name.startswith("adapter.")]
    assert adapter
    assert all("lora" in name for name in adapter)
    assert any(weights(model)[name].any() for name in adapter if "lora_B" in name), "nothing was learned"
    model.save(str(tmp_path / "model"))
    again = SCMMGPT.load(str(tmp_path / "model"), text_encoder=WordEncoder())
    expected = described(model, query, writer=pair)
    pd.testing.assert_frame_equal(described(again, query, writer=language_folder), expected)


def test_without_the_extra_lora_is_refused(monkeypatch: pytest.MonkeyPatch, language_folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"needs the package `peft`.*scmpt-scverse\[generate\]"):
        aligned().train("describe", language_model=language_folder, options=replace(SMALL, lora_rank=2), **HOW)


def test_a_folder_that_is_no_language_model(language_folder: Path, tmp_path: Path) -> None:
    encoder = tmp_path / "encoder"
    sizes: Any = {"vocab_size": 256, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(**sizes, intermediate_size=16)).save_pretrained(encoder)
    masked = tmp_path / "masked"
    BertForMaskedLM(BertConfig(**sizes, intermediate_size=16)).save_pretrained(masked)
    empty = tmp_path / "empty"
    empty.mkdir()
    tokenizer = AutoTokenizer.from_pretrained(language_folder)
    for folder in (encoder, masked):
        tokenizer.save_pretrained(folder)
    no_words = tmp_path / "no_words"
    AutoModelForCausalLM.from_pretrained(language_folder).save_pretrained(no_words)
    damaged = tmp_path / "damaged"
    shutil.copytree(language_folder, damaged)
    (damaged / "model.safetensors").write_bytes(b"no weights")
    for folder in (encoder, masked, empty, no_words, damaged):
        with pytest.raises(ValueError, match=f"Expected .*a causal language model in .*{folder.name}"):
            LanguageModel.open(folder)
    with pytest.raises(OSError, match="Expected a language model in the folder 'nobody/nothing'"):
        LanguageModel.open("nobody/nothing")
    for wrong in (3, "", (1, 2), None):
        with pytest.raises(TypeError, match="Expected a causal language model; found"):
            LanguageModel.open(wrong)  # type: ignore[arg-type]
    first, second = LanguageModel.open(language_folder), LanguageModel.open(LanguageModel.open(language_folder))
    assert first.fingerprint == second.fingerprint


def test_what_cannot_be_taught_or_written_is_refused(
    text_model_untaught: SCMMGPT, taught: SCMMGPT, language_folder: Path, query: AnnData
) -> None:
    model = text_model_untaught
    for writer in ("language-model", language_folder, "some/model"):
        with pytest.raises(RuntimeError, match=r"was not taught .*`train\(stage=\"describe\""):
            described(model, query, writer=writer)
    with pytest.raises(ValueError, match=r"`seed=1` is for language models"):
        described(taught, query, writer="retrieval", seed=1)
    with pytest.raises(ValueError, match="Unknown `writer='poet'`"):
        described(taught, query, writer="poet")
    assert not query.uns
    for options, error, words in (
        ({}, ValueError, "found `language_model=None`"),
        ({"language_model": language_folder, "text_key": "words"}, KeyError, "No 'words'"),
        ({"language_model": language_folder, "texts": {"gribble": "x"}}, ValueError, "found 'gribble', which no cell"),
        ({"language_model": language_folder, "options": OPTIONS}, TypeError, "Expected WriterOptions"),
        (
            {"language_model": language_folder, "options": replace(SMALL, max_tokens=3000)},
            ValueError,
            "reads 4,096. Lower `max_tokens`",
        ),
        ({"language_model": language_folder, "text_key": "blank"}, ValueError, "at least two different texts"),
    ):
        model.adata.obs["blank"] = ""
        with pytest.raises(error, match=words):
            model.train("describe", **{**HOW, **options})
    with pytest.raises(ValueError, match="`lora_rank` must be"):
        WriterOptions(lora_rank=-1)
    cells = two_studies()
    SCMMGPT.setup_anndata(cells, "cell_type")
    with pytest.raises(RuntimeError, match="The model is not trained"):
        SCMMGPT(cells, text_encoder=WordEncoder()).train("describe", language_model=language_folder)


def test_only_whole_readable_sentences_are_kept() -> None:
    assert whole_sentences(" It eats. It eats.  It  sleeps. It dreams. And") == ["It eats.", "It sleeps."]
    assert whole_sentences("cut off") == []
    assert whole_sentences("one.\ntwo.") == ["one."]
    for unreadable in ("\x00\x01 odd.", "\ufffd\ufffd.", "12. 13.", "!!!", ""):
        assert whole_sentences(unreadable) == []
