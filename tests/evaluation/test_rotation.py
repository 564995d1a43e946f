"""Rotated or not, logistic regression says the same."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from scmpt_scverse.datasets import pbmc68k_reduced
from scmpt_scverse.evaluation._rotation import RotatedLogisticRegression, Rotation

CELLS = pbmc68k_reduced()
LABELS = CELLS.obs["bulk_labels"].astype(str).to_numpy()


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("n_labels", [2, 10])
def test_equals_scikit_learn_on_the_plain_matrix(is_sparse: bool, n_labels: int) -> None:
    rows = np.flatnonzero(np.isin(LABELS, np.unique(LABELS)[:n_labels]))[:300]
    scaled = StandardScaler(with_mean=False).fit_transform(CELLS.X[rows]).astype(np.float64)
    features = sparse.csr_matrix(scaled) if is_sparse else scaled.toarray()
    train, test = features[:150], features[150:]

    ours = RotatedLogisticRegression().fit(train, LABELS[rows[:150]])
    theirs = LogisticRegression(max_iter=5000, tol=1e-7).fit(train, LABELS[rows[:150]])

    assert train.shape[0] < train.shape[1]
    assert ours.coef_.shape == theirs.coef_.shape
    np.testing.assert_allclose(ours.predict_proba(test), theirs.predict_proba(test), atol=2e-3)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=2e-3)
    assert (ours.predict(test) == theirs.predict(test)).all()


def test_many_cells_are_not_rotated() -> None:
    features = CELLS.X[:, :20].toarray()
    ours, theirs = RotatedLogisticRegression().fit(features, LABELS), LogisticRegression(max_iter=2000, tol=1e-6)
    np.testing.assert_array_equal(ours.coef_, theirs.fit(features, LABELS).coef_)


def test_a_rotation_keeps_distances_of_cells_of_any_rank() -> None:
    features = CELLS.X[:60].toarray().astype(np.float64)
    features[5] = features[4]  # a copy lowers the rank
    rotated = Rotation.of(features).coordinates
    assert rotated.shape == (60, 58)
    centred = features - features.mean(axis=0)
    np.testing.assert_allclose(rotated @ rotated.T, centred @ centred.T, atol=1e-6)
