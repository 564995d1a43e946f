import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from scmpt_scverse.pp._normalisation import Normalisation

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
