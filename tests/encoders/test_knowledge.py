"""Cells as scores for the cell types that a text model knows."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from safetensors.numpy import load_file, save_file
from scipy import sparse
from tests._text_model import text_alignment, write_text_model

from scmpt_scverse import SCMPT, encoders, tl
from scmpt_scverse.encoders import CARDS, name_and_dim
from scmpt_scverse.encoders._knowledge import KnowledgeEncoder
from scmpt_scverse.pp import ExpressionReader

GENES = [f"GENE{number}" for number in range(80)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_model(tmp_path_factory.mktemp("models") / "My Model", GENES)


def get(**options: object) -> KnowledgeEncoder:
    encoder = encoders.get("knowledge", **options)
    assert isinstance(encoder, KnowledgeEncoder)
    return encoder


def cells_of(genes: list[str], n_obs: int = 12, seed: int = 0) -> AnnData:
    counts = np.random.default_rng(seed).poisson(0.7, (n_obs, len(genes))).astype(np.float32)
    return AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(index=genes))


def scores(encoder: KnowledgeEncoder, adata: AnnData) -> np.ndarray:
    reader = ExpressionReader(adata)
    return encoder.encode(encoder.prepare(reader.rows(0, adata.n_obs)), precision="float32")


def test_scores_are_products_of_directions_and_profiles(folder: Path) -> None:
    """As the documentation has them, from the arrays of the model."""
    alignment = text_alignment(80, 6)
    with torch.no_grad():
        written = alignment.tower(torch.from_numpy(alignment.type_texts.astype(np.float32))).numpy()
    known = alignment.type_markers @ alignment.axes.T
    profiles = written / np.linalg.norm(written, axis=1, keepdims=True) / 0.1
    profiles[:5] += known[:5] / np.linalg.norm(known[:5], axis=1, keepdims=True) / 0.2
    profiles[5] *= np.sqrt(3 / 2)  # without markers, the two parts from the text stand for all three
    adata = cells_of([*GENES, "OTHER"])
    counts = adata.X.toarray()
    logs = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))[:, :80]
    expected = logs / np.linalg.norm(logs, axis=1, keepdims=True) @ profiles.T
    np.testing.assert_allclose(scores(get(model=folder), adata), expected, rtol=1e-4, atol=1e-4)


def test_a_cell_has_the_same_scores_alone_in_any_order_of_genes_and_on_any_scale(folder: Path) -> None:
    encoder, adata = get(model=folder), cells_of(GENES)
    whole = scores(encoder, adata)
    for row in (0, 5):
        np.testing.assert_allclose(scores(encoder, adata[[row]].copy())[0], whole[row], atol=1e-5)
    backwards = adata[:, GENES[::-1]].copy()
    np.testing.assert_allclose(scores(encoder, backwards), whole, atol=1e-5)
    counts = adata.X.toarray()
    logs = AnnData(np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True)), var=adata.var)
    np.testing.assert_allclose(scores(encoder, logs), whole, atol=1e-4)
    # A gene that no cell expresses, and one that the model does not know, change nothing of a direction.
    silent = AnnData(np.hstack([logs.X[:, :70], np.zeros((12, 10), dtype=np.float32)]), var=adata.var)
    np.testing.assert_allclose(scores(encoder, silent), scores(encoder, silent[:, :70].copy()), atol=1e-5)


def test_a_gene_adds_what_it_expresses_times_its_weight(folder: Path) -> None:
    encoder = get(model=folder)
    expression = ExpressionReader(cells_of(GENES)).rows(0, 3)
    gates = encoder.gene_gates(expression, torch.device("cpu"))
    given = torch.ones(gates.genes.shape)
    with_all = gates(given, torch.arange(3))
    position = int(np.flatnonzero(gates.genes[1] == expression.matrix[1].indices[4])[0])
    given[1, position] = 0.25
    turned_down = gates(given, torch.arange(3))
    direction = encoder.prepare(expression).matrix[1].toarray()[0]
    gene = list(encoder.genes).index(expression.genes[gates.genes[1, position]])
    np.testing.assert_allclose(
        (with_all - turned_down)[1], 0.75 * direction[gene] * encoder.profiles[:, gene], atol=1e-5
    )
    assert torch.equal(with_all[[0, 2]], turned_down[[0, 2]])


def test_types_of_the_bundled_model_fit_their_cells(pbmc: AnnData) -> None:
    """Of some plain types, each is nearest to its cells."""
    encoder = get()
    tl.embed(pbmc, encoder, progress=False)
    table = pd.DataFrame(pbmc.obsm["X_knowledge"], index=pbmc.obs_names, columns=list(encoder.types))
    table = (table - table.mean()) / table.std()
    means = table[["B cell", "monocyte", "natural killer cell"]].groupby(pbmc.obs["bulk_labels"].astype(object)).mean()
    expected = {"CD19+ B": "B cell", "CD14+ Monocyte": "monocyte", "CD56+ NK": "natural killer cell"}
    assert means.loc[list(expected)].idxmax(axis=1).to_dict() == expected
    assert encoder.embedding_dim == CARDS["knowledge"].embedding_dim == len(encoder.types)


def test_another_model_by_option_and_by_folder(folder: Path) -> None:
    by_option, by_folder = get(model=folder), encoders.get(folder)
    assert isinstance(by_folder, KnowledgeEncoder)
    assert by_option.fingerprint == by_folder.fingerprint != get().fingerprint
    assert by_option.name == by_folder.name == "knowledge"
    assert by_option.options == {"model": str(folder), "n_types": 6}
    assert name_and_dim("knowledge") == ("knowledge", 651)
    assert name_and_dim("knowledge", model=str(folder)) == name_and_dim(folder) == ("knowledge", 6)
    assert name_and_dim("knowledge", model=str(folder), name="mine") == ("mine", 6)


def test_another_model_is_fused_and_saved(pbmc: AnnData, tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "text", pbmc.var_names[:600])
    SCMPT.setup_anndata(pbmc, "bulk_labels")
    chosen: dict[str, Any] = {"bundled": "knowledge", "own": {"encoder": "knowledge", "model": folder, "name": "own"}}
    model = SCMPT(pbmc, encoders=chosen)
    model.train()
    assert pbmc.obsm["X_own"].shape == (700, 6)
    assert pbmc.obsm["X_knowledge"].shape == (700, 651)
    model.save(str(tmp_path / "model"))
    fresh = AnnData(pbmc.X, obs=pbmc.obs[["bulk_labels"]], var=pbmc.var[[]])
    restored = SCMPT.load(str(tmp_path / "model"), adata=False)
    assert (restored.predict(fresh) == model.predict()).all()


def damaged_copy(folder: Path, target: Path, change: str) -> Path:
    shutil.copytree(folder, target)
    arrays, content = load_file(target / "model.safetensors"), json.loads((target / "model.json").read_text())
    if change == "a missing array":
        del arrays["axes"]
    elif change == "an array of another size":
        arrays["type_markers"] = arrays["type_markers"][:, :2].copy()
    elif change == "not finite":
        arrays["type_texts"][0] = np.nan
    elif change == "fewer genes":
        content["genes"] = content["genes"][:10]
    elif change == "more types":
        content["types"]["names"].append("one more")
    elif change == "no names":
        content["types"] = {}
    elif change == "genes are a number":
        content["genes"] = 3
    save_file(arrays, target / "model.safetensors")
    (target / "model.json").write_text(json.dumps(content))
    return target


@pytest.mark.parametrize(
    "change",
    [
        "a missing array",
        "an array of another size",
        "not finite",
        "fewer genes",
        "more types",
        "no names",
        "genes are a number",
    ],
)
def test_damaged_files_are_refused(folder: Path, tmp_path: Path, change: str) -> None:
    with pytest.raises(ValueError, match=r"The model in .*broken cannot be read \("):
        get(model=damaged_copy(folder, tmp_path / "broken", change))


def test_refusals(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Expected a saved model .* found no such folder"):
        get(model=tmp_path / "none")
    other = shutil.copytree(folder, tmp_path / "other")
    content = json.loads((other / "model.json").read_text())
    (other / "model.json").write_text(json.dumps(content | {"model": "SCMPT"}))
    with pytest.raises(ValueError, match="Expected a saved SCMMGPT in .*; found a SCMPT"):
        encoders.get(other)
    with pytest.raises(ValueError, match="needs at least 10 genes that it knows"):
        tl.embed(cells_of(GENES[:9]), get(model=folder), progress=False)
    with pytest.raises(ValueError, match="`min_genes`"):
        get(min_genes=0)
