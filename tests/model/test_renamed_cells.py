"""Training cells under other names: told by what they express of which gene."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData, concat
from scipy import sparse
from tests._adata import LABELS_KEY

from scmpt_scverse import SCMPT
from scmpt_scverse.modalities import ExpressionSource, content_keys
from scmpt_scverse.trust import TrainingRecord

SOURCE = ExpressionSource(None, None, np.empty(0, dtype=object))


@pytest.fixture
def model(pbmc: AnnData) -> SCMPT:
    cells = pbmc[:200].copy()
    SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"components": "X_pca"})
    model = SCMPT(cells)
    model.train(enable_progress_bar=False)
    return model


def renamed(cells: AnnData) -> AnnData:
    """Copied, with other names, other order of cells and genes, and stored in another way."""
    rng = np.random.default_rng(0)
    query = cells[rng.permutation(cells.n_obs), rng.permutation(cells.n_vars)].copy()
    query.X = sparse.csr_matrix(query.X).astype(np.float64)
    query.obs_names = [f"query-{number}" for number in range(query.n_obs)]
    return query


def test_most_of_a_query_being_training_cells_is_warned_of(model: SCMPT, pbmc: AnnData, tmp_path: Path) -> None:
    query = renamed(model.adata)
    assert model.is_training_cell(query).sum() == 0  # by their names
    message = "200 of 200 cells express exactly what cells do that were trained on, under other names"
    with pytest.warns(UserWarning, match=message):
        model.evaluate(query, baselines=("majority",))
    model.save(str(tmp_path / "model"))
    with pytest.warns(UserWarning, match=message):
        SCMPT.load(str(tmp_path / "model"), adata=False).evaluate_per_class(query)
    others = pbmc[200:260].copy()
    for query in (others, renamed(pbmc[180:260].copy())):  # a quarter is no accident, but the metrics are of others
        model.evaluate(query, baselines=("majority",))  # a warning would be an error


def test_other_values_or_genes_are_other_cells(pbmc: AnnData) -> None:
    keys = content_keys(pbmc, SOURCE)
    assert (keys != 0).mean() > 0.9
    assert len(np.unique(keys)) == len(keys)
    changed = pbmc.copy()
    changed.X = changed.X * 2
    assert not np.isin(content_keys(changed, SOURCE), keys).any()
    other_genes = pbmc.copy()
    other_genes.var_names = np.roll(pbmc.var_names, 1)
    assert not np.isin(content_keys(other_genes, SOURCE), keys).any()


def test_poor_cells_are_never_taken_for_others() -> None:
    """Cells of few genes express the same by chance."""
    counts = np.zeros((40, 60), dtype=np.float32)
    counts[:, :49] = 1
    poor = AnnData(counts)
    record = TrainingRecord().extended(
        np.arange(40).astype(np.uint64), np.arange(40), np.full(40, "B"), (), content_keys(poor, SOURCE)
    )
    assert record.n_renamed(content_keys(poor, SOURCE)) == 0
    poor.X[:, 49] = 1
    record = record.extended(
        np.arange(40).astype(np.uint64), np.arange(40), np.full(40, "B"), (), content_keys(poor, SOURCE)
    )
    assert record.n_renamed(content_keys(poor, SOURCE)) == 40
    assert record.n_renamed(content_keys(AnnData(shape=(40, 60)), SOURCE)) == 0


def test_stored_zeros_are_no_expressed_genes(pbmc: AnnData) -> None:
    poor = pbmc[:3].copy()
    matrix = sparse.csr_matrix(np.ones(poor.shape, dtype=np.float32))
    matrix.data[matrix.indices >= 20] = 0
    poor.X = matrix
    assert not content_keys(poor, SOURCE).any()


def test_half_of_the_cells_is_the_share_from_which_on_they_count() -> None:
    contents = np.arange(1, 41, dtype=np.uint64)
    record = TrainingRecord.__new__(TrainingRecord)
    object.__setattr__(record, "contents", contents[:20])
    assert record.n_renamed(contents) == 20
    assert record.n_renamed(np.append(contents, np.uint64(99))) == 0


def test_copies_on_both_sides_of_a_split_are_warned_of(pbmc: AnnData) -> None:
    """As where a file was joined twice."""
    cells = concat({"a": pbmc[:150], "b": pbmc[:30]}, index_unique="-")
    SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"components": "X_pca"})
    options: dict[str, Any] = {"n_splits": 2, "baselines": (), "modalities_alone": False}
    with pytest.warns(UserWarning, match=r"\d+ of 180 cells are copies: they express exactly what a cell does"):
        SCMPT(cells).cross_validate(**options)
    SCMPT(cells).cross_validate(cells[:150].copy(), **options)  # a warning would be an error
