"""Cells whose values tell how they were stored are read on one scale, whatever was done to their counts."""

from collections.abc import Callable

import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData, concat
from scipy import sparse

from scmpt_scverse.pp import ExpressionReader, log_normalised_cells
from scmpt_scverse.pp._stored_scale import StoredScale, _few_totals


@pytest.fixture(scope="module")
def counts() -> AnnData:
    """60 cells of uneven depth over 120 genes."""
    generator = np.random.default_rng(0)
    depth = generator.lognormal(0, 0.6, size=(60, 1))
    values = generator.poisson(depth * generator.gamma(0.4, 4, size=120)).astype(np.float32)
    adata = AnnData(sparse.csr_matrix(values))
    adata.var_names = [f"GENE{number}" for number in range(120)]
    return adata


def _log(adata: AnnData, base: float | None = None, **options: float) -> None:
    sc.pp.normalize_total(adata, **options)
    sc.pp.log1p(adata, base=base)


#: What pipelines do to counts before they store them.
PIPELINES: dict[str, Callable[[AnnData], object]] = {
    "as scanpy does unasked": _log,
    "10,000": lambda adata: _log(adata, target_sum=1e4),
    "a million": lambda adata: _log(adata, target_sum=1e6),
    "to base 2": lambda adata: _log(adata, base=2),
    "to base 10, a million": lambda adata: _log(adata, base=10, target_sum=1e6),
    "not divided": sc.pp.log1p,
    "not divided, to base 2": lambda adata: sc.pp.log1p(adata, base=2),
    "no logarithm": sc.pp.normalize_total,
    "no logarithm, small values": lambda adata: sc.pp.normalize_total(adata, target_sum=10),
}


def _read(adata: AnnData) -> np.ndarray:
    return log_normalised_cells(ExpressionReader(adata).rows(0, adata.n_obs).matrix).toarray()


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_counts_are_read_alike_whatever_was_done_to_them(counts: AnnData, pipeline: str) -> None:
    adata = counts.copy()
    PIPELINES[pipeline](adata)
    before = adata.X.copy()

    np.testing.assert_allclose(_read(adata), _read(counts), rtol=2e-4, atol=1e-4)
    assert (before != adata.X).nnz == 0


def test_batches_may_have_been_divided_apart(counts: AnnData) -> None:
    """Each to its own median, and one left as counts."""
    parts = [counts[:20].copy(), counts[20:40].copy(), counts[40:].copy()]
    for part in parts[:2]:
        _log(part)

    np.testing.assert_allclose(_read(concat(parts)), _read(counts), rtol=2e-4, atol=1e-4)


def test_a_few_genes_may_be_gone_since(counts: AnnData) -> None:
    adata = counts.copy()
    _log(adata)
    rare = np.asarray(counts.X.sum(axis=0)).ravel() < 12
    assert 0 < rare.sum() < 60

    np.testing.assert_allclose(_read(adata[:, ~rare]), _read(counts[:, ~rare]), rtol=0.03, atol=0.03)


def test_what_cells_do_not_tell_stays_as_it_is(counts: AnnData, pbmc: AnnData) -> None:
    """Variable genes alone, copies of a cell, one cell, volumes, counts, and nothing."""
    logs = counts.copy()
    _log(logs)
    variable = logs[:, ::4]
    volumes = counts.X / np.random.default_rng(0).uniform(1, 40, size=(60, 1))
    copies = variable.X[[3] * 30]
    cells = (variable.X, copies, logs[:1].X, sparse.csr_matrix(volumes), counts.X, pbmc.X, sparse.csr_matrix((3, 4)))
    for matrix in cells:
        assert StoredScale.of([sparse.csr_matrix(matrix)]) is None
    np.testing.assert_array_equal(ExpressionReader(variable).rows(0, 60).matrix.toarray(), variable.X.toarray())


def _without_ambient(counts: AnnData) -> AnnData:
    """Counts changed by a share of each gene, as ambient RNA removal does: fractions of any total."""
    adata = counts.copy()
    adata.X = sparse.csr_matrix(counts.X.multiply(np.random.default_rng(1).uniform(1.6, 2.4, size=(1, 120))))
    return adata


def test_corrected_counts_are_linear_in_every_cell(counts: AnnData) -> None:
    """A cell of few counts has small fractions alone, as logarithms have; the cells beside it tell."""
    adata = _without_ambient(counts)
    is_shallow = adata.X.max(axis=1).toarray().ravel() < 50
    assert 5 < is_shallow.sum() < 55
    expected = adata.copy()
    _log(expected, target_sum=1e4)

    assert adata[is_shallow].X.max() > 20  # more than any logarithm
    for rows in (slice(None), slice(None, None, -1), is_shallow):
        cells, expected_cells = adata[rows], expected[rows]
        np.testing.assert_allclose(_read(cells), expected_cells.X.toarray(), rtol=1e-4)


def test_a_rare_cell_of_few_corrected_counts_is_linear_although_no_sample_shows_it(counts: AnnData) -> None:
    adata = _without_ambient(counts)
    is_deep = adata.X.max(axis=1).toarray().ravel() >= 50
    many = concat([adata[is_deep]] * 100, index_unique="-")
    at = np.arange(100, 100 + (~is_deep).sum())
    cells = concat([many[: at[0]], adata[~is_deep], many[at[0] :]], index_unique="+")
    expected = cells.copy()
    _log(expected, target_sum=1e4)

    np.testing.assert_allclose(_read(cells)[at], expected[at].X.toarray(), rtol=1e-4)


def test_a_single_fraction_tells_that_a_cell_holds_no_counts(counts: AnnData) -> None:
    adata = counts.copy()
    rows = np.arange(adata.n_obs)
    adata.X[rows, np.ravel(adata.X.argmax(axis=1))] += 0.5
    largest = adata.X.max(axis=1).toarray().ravel()
    assert 0 < (largest >= 50).sum() < (largest < 50).sum()
    expected = adata.copy()
    _log(expected, target_sum=1e4)
    np.testing.assert_allclose(_read(adata), expected.X.toarray(), rtol=1e-4)


def test_one_cell_is_as_linear_as_those_of_training(counts: AnnData) -> None:
    adata = _without_ambient(counts)
    shallow = adata[[int(np.argmin(adata.X.max(axis=1).toarray().ravel()))]]
    expected = shallow.copy()
    _log(expected, target_sum=1e4)

    reader = ExpressionReader(shallow, usual_scale=ExpressionReader(adata).scale)
    found = log_normalised_cells(reader.rows(0, 1).matrix)
    np.testing.assert_allclose(found.toarray(), expected.X.toarray(), rtol=1e-4)


def test_logarithms_of_10_000_stay_as_they_are(counts: AnnData) -> None:
    adata = counts.copy()
    _log(adata, target_sum=1e4)

    assert StoredScale.of([adata.X]) is None
    np.testing.assert_array_equal(ExpressionReader(adata).rows(0, 60).matrix.toarray(), adata.X.toarray())


def test_all_genes_count_even_if_some_are_read(counts: AnnData) -> None:
    """A panel of cells that were divided by all their genes; part of them are asked for."""
    adata = counts.copy()
    _log(adata)
    panel = np.array(["GENE3", "GENE7", "GENE50"], dtype=object)
    expected = counts.copy()
    _log(expected, target_sum=1e4)

    for cells in (adata, adata[:, ::-1]):
        found = ExpressionReader(cells, only_genes=panel, reference_genes=panel).take(np.array([4, 9, 40])).matrix
        np.testing.assert_allclose(found.toarray(), expected[[4, 9, 40], list(panel)].X.toarray(), rtol=1e-4, atol=1e-5)


def test_cells_are_told_by_samples_from_everywhere(counts: AnnData) -> None:
    """Of many cells, logarithms at the end, which are few."""
    many = concat([counts] * 10, index_unique="-")
    last = counts.copy()
    _log(last)
    adata = concat([many, last], index_unique="+")

    np.testing.assert_allclose(_read(adata)[-60:], _read(counts), rtol=2e-4, atol=1e-4)


def test_cells_are_of_a_scale_where_each_has_one_of_its_totals() -> None:
    scale = StoredScale(float(np.e), totals=(3_000.0, 20_000.0))

    def cells(*totals: float) -> list[sparse.csr_matrix]:
        shares = np.random.default_rng(0).dirichlet(np.ones(50), size=len(totals))
        return [sparse.csr_matrix(np.log1p(shares * np.array(totals)[:, None]))]

    assert scale.is_of(cells(3_000, 20_000, 2_990))
    assert scale.is_of([*cells(3_000), *cells(20_000)])
    assert not scale.is_of(cells(3_000, 10_000))
    assert not scale.is_of(cells(10_000))
    assert not scale.is_of([sparse.csr_matrix((0, 50))])


def test_a_total_of_two_cells_in_forty_is_one() -> None:
    """A share of at least 5 % of the cells has it, and 90 % of them have one of those."""
    assert _few_totals(np.array([100.0] * 38 + [500.0] * 2)) == (100.0, 500.0)
    assert _few_totals(np.array([100.0] * 39 + [500.0] * 2)) == (100.0,)
    assert _few_totals(np.array([100.0] * 18 + [500.0, 700.0])) == (100.0,)
    assert _few_totals(np.array([100.0] * 17 + [500.0, 700.0, 900.0])) == ()
