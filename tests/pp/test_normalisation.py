import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from scmpt_scverse.pp import GeneExpression
from scmpt_scverse.pp._normalisation import (
    ExpressionScale,
    Normalisation,
    are_linear,
    gene_weights_of,
    log_normalised,
    log_normalised_cells,
)

COUNTS = sparse.csr_matrix(np.array([[0, 3, 1, 0], [12, 0, 0, 7], [0, 0, 1, 0]], dtype=np.int32))


@pytest.mark.parametrize(
    ("values", "is_logarithmic"),
    [
        ([1.0, 2.0, 7.0], False),  # counts
        ([1.0, 2.5, 7.0], True),
        ([0.5, 830.2, 12.0], False),  # TPM
        ([1.0, 2.0, 1200.0], False),
        ([], False),
    ],
)
def test_logarithms_are_told_from_counts(values: list[float], is_logarithmic: bool) -> None:
    assert Normalisation.of(sparse.csr_matrix([values], shape=(1, len(values)))).is_logarithmic is is_logarithmic


def test_counts_become_what_scanpy_makes_of_them() -> None:
    expected = AnnData(COUNTS.astype(np.float32))
    sc.pp.normalize_total(expected, target_sum=1e4)
    sc.pp.log1p(expected)
    before = COUNTS.toarray()

    normalised = Normalisation.of(COUNTS)(COUNTS)

    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised.toarray(), expected.X.toarray(), rtol=1e-6)
    np.testing.assert_array_equal(COUNTS.toarray(), before)


def test_logarithms_stay_as_they_are(pbmc: AnnData) -> None:
    normalisation = Normalisation.of(pbmc.X)

    np.testing.assert_array_equal(normalisation(pbmc.X).toarray(), pbmc.X.toarray())


def test_a_cell_without_counts_has_no_expression() -> None:
    empty = sparse.csr_matrix((2, 4), dtype=np.int32)

    normalised = Normalisation.of(empty)(empty)

    assert normalised.shape == (2, 4)
    assert normalised.nnz == 0


def test_each_cell_is_judged_by_its_own_values() -> None:
    """Counts, logarithms, large fractions, whole numbers of 50 and more, one fraction among many, and nothing."""
    rows = [
        [1, 2, 7, 0],
        [1, 2.5, 4, 0],
        [0.5, 60, 3, 0],
        [60, 40, 1, 0],
        [1, 2, 3.5, 4],
        [0, 0, 0, 0],
        [49.5, 0, 0, 0],
    ]
    matrix = sparse.csr_matrix(np.array(rows, dtype=np.float64))
    found = log_normalised_cells(matrix)
    assert found.dtype == np.float32
    values = np.array(rows)
    expected = np.log1p(values * 1e4 / np.maximum(values.sum(axis=1, keepdims=True), 1))
    for row in (1, 4, 6):
        expected[row] = values[row]
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-5)
    for row in range(len(rows)):
        np.testing.assert_array_equal(log_normalised_cells(matrix[[row]]).toarray(), found[[row]].toarray())


def test_fifty_is_no_logarithm() -> None:
    for largest, is_logarithmic in ((50.0, False), (49.75, True)):
        matrix = sparse.csr_matrix([[0.5, largest]])
        assert Normalisation.of(matrix).is_logarithmic is is_logarithmic
        found = log_normalised_cells(matrix).toarray()[0, 1]
        assert (found == np.float32(largest)) is np.bool_(is_logarithmic)


def test_cells_of_little_expression_are_not_blown_up() -> None:
    """Sums below 1 count as 1; a sum of 2 is one."""
    small = sparse.csr_matrix([[0.25, 0.25], [1.0, 1.0]])
    found = Normalisation(is_logarithmic=False)(small).toarray()
    np.testing.assert_allclose(found, np.log1p(1e4 * np.array([[0.25, 0.25], [0.5, 0.5]])), rtol=1e-6)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_weights_are_powers_of_log_expression_that_sum_to_one(power: float) -> None:
    genes = np.array(list("ABCD"), dtype=object)
    weights = gene_weights_of(GeneExpression(COUNTS, genes), power)
    expected = log_normalised_cells(COUNTS).toarray().astype(np.float64) ** power
    np.testing.assert_allclose(weights.matrix.toarray(), expected / expected.sum(axis=1, keepdims=True), rtol=1e-5)
    assert weights.genes is genes
    assert len(weights) == 3
    empty = gene_weights_of(GeneExpression(sparse.csr_matrix((2, 4), dtype=np.float32), genes), power)
    assert (len(empty), empty.matrix.nnz) == (2, 0)


def test_linear_values_are_decided_over_all_chunks_and_applied_to_every_cell() -> None:
    fractions, large = sparse.csr_matrix([[0.5, 1.5]]), sparse.csr_matrix([[60.0, 3.0]])
    assert are_linear([fractions, large])
    assert are_linear([sparse.vstack([fractions, large], "csr")])
    assert not are_linear([fractions])
    assert not are_linear([large])
    assert not are_linear([])
    found = log_normalised(fractions, is_linear=True).toarray()
    np.testing.assert_allclose(found, np.log1p(1e4 * np.array([[0.25, 0.75]])), rtol=1e-6)
    assert (log_normalised(fractions, is_linear=False) != fractions).nnz == 0


class TestScaleOfPanels:
    """Counts, and logarithms of whatever total, of the genes of a panel."""

    COUNTS = np.array([[1.0, 0, 2, 40], [3, 1, 0, 0], [0, 0, 0, 0], [0, 5, 5, 0]])

    def test_the_total_is_the_median_one(self) -> None:
        scale = ExpressionScale.of_panel([sparse.csr_matrix(self.COUNTS)], is_linear=False)
        assert scale.total == 10
        values = scale(sparse.csr_matrix(self.COUNTS)).toarray()
        np.testing.assert_allclose(np.expm1(values).sum(axis=1), [10, 10, 0, 10], rtol=1e-6)

    def test_it_is_ten_thousand_at_most(self) -> None:
        deep = sparse.csr_matrix(self.COUNTS * 10_000)
        assert ExpressionScale.of_panel([deep], is_linear=False).total == 10_000

    def test_logarithms_are_on_the_scale_of_counts(self) -> None:
        scale = ExpressionScale.of_panel([sparse.csr_matrix(self.COUNTS)], is_linear=False)
        factors = np.array([[0.3], [2.1], [1], [0.7]])
        logarithms = sparse.csr_matrix(np.log1p(self.COUNTS * factors))
        expected = scale(sparse.csr_matrix(self.COUNTS)).toarray()
        np.testing.assert_allclose(scale(logarithms).toarray(), expected, rtol=1e-5)
        assert ExpressionScale.of_panel([logarithms], is_linear=False).total == pytest.approx(np.median([12.9, 8.4, 7]))

    def test_values_of_linear_data_that_look_like_logarithms_are_none(self) -> None:
        scale = ExpressionScale(is_linear=True, total=10)
        fractions = sparse.csr_matrix(self.COUNTS / 3)
        expected = ExpressionScale(is_linear=False, total=10)(sparse.csr_matrix(self.COUNTS)).toarray()
        np.testing.assert_allclose(scale(fractions).toarray(), expected, rtol=1e-5)

    def test_without_a_total_it_is_as_for_all_genes(self) -> None:
        cells = sparse.csr_matrix(self.COUNTS)
        np.testing.assert_array_equal(
            ExpressionScale(is_linear=False)(cells).toarray(), log_normalised(cells, is_linear=False).toarray()
        )
