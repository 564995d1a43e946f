import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from scmpt_scverse._hardware import has_fast_bfloat16
from scmpt_scverse.encoders import ScGPTEncoder
from scmpt_scverse.pp._expression import ExpressionReader, GeneExpression
from scmpt_scverse.pp._gene_tokens import GeneTokens


def expression_of(cells: AnnData) -> GeneExpression:
    return ExpressionReader(cells).rows(0, cells.n_obs)


def embed(encoder: ScGPTEncoder, cells: AnnData, **options: Any) -> np.ndarray[Any, Any]:
    options = {"precision": "float32", "device": "cpu"} | options
    return encoder.encode(encoder.prepare(expression_of(cells)), **options)


@pytest.fixture
def encoder(scgpt_folder: Path) -> ScGPTEncoder:
    return ScGPTEncoder(scgpt_folder)


@pytest.fixture
def cells(pbmc: AnnData) -> AnnData:
    return pbmc[:40].copy()


def test_it_describes_itself_before_any_weight_is_read(scgpt_folder: Path, cells: AnnData, tmp_path: Path) -> None:
    for name in ("args.json", "vocab.json"):
        (tmp_path / name).write_bytes((scgpt_folder / name).read_bytes())
    (tmp_path / "best_model.pt").write_bytes(b"not read yet")

    encoder = ScGPTEncoder(tmp_path, name="mine")

    assert (encoder.name, encoder.modality, encoder.embedding_dim) == ("mine", "expression", 64)
    assert encoder.vocabulary == frozenset(cells.var_names)
    assert encoder.known_genes(np.array(["CD3D", "<cls>", "unheard of"], dtype=object)).tolist() == [True, False, False]
    assert encoder.options == {"max_length": 1200, "selection": "highest", "seed": 0}
    with pytest.raises(ValueError, match="Expected a file of tensors"):
        embed(encoder, cells)


def test_the_name_is_made_from_the_folder(encoder: ScGPTEncoder) -> None:
    assert encoder.name == "scgpt-small"


def test_embeddings_are_float32_rows_of_length_one(encoder: ScGPTEncoder, cells: AnnData) -> None:
    embeddings = embed(encoder, cells)

    assert embeddings.shape == (40, 64)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert np.unique(embeddings.round(4), axis=0).shape == (40, 64)


def test_neither_batches_nor_company_nor_order_matter(encoder: ScGPTEncoder, cells: AnnData) -> None:
    embeddings = embed(encoder, cells)

    for batch_size in (1, 7, 40):
        np.testing.assert_allclose(embed(encoder, cells, batch_size=batch_size), embeddings, atol=1e-5)
    order = np.random.default_rng(0).permutation(40)
    columns = np.random.default_rng(1).permutation(cells.n_vars)
    np.testing.assert_allclose(embed(encoder, cells[order, columns].copy()), embeddings[order], atol=1e-5)
    alone = np.concatenate([embed(encoder, cells[[row]].copy()) for row in range(40)])
    np.testing.assert_allclose(alone, embeddings, atol=1e-5)


def test_the_same_call_gives_the_same_bits_whatever_the_random_state(encoder: ScGPTEncoder, cells: AnnData) -> None:
    embeddings = embed(encoder, cells)
    torch.manual_seed(1)
    state = torch.get_rng_state()

    np.testing.assert_array_equal(embed(encoder, cells), embeddings)
    assert torch.equal(torch.get_rng_state(), state)


def test_cells_without_a_known_gene_are_nan(encoder: ScGPTEncoder, cells: AnnData) -> None:
    embeddings = embed(encoder, cells)
    expression = expression_of(cells)
    matrix = sparse.vstack([expression.matrix[:5], sparse.csr_matrix((1, cells.n_vars)), expression.matrix[5:]]).tocsr()

    with_empty = encoder.encode(encoder.prepare(GeneExpression(matrix, expression.genes)), precision="float32")

    assert np.isnan(with_empty[5]).all()
    np.testing.assert_allclose(np.delete(with_empty, 5, axis=0), embeddings, atol=1e-5)
    unknown = GeneExpression(expression.matrix, np.array([f"G{i}" for i in range(cells.n_vars)], dtype=object))
    assert np.isnan(encoder.encode(encoder.prepare(unknown))).all()
    empty = GeneTokens(np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int16))
    assert encoder.encode(empty).shape == (0, 64)


def test_reduced_precision_stays_close(encoder: ScGPTEncoder, cells: AnnData) -> None:
    if not has_fast_bfloat16(torch.device("cpu")):
        pytest.skip("this processor does not multiply bfloat16 natively")
    embeddings, rounded = embed(encoder, cells), embed(encoder, cells, precision="bfloat16")

    assert rounded.dtype == np.float32
    assert (embeddings * rounded).sum(axis=1).min() >= 0.9995
    np.testing.assert_array_equal(embed(encoder, cells), embeddings)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("precision", "least_cosine"), [("float32", 0.999999), ("bfloat16", 0.9995), ("float16", 0.9999)]
)
def test_a_gpu_gives_the_same(encoder: ScGPTEncoder, cells: AnnData, precision: str, least_cosine: float) -> None:
    on_gpu = embed(encoder, cells, device="cuda", precision=precision)

    assert (embed(encoder, cells) * on_gpu).sum(axis=1).min() >= least_cosine


def test_long_cells_are_cut(scgpt_folder: Path, cells: AnnData) -> None:
    short = ScGPTEncoder(scgpt_folder, max_length=100)

    assert short.prepare(expression_of(cells)).lengths.max() == 99
    sample = ScGPTEncoder(scgpt_folder, max_length=100, selection="sample")
    assert not np.allclose(embed(short, cells), embed(sample, cells), atol=1e-3)


def test_pickles_without_its_network(encoder: ScGPTEncoder, cells: AnnData) -> None:
    embeddings, fingerprint = embed(encoder, cells), encoder.fingerprint

    content = pickle.dumps(encoder)

    assert len(content) < 50_000
    copy = pickle.loads(content)
    assert copy.fingerprint == fingerprint
    np.testing.assert_array_equal(embed(copy, cells), embeddings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selection": "higest"}, "Unknown `selection='higest'`.*Did you mean 'highest'"),
        ({"max_length": 1}, "`max_length` must be a whole number of at least 2.*found 1"),
        ({"max_length": 12.5}, "`max_length` must be a whole number"),
        ({"seed": -1}, r"`seed` must be a whole number from 0 to 2\*\*63 - 1; found -1"),
        ({"min_genes": 0}, "`min_genes` must be"),
        ({"min_expression": 20}, "`min_expression` must be a share from 0 to 1; found 20"),
    ],
)
def test_options_are_checked(scgpt_folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScGPTEncoder(scgpt_folder, **options)


def test_options_of_encode_are_checked(encoder: ScGPTEncoder, cells: AnnData) -> None:
    with pytest.raises(ValueError, match="`batch_size` must be a whole number of at least 1; found 0"):
        embed(encoder, cells, batch_size=0)
    with pytest.raises(ValueError, match="Unknown `precision='float64'`"):
        embed(encoder, cells, precision="float64")
