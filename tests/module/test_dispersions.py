"""Dispersions of counts that were drawn with known ones."""

import numpy as np
from scipy import sparse

from scmpt_scverse.module._dispersions import log_dispersions


def test_dispersions_are_those_within_groups() -> None:
    """Means differ between groups and depths, which is no dispersion."""
    rng = np.random.default_rng(0)
    n_cells, true = 4000, np.array([0.5, 2.0, 20.0, 1e9])
    groups = rng.integers(0, 4, n_cells)
    shares = np.array([[5, 1, 9, 3], [1, 6, 4, 2], [2, 2, 4, 8], [7, 1, 1, 1]])[groups]
    depth = rng.lognormal(0, 0.5, (n_cells, 1))
    means = depth * shares
    counts = rng.poisson(rng.gamma(true, means / true))
    rest = np.round(1000 * depth)  # so that four genes do not decide the total
    found = np.exp(log_dispersions(sparse.csr_matrix(np.hstack([counts, rest])).astype(np.float64), groups))
    np.testing.assert_allclose(found[:3], true[:3], rtol=0.2)
    assert found[3] > 50
