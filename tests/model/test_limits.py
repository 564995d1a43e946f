"""Limits of confidence and novelty that a model brings: beyond them, cells stay unlabelled."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from tests._adata import LABELS_KEY

from scmpt_scverse import SCMPT


@pytest.fixture
def trained(pbmc: AnnData) -> SCMPT:
    SCMPT.setup_anndata(pbmc, LABELS_KEY, obsm_keys={"expression": "X_pca"})
    model = SCMPT(pbmc)
    model.train()
    return model


def test_without_limits_no_cell_is_left_out(trained: SCMPT) -> None:
    assert (trained.min_confidence, trained.max_novelty) == (0.0, 1.0)
    assert "Unknown" not in trained.predict()


@pytest.mark.parametrize(("limit", "value"), [("min_confidence", 0.8), ("max_novelty", 0.9)])
def test_cells_beyond_a_limit_are_unlabelled(trained: SCMPT, limit: str, value: float, tmp_path: Path) -> None:
    before = trained.predict()
    trained.annotate()
    obs = trained.adata.obs
    marks = obs["scmpt_confidence"] if limit == "min_confidence" else obs["scmpt_novelty"]
    beyond = (marks < value if limit == "min_confidence" else marks > value).to_numpy()
    setattr(trained, limit, value)
    after = trained.predict()
    assert 0 < beyond.sum() < len(beyond)
    np.testing.assert_array_equal(after, np.where(beyond, "Unknown", before))
    np.testing.assert_array_equal(trained.predict(indices=[3, 1]), after[[3, 1]])
    trained.annotate()
    np.testing.assert_array_equal(obs["scmpt_prediction"].astype(object), after)
    trained.save(str(tmp_path / "model"))
    again = SCMPT.load(str(tmp_path / "model"), trained.adata)
    assert getattr(again, limit) == value
    np.testing.assert_array_equal(again.predict(), after)


def test_limits_and_rejection_together(trained: SCMPT) -> None:
    is_rejected = trained.predict(reject={"coverage": 0.5}) == "Unknown"
    trained.min_confidence = 0.5
    is_unsure = trained.predict() == "Unknown"
    np.testing.assert_array_equal(trained.predict(reject={"coverage": 0.5}) == "Unknown", is_rejected | is_unsure)


@pytest.mark.parametrize("value", [1.5, "much", None, float("nan")])
def test_limits_that_are_none_are_refused(saved: Path, tmp_path: Path, value: object) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "model"))
    content = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**content, "min_confidence": value}))
    with pytest.raises(ValueError, match=r"cannot be read \("):
        SCMPT.load(str(folder), adata=False)
