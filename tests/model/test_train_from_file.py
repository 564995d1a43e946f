"""Training reads expression where it is: on disk, lazy or in memory, in whichever layout, it is the same model."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from tests._adata import LABELS_KEY
from tests._model import probabilities

from scmpt_scverse import SCMPT
from scmpt_scverse.modalities import ExpressionRows
from scmpt_scverse.module import _classifier

COUNTS = {"counts": {"encoder": "counts", "n_genes": 200}}


@pytest.fixture
def counted(pbmc: AnnData) -> AnnData:
    """Cells with non-negative expression, an embedding that some cells have none of, and unlabelled cells."""
    cells = pbmc
    cells.X = sparse.csr_matrix(cells.X)
    cells.obsm = {"X_pca": pbmc.obsm["X_pca"].astype(np.float32)}
    cells.obsm["X_pca"][5:9] = np.nan
    cells.obs[LABELS_KEY] = cells.obs[LABELS_KEY].astype(str).astype(object)
    cells.obs.iloc[20:60, cells.obs.columns.get_loc(LABELS_KEY)] = "Unknown"
    return cells


def trained(cells: AnnData, **options: Any) -> SCMPT:
    SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"pca": "X_pca"})
    model = SCMPT(cells, encoders=COUNTS)
    with pytest.warns(UserWarning, match="4 of 700 cells have no values"):
        model.train(enable_progress_bar=False, **options)
    return model


def predicted(model: SCMPT, cells: AnnData) -> pd.DataFrame:
    with pytest.warns(UserWarning, match="4 of 700 cells have no values"):
        return probabilities(model, cells)


def backed(cells: AnnData, folder: Path) -> AnnData:
    cells.write_h5ad(folder / "cells.h5ad")
    return anndata.read_h5ad(folder / "cells.h5ad", backed="r")


def in_memory(convert: Callable[[Any], Any]) -> Callable[[AnnData, Path], AnnData]:
    def read(cells: AnnData, folder: Path) -> AnnData:
        cells = cells.copy()
        cells.X = convert(cells.X)
        return cells

    return read


def lazy(matrix: Any) -> Any:
    array = pytest.importorskip("dask.array")
    return array.from_array(matrix.toarray(), chunks=(100, -1))


def lazy_zarr(cells: AnnData, folder: Path) -> AnnData:
    """All of it on disk, tables included."""
    pytest.importorskip("xarray", reason="needs anndata's extra `lazy`")
    if not hasattr(anndata.experimental, "read_lazy"):
        pytest.skip("needs anndata 0.12")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of formats of zarr that are to come
        cells.write_zarr(folder / "cells.zarr")
        return anndata.experimental.read_lazy(folder / "cells.zarr")


def lazy_collection(cells: AnnData, folder: Path) -> AnnData:
    """Several stores in one folder, as annbatch keeps cells that it has shuffled."""
    return anndata.concat(
        [lazy_zarr(part.copy(), folder / f"dataset_{number}") for number, part in enumerate((cells[:300], cells[300:]))]
    )


@pytest.mark.parametrize(
    "read",
    [
        backed,
        lazy_zarr,
        lazy_collection,
        in_memory(sparse.csc_matrix),
        in_memory(lambda matrix: matrix.toarray()),
        in_memory(lazy),
    ],
    ids=["backed", "zarr", "collection", "csc", "dense", "dask"],
)
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_the_same_model_wherever_expression_is(
    counted: AnnData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[AnnData, Path], AnnData],
    class_weight: Any,
) -> None:
    reference = trained(counted, class_weight=class_weight)
    expected = predicted(reference, counted)
    monkeypatch.setattr(_classifier, "BLOCK_SIZE", 64)
    model = trained(read(counted, tmp_path), class_weight=class_weight)
    found = predicted(model, counted)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    known = expected.notna().all(axis=1)
    assert (found[known].idxmax(axis=1) == expected[known].idxmax(axis=1)).all()
    np.testing.assert_array_equal(model.train_indices, reference.train_indices)
    np.testing.assert_array_equal(model.record.cells, reference.record.cells)


def test_rows_of_a_backed_file_come_in_the_order_that_they_are_asked_for(counted: AnnData, tmp_path: Path) -> None:
    model = trained(counted)
    rows = np.array([699, 3, 3, 250, 100, 101, 102, 0])
    for cells in (counted, backed(counted, tmp_path)):
        some = model.modalities.quiet().read(cells, rows)["counts"]
        every = model.modalities.quiet().read(cells)["counts"]
        whole = every[np.arange(700)]
        np.testing.assert_array_equal(some[np.arange(8)], whole[rows])
        np.testing.assert_array_equal(some[np.array([7, 0])], whole[[0, 699]])
        np.testing.assert_array_equal(every[rows], whole[rows])
        np.testing.assert_array_equal(every[np.array([12, 11, 10])], whole[[12, 11, 10]])


def test_cells_without_expression_are_known_from_the_file(counted: AnnData, tmp_path: Path) -> None:
    model = trained(counted)
    matrix = counted.X.tolil()
    matrix[[2, 300]] = 0
    counted.X = matrix.tocsr()
    silent = np.isin(np.arange(700), [2, 300])
    for cells in (counted, backed(counted, tmp_path)):
        every = model.modalities.quiet().read(cells)["counts"]
        assert isinstance(every, ExpressionRows)
        np.testing.assert_array_equal(every.is_readable, ~silent)
        assert np.isnan(every[np.array([2, 300])]).all()
        some = model.modalities.quiet().read(cells, np.array([300, 5]))["counts"]
        assert isinstance(some, ExpressionRows)
        np.testing.assert_array_equal(some.is_readable, [False, True])
