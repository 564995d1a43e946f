"""What cells of a query are compared with: their own mean, that of other studies, or something between."""

import numpy as np
import pytest
from scipy import sparse
from tests._zero_shot import GENES, TYPES, genes_of, study

from scmpt_scverse.module import Standardisation, unit_profiles
from scmpt_scverse.pp import ExpressionReader
from scmpt_scverse.zero_shot import Query

KNOWN = np.array(GENES, dtype=object)
PROFILES = np.stack([np.isin(GENES, genes_of(name)).astype(float) for name in TYPES])


@pytest.fixture(scope="module")
def background() -> Standardisation:
    """Of two other studies with all types."""
    others = [Query(ExpressionReader(study(TYPES, seed=seed)), KNOWN) for seed in (5, 6)]
    return Standardisation.average([query.own for query in others])


def predicted(query: Query) -> np.ndarray:
    return query.scores(unit_profiles(PROFILES, query.is_used)).argmax(axis=1)


def test_a_query_of_one_type_is_recognised_against_the_background_only(background: Standardisation) -> None:
    query = Query(ExpressionReader(study(TYPES[:1], seed=7)), KNOWN)
    shares = {share: (predicted(query.against(background, share)) == 0).mean() for share in (0.0, 0.5, 1.0)}
    assert shares[0.0] < 0.4  # its own mean has the markers, too
    assert shares[0.5] > shares[0.0] + 0.2
    assert shares[1.0] > shares[0.5] + 0.2


def test_a_rare_type_does_not_gain_what_a_frequent_one_loses(background: Standardisation) -> None:
    cells = study(TYPES[:3], n_each=60, seed=8)
    mostly = cells[np.r_[:60, 60:66, 120:126]].copy()  # ten of twelve cells are of one type
    truth = np.repeat([0, 1, 2], [60, 6, 6])
    query = Query(ExpressionReader(mostly), KNOWN)
    own, half = ((predicted(query.against(background, share)) == truth).mean() for share in (0.0, 0.5))
    assert half > own


def test_with_the_background_alone_a_cell_has_its_score_wherever_it_is(background: Standardisation) -> None:
    cells = study(TYPES[:4], seed=9)
    whole = Query(ExpressionReader(cells), KNOWN, background, 1.0)
    scores = whole.scores(unit_profiles(PROFILES, whole.is_used))
    some = Query(ExpressionReader(cells[[3, 80]].copy()), KNOWN, background, 1.0)
    np.testing.assert_allclose(some.scores(unit_profiles(PROFILES, some.is_used)), scores[[3, 80]], atol=1e-9)
    half = Query(ExpressionReader(cells[:80].copy()), KNOWN, background, 0.5)
    assert np.abs(half.scores(unit_profiles(PROFILES, half.is_used)) - scores[:80]).max() > 0.01


def test_genes_that_are_zero_everywhere_are_taken_by_the_background_alone(background: Standardisation) -> None:
    cells = study(TYPES[:4], seed=9)
    cells.X = sparse.csr_matrix(cells.X.multiply(np.arange(cells.n_vars) >= 5))
    query = Query(ExpressionReader(cells), KNOWN)
    assert not query.against(background, 0.5).is_used[:5].any()
    assert query.against(background, 1.0).is_used[:5].all()


def test_the_way_between_two_standardisations() -> None:
    own, other = (Standardisation(np.array(mean), np.array(scale)) for mean, scale in (
        ([1.0, 2.0, 3.0, 0.0], [1.0, 1.0, 0.0, 0.0]),
        ([3.0, 0.0, 5.0, 0.0], [3.0, 0.0, 2.0, 0.0]),
    ))  # fmt: skip
    between = own.toward(other, 0.25)
    np.testing.assert_allclose(between.mean, [1.5, 2, 5, 0])  # where one knows nothing of a gene, the other is taken
    np.testing.assert_allclose(between.scale, [1.5, 1, 2, 0])
    np.testing.assert_array_equal(own.toward(other, 0.0).mean[:2], own.mean[:2])


def test_an_average_is_over_the_studies_that_have_a_gene() -> None:
    parts = [Standardisation(np.array([1.0, 4.0, 9.0]), np.array([1.0, 2.0, 0.0])),
             Standardisation(np.array([3.0, 0.0, 9.0]), np.array([3.0, 0.0, 0.0]))]  # fmt: skip
    average = Standardisation.average(parts)
    np.testing.assert_allclose(average.mean, [2, 4, 0])
    np.testing.assert_allclose(average.scale, [2, 2, 0])
