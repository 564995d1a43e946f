import numpy as np
import scanpy as sc
from scipy import sparse

from scmpt_scverse.datasets import pbmc68k_reduced


def test_expression_is_what_scanpy_keeps_in_raw() -> None:
    shipped, cells = sc.datasets.pbmc68k_reduced(), pbmc68k_reduced()

    assert cells.shape == (700, 765)
    assert cells.obs_names.equals(shipped.obs_names)
    assert cells.var_names.equals(shipped.raw.var_names)
    assert isinstance(cells.X, sparse.csr_matrix)
    assert cells.X.dtype == np.float32
    assert cells.X.has_sorted_indices
    assert cells.X.min() == 0
    np.testing.assert_array_equal(cells.X.toarray(), shipped.raw.X.toarray())
    assert cells.raw is None


def test_labels_and_coordinates_stay_and_nothing_stale_does() -> None:
    cells = pbmc68k_reduced()

    assert cells.obs["bulk_labels"].value_counts().agg(["size", "min", "max"]).tolist() == [10, 8, 240]
    assert cells.obsm["X_pca"].shape == (700, 50)
    assert cells.obsm["X_umap"].shape == (700, 2)
    assert set(cells.uns) == {"bulk_labels_colors", "louvain_colors"}
    assert not cells.obsp
    assert not cells.varm


def test_every_call_gives_cells_of_its_own() -> None:
    first = pbmc68k_reduced()
    first.X.data[:] = 0
    first.obsm["X_pca"][:] = 0

    second = pbmc68k_reduced()

    assert second.X.max() > 0
    assert np.abs(second.obsm["X_pca"]).max() > 0
