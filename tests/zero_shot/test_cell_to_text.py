"""Tokens of studies and of marker sets, and a network that learns to label cells from both."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests._scgpt_folder import make_scgpt_folder
from tests._zero_shot import GENES, TYPES, WordEncoder, markers, study

from scmpt_scverse import knowledge
from scmpt_scverse.encoders import ScGPTEncoder, TokenEmbeddings, TokenEncoder
from scmpt_scverse.module import QFormerOptions, TokenStudy, TrainingRun
from scmpt_scverse.pp import ExpressionReader, GeneExpression
from scmpt_scverse.zero_shot import (
    MarkerProfiles,
    cell_tokens,
    fit_cell_to_text,
    kinship,
    marker_tokens,
    text_scores,
    training_texts,
)

pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")

SMALL = QFormerOptions(
    n_queries=4, width=32, n_layers=2, n_heads=2, dim=16, n_steps=120, cells_per_step=16, n_genes=24, lr=2e-3
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ScGPTEncoder:
    return ScGPTEncoder(make_scgpt_folder(tmp_path_factory.mktemp("scgpt") / "tiny", GENES))


@pytest.fixture(scope="module")
def known() -> MarkerProfiles:
    return MarkerProfiles.of(knowledge.merge_markers([markers()]), "human")


def test_tokens_of_a_study_in_memory_and_on_disk(encoder: ScGPTEncoder, tmp_path: Path) -> None:
    reader = ExpressionReader(study(TYPES[:3], n_each=5))
    tokens = cell_tokens(reader, encoder, max_genes=20)
    stored = cell_tokens(reader, encoder, folder=tmp_path, max_genes=20)
    assert len(tokens) == 15
    assert np.diff(tokens.indptr).max() == 21
    np.testing.assert_array_equal(stored.values, tokens.values)
    chunk = next(iter(reader.chunks()))
    embedding = encoder.encode(encoder.prepare(chunk))
    np.testing.assert_allclose(tokens.first, embedding, atol=2e-3)


def test_marker_cells_express_some_markers_of_their_type(encoder: ScGPTEncoder, known: MarkerProfiles) -> None:
    cells = marker_tokens(known, encoder)
    assert len(cells.tokens) == len(cells.codes)
    assert sorted(set(cells.codes)) == list(range(len(known.values)))
    n_genes = np.diff(cells.tokens.indptr) - 1
    n_markers = (known.values > 0).sum(axis=1)[cells.codes]
    assert (n_genes <= n_markers).all()
    assert (n_genes >= 2).all()
    assert 0.55 < (n_genes / n_markers).mean() < 0.95
    again = marker_tokens(known, encoder)
    np.testing.assert_array_equal(again.tokens.values, cells.tokens.values)


def test_kinds_of_a_type_are_no_negatives_of_it() -> None:
    t_cell, cd4, b_cell = "CL:0000084", "CL:0000624", "CL:0000236"
    related = kinship([t_cell, cd4, b_cell, None, None, cd4])
    expected = np.eye(6)
    expected[0, [1, 5]] = expected[[1, 5], 0] = expected[1, 5] = expected[5, 1] = 1
    np.testing.assert_array_equal(related, expected)


class GeneVectors:
    """Each gene is a vector, alike for the markers of one type; the token of the cell is the mean of its genes."""

    name, embedding_dim, fingerprint = "gene-vectors", 16, "gene-vectors-1"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        families = [gene.rstrip("0123456789") for gene in GENES]
        directions = {family: rng.normal(size=self.embedding_dim) for family in dict.fromkeys(families)}
        self._vectors = {
            gene: directions[family] + 0.5 * rng.normal(size=self.embedding_dim)
            for gene, family in zip(GENES, families, strict=True)
        }

    def prepare(self, expression: GeneExpression) -> list[list[str]]:
        rows = expression.matrix.toarray()
        return [[expression.genes[column] for column in np.argsort(-row)[: (row > 0).sum()]] for row in rows]

    def encode_tokens(self, inputs: list[list[str]], *, max_genes: int = 256, **options: Any) -> TokenEmbeddings:
        cells = [np.array([self._vectors[gene] for gene in genes[:max_genes]]) for genes in inputs]
        values = np.zeros((len(cells), 1 + max(map(len, cells)), self.embedding_dim), dtype=np.float32)
        for row, genes in enumerate(cells):
            values[row, : len(genes) + 1] = np.vstack([genes.mean(axis=0), genes])
        return TokenEmbeddings(values, np.abs(values).sum(axis=2) > 0)


def test_markers_and_cells_teach_labels(known: MarkerProfiles) -> None:
    """Four types are known by their markers only; the query has two of each kind."""
    encoder = GeneVectors()
    assert isinstance(encoder, TokenEncoder)
    cells = study(TYPES[:4], n_each=30, dropout=0.1)
    labels = sorted(set(cells.obs["cell_type"]))
    texts, rows = training_texts(known.types, labels, WordEncoder().encode_texts)
    codes = np.array([labels.index(label) for label in cells.obs["cell_type"]])
    studies = [
        TokenStudy(cell_tokens(ExpressionReader(cells), encoder), codes, rows),
        marker_tokens(known, encoder),
    ]
    fit = fit_cell_to_text(texts, known.types.terms, studies, SMALL, run=TrainingRun("cpu"))
    query = study([TYPES[0], TYPES[2], TYPES[5], TYPES[7]], n_each=20, seed=1, dropout=0.1)
    tokens = cell_tokens(ExpressionReader(query), encoder)
    scores = text_scores(fit, tokens, texts.mean(axis=1) - fit.center)
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-6)
    names, truth = np.array(known.types.names), query.obs["cell_type"].to_numpy()
    present = np.isin(names, truth)
    is_right = names[present][scores[:, present].argmax(axis=1)] == truth
    has_cells = np.isin(truth, TYPES[:4])
    # By chance, one in four.
    assert is_right[has_cells].mean() > 0.85
    assert is_right[~has_cells].mean() > 0.4
