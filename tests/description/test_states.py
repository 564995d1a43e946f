"""States: programmes beside random genes, whose moments are computed and not drawn."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.stats import rankdata
from tests.description.conftest import LABELS, Clusters

from scmpt_scverse import SCMMGPT
from scmpt_scverse.description import Programmes
from scmpt_scverse.description._states import cells_in_state
from scmpt_scverse.pp import ExpressionReader
from scmpt_scverse.zero_shot import Query

N_CELLS, N_GENES, N_BINS = 60, 300, 25
COLUMNS = (np.array([3, 50, 120, 200, 280]), np.arange(10, 14))


@pytest.fixture
def cells() -> AnnData:
    """Counts with two programmes: of ten cells each, and of all."""
    rng = np.random.default_rng(0)
    means = rng.lognormal(0, 1, N_GENES)
    counts = rng.poisson(means, (N_CELLS, N_GENES))
    counts[:10, COLUMNS[0]] += 20
    counts[20:30, COLUMNS[1]] += 8
    return AnnData(counts.astype(np.float32), var=pd.DataFrame(index=[f"GENE{n}" for n in range(N_GENES)]))


def query_of(cells: AnnData) -> Query:
    reader = ExpressionReader(cells)
    return Query(reader, reader.genes)


def test_cells_are_compared_with_every_choice_of_random_genes(cells: AnnData) -> None:
    query = query_of(cells)
    found = cells_in_state(query, Programmes(("some", "others"), COLUMNS))

    dense = query.standardisation.dense(next(query.chunks())).astype(np.float64)
    bins = ((rankdata(query.own.mean) - 0.5) * N_BINS // N_GENES).astype(int)
    free = np.setdiff1d(np.arange(N_GENES), np.concatenate(COLUMNS))
    rng = np.random.default_rng(1)
    for number, columns in enumerate(COLUMNS):
        drawn = np.stack([rng.choice(free[bins[free] == bins[column]], 20_000) for column in columns])
        random = dense[:, drawn].mean(axis=1)
        distance = (dense[:, columns].mean(axis=1) - random.mean(axis=1)) / random.std(axis=1)
        is_clear = np.abs(distance - 3) > 0.1
        assert is_clear.mean() > 0.9
        is_high = (distance > 3) & ((dense[:, columns] > dense[:, columns].min(axis=0)).sum(axis=1) >= 2)
        np.testing.assert_array_equal(found[is_clear, number], is_high[is_clear])
    assert found[:10, 0].all()
    assert found[20:30, 1].mean() >= 0.5
    assert found[30:].mean() < 0.05


def test_the_order_of_genes_cells_and_programmes_does_not_matter(cells: AnnData) -> None:
    found = cells_in_state(query_of(cells), Programmes(("some", "others"), COLUMNS))
    backwards = tuple(np.sort(N_GENES - 1 - columns) for columns in reversed(COLUMNS))
    turned = cells_in_state(query_of(cells[::-1, ::-1].copy()), Programmes(("others", "some"), backwards))
    assert found.any()
    np.testing.assert_array_equal(found, turned[::-1, ::-1])


def test_where_all_genes_are_in_programmes_these_are_the_random_ones(cells: AnnData) -> None:
    halves = Programmes(("first", "second"), (np.arange(150), np.arange(150, N_GENES)))
    assert cells_in_state(query_of(cells), halves).shape == (N_CELLS, 2)


def test_no_programme_no_state(cells: AnnData) -> None:
    assert cells_in_state(query_of(cells), Programmes((), ())).shape == (N_CELLS, 0)


def test_descriptions_do_not_depend_on_the_order_of_genes(text_model: SCMMGPT, clusters: Clusters) -> None:
    cytotoxicity = {"cytotoxicity": ["GZMA", "GZMB", "GZMH", "GZMK", "PRF1", "GNLY", "NKG7"]}
    turned = clusters.cells[:, ::-1].copy()
    found, again = (
        text_model.describe(each, "louvain", labels=list(LABELS), programmes=cytotoxicity, key_added="again")
        for each in (clusters.cells, turned)
    )
    pd.testing.assert_frame_equal(again, found)
    assert found["states"].str.contains("cytotoxicity").any()
