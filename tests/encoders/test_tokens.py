"""The tokens of a cell: from the same network as its embedding, few enough, the same whatever the batch."""

from typing import Any

import numpy as np
import pytest
import torch
from anndata import AnnData
from tests._scgpt_folder import make_scgpt_folder

from scmpt_scverse import encoders
from scmpt_scverse.encoders import ScGPTEncoder, TokenEmbeddings, TokenEncoder
from scmpt_scverse.pp import ExpressionReader, GeneExpression, GeneTokens


@pytest.fixture(scope="module")
def cells(_pbmc: AnnData) -> GeneExpression:
    adata = _pbmc[:20].copy()
    values = adata.X.toarray()
    values[7] = 0  # a cell without any gene
    adata.X = values
    return ExpressionReader(adata).rows(0, 20)


@pytest.fixture(scope="module", params=["scgpt-mini", "official"])
def encoder(request: pytest.FixtureRequest, _pbmc: AnnData, tmp_path_factory: pytest.TempPathFactory) -> ScGPTEncoder:
    if request.param == "scgpt-mini":
        mini = encoders.get("scgpt-mini")
        assert isinstance(mini, ScGPTEncoder)
        return mini
    return ScGPTEncoder(make_scgpt_folder(tmp_path_factory.mktemp("scgpt") / "tiny", _pbmc.var_names[:600], nlayers=3))


def tokens_of(encoder: ScGPTEncoder, cells: GeneExpression, **options: Any) -> TokenEmbeddings:
    return encoder.encode_tokens(encoder.prepare(cells), **{"precision": "float32", "device": "cpu"} | options)


def test_the_first_token_is_the_embedding(encoder: ScGPTEncoder, cells: GeneExpression) -> None:
    assert isinstance(encoder, TokenEncoder)
    assert not isinstance(encoders.get("minilm"), TokenEncoder)
    inputs = encoder.prepare(cells)
    values, is_token = tokens_of(encoder, cells, max_genes=1200)
    embedding = encoder.encode(inputs, precision="float32", device="cpu")
    assert values.dtype == np.float32
    assert values.shape == (20, inputs.lengths.max() + 1, encoder.embedding_dim)
    readable = inputs.lengths > 0
    np.testing.assert_allclose(values[readable, 0], embedding[readable], atol=1e-6)
    np.testing.assert_array_equal(is_token.sum(axis=1), np.where(readable, inputs.lengths + 1, 0))
    np.testing.assert_allclose(np.linalg.norm(values, axis=2), is_token, atol=1e-5)


def test_few_genes_are_the_highest_ones_of_the_whole_cell(encoder: ScGPTEncoder, cells: GeneExpression) -> None:
    inputs = encoder.prepare(cells)
    everything, _ = tokens_of(encoder, cells, max_genes=1200)
    values, is_token = tokens_of(encoder, cells, max_genes=12)
    assert is_token.shape == (20, 13)
    for row in np.flatnonzero(inputs.lengths):
        bins = inputs.bins[inputs.indptr[row] : inputs.indptr[row + 1]]
        best = np.sort(np.argsort(-bins, kind="stable")[:12])
        np.testing.assert_allclose(values[row][is_token[row]], everything[row, [0, *(best + 1)]], atol=1e-6)


def test_neither_batches_nor_other_cells_matter(encoder: ScGPTEncoder, cells: GeneExpression) -> None:
    values, is_token = tokens_of(encoder, cells, max_genes=30)
    for batch_size in (1, 3, 20):
        again = tokens_of(encoder, cells, max_genes=30, batch_size=batch_size)
        np.testing.assert_allclose(again.values, values, atol=1e-5)
        np.testing.assert_array_equal(again.is_token, is_token)
    part = tokens_of(encoder, GeneExpression(cells.matrix[5:9], cells.genes), max_genes=30)
    np.testing.assert_allclose(part.values[part.is_token], values[5:9][is_token[5:9]], atol=1e-5)
    assert not part.is_token[2].any()


def test_padded_rows_are_those_of_packed_ones(encoder: ScGPTEncoder, cells: GeneExpression) -> None:
    """What a GPU computes, on this processor."""
    tokens = encoder.prepare(cells).take(np.array([3, 0, 11]))
    index = torch.stack([torch.tensor([0, 4, 2])] * 3)
    device = torch.device("cpu")
    with torch.inference_mode():
        rows = encoder._network(device, torch.float32).rows(*encoder._padded(tokens, device), index)
    everything = encoder.encode_tokens(tokens, precision="float32", device="cpu", max_genes=2000).values
    np.testing.assert_allclose(rows.numpy(), everything[:, [0, 4, 2]], atol=1e-5)


def test_no_cell_no_gene_and_wrong_numbers(encoder: ScGPTEncoder, cells: GeneExpression) -> None:
    empty = GeneTokens(np.zeros(3, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int16))
    values, is_token = encoder.encode_tokens(empty)
    assert values.shape == (2, 0, encoder.embedding_dim)
    assert is_token.shape == (2, 0)
    with pytest.raises(ValueError, match="`max_genes` must be"):
        tokens_of(encoder, cells, max_genes=0)


@pytest.mark.gpu
def test_a_gpu_gives_the_same(encoder: ScGPTEncoder, cells: GeneExpression) -> None:
    values, is_token = tokens_of(encoder, cells, max_genes=30)
    on_gpu = tokens_of(encoder, cells, max_genes=30, device="cuda")
    np.testing.assert_array_equal(on_gpu.is_token, is_token)
    np.testing.assert_allclose(on_gpu.values, values, atol=1e-3)
