"""Limits of confidence and novelty that a model brings: beyond them, cells stay unlabelled."""

import json
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
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


@pytest.mark.parametrize(("limit", "value"), [("min_confidence", 0.8), ("max_novelty", 0.9)])
def test_a_limit_of_one_call_takes_the_place_of_that_of_the_model(trained: SCMPT, limit: str, value: float) -> None:
    own, options = trained.predict(), cast("dict[str, Any]", {limit: value})
    setattr(trained, limit, value)
    limited = trained.predict()
    assert (limited != own).any()
    setattr(trained, limit, 1.0 - value)
    np.testing.assert_array_equal(trained.predict(**options), limited)
    trained.annotate(**options)
    np.testing.assert_array_equal(trained.adata.obs["scmpt_prediction"].astype(object), limited)
    assert trained.adata.uns["scmpt"]["annotations"]["scmpt"][limit] == value
    assert getattr(trained, limit) == 1.0 - value
    with pytest.raises(ValueError, match=f"`{limit}` must be a share from 0 to 1; found 2"):
        trained.annotate(key_added="other", **(options | {limit: 2}))
    with pytest.raises(ValueError, match=f"Drop one of `soft` and `{limit}`"):
        trained.predict(soft=True, **options)
    assert "other_prediction" not in trained.adata.obs


def test_a_query_that_is_novel_as_a_whole_is_said(trained: SCMPT) -> None:
    query = trained.adata.copy()
    query.obsm["X_pca"] = query.obsm["X_pca"][:, ::-1].copy() * 3
    with pytest.warns(UserWarning, match=r"of 700 cells have a novelty above 0.95: .* as a whole .* `SCMPT\(reference"):
        trained.annotate(query)
    with pytest.warns(UserWarning, match="of 700 cells have a novelty above 0.95"):
        assert set(trained.predict(query, max_novelty=0.5)) <= {*trained.labels, "Unknown"}
    few = query[:49].copy()
    trained.annotate(few)  # too few to tell, and no warning
    assert (few.obs["scmpt_novelty"] > 0.95).mean() > 0.5


def test_labels_that_the_model_does_not_know(trained: SCMPT) -> None:
    query = trained.adata[:60].copy()
    query.obs_names = [f"new {name}" for name in query.obs_names]
    query.X = query.X * 2
    query.obs[LABELS_KEY] = "another"
    with pytest.warns(UserWarning, match="60 of 60 labelled cells have labels in .* does not know, such as 'another'"):
        assert trained.evaluate(query, baselines=()).loc["scmpt", "accuracy"] == 0


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


def test_columns_of_the_user_are_not_overwritten(trained: SCMPT) -> None:
    cells = trained.adata.copy()
    cells.obs["mine_prediction"] = "precious"
    with pytest.raises(ValueError, match=r"`adata.obs\['mine_prediction'\]` exists, and nothing records"):
        trained.annotate(cells, key_added="mine")
    assert (cells.obs["mine_prediction"] == "precious").all()
    for _ in range(2):  # what was written under a prefix may be written again
        trained.annotate(cells, key_added="ours")
    cells.uns = {}  # as after concatenation
    trained.annotate(cells)
    trained.annotate(cells)
    with pytest.raises(ValueError, match="exists, and nothing records"):
        trained.annotate(cells, key_added="ours")


def test_numbers_are_no_names_of_cells(trained: SCMPT) -> None:
    """Tables of such cells could be written, but neither copied nor read again."""
    cells = trained.adata.copy()
    cells.obs.index = pd.RangeIndex(cells.n_obs)
    with pytest.raises(ValueError, match=r"Expected text as names of cells.* found int64 .*astype\(str\)"):
        trained.annotate(cells)
    assert "scmpt_prediction" not in cells.obs
    cells.obs_names = cells.obs_names.astype(str)
    trained.annotate(cells)
    cells.copy()


def test_data_of_an_earlier_model_are_not_taken_for_those_of_this_one(trained: SCMPT, tmp_path: Path) -> None:
    folder = str(tmp_path / "model")
    trained.save(folder, save_anndata=True)
    np.testing.assert_array_equal(SCMPT.load(folder).predict(), trained.predict())
    other = trained.adata[::2].copy()
    SCMPT.setup_anndata(other, LABELS_KEY, obsm_keys={"expression": "X_pca"})
    model = SCMPT(other)
    model.train()
    model.save(folder, overwrite=True)
    with pytest.raises(ValueError, match="found others than it was trained on"):
        SCMPT.load(folder)
    np.testing.assert_array_equal(SCMPT.load(folder, other).predict(), model.predict())
    model.save(folder, overwrite=True, save_anndata=True)
    assert SCMPT.load(folder).adata.n_obs == other.n_obs
