"""Labels that read like missing values, or are spelled in two ways: warned of where they would be learned."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData
from tests._adata import LABELS_KEY, snapshot

from scmpt_scverse import SCMPT, evaluation, metrics

COMPONENTS = {"mine": "X_pca"}


@pytest.fixture
def dirty(pbmc: AnnData) -> AnnData:
    """210 cells, of which 6 have no label in two spellings, and 4 have a label of a spelling of their own."""
    cells = pbmc[:210].copy()
    labels = cells.obs[LABELS_KEY].astype(str).to_numpy(dtype=object)
    monocytes = np.flatnonzero(labels == "CD14+ Monocyte")
    labels[monocytes[:4]], labels[monocytes[4:6]], labels[monocytes[6:10]] = "nan", "Unassigned", "CD14+_monocyte "
    cells.obs["y"] = labels
    return cells


@contextmanager
def doubted(*texts: str) -> Iterator[None]:
    """Exactly one warning, which holds all texts."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    found = [str(warning.message) for warning in caught if "Doubtful" in str(warning.message)]
    assert len(found) == 1, found
    assert all(text in found[0] for text in texts), found[0]
    where = [warning.filename for warning in caught if "Doubtful" in str(warning.message)]
    assert where == [__file__]


MISSING = ("'nan' (4 cells), 'Unassigned' (2 cells)", "pass `unlabeled_category=['nan', 'Unassigned']`")
TWICE = ("'CD14+ Monocyte' (", "and 'CD14+_monocyte ' (4 cells)")


def model_of(cells: AnnData, **setup: Any) -> SCMPT:
    SCMPT.setup_anndata(cells, "y", obsm_keys=COMPONENTS, **setup)
    return SCMPT(cells)


def quiet_model_of(cells: AnnData) -> SCMPT:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model_of(cells)


def test_setup_warns_and_changes_no_label(dirty: AnnData) -> None:
    before = snapshot(dirty)["obs"]
    with doubted("`adata.obs['y']`", *MISSING, *TWICE):
        model = model_of(dirty)
    assert {"nan", "Unassigned", "CD14+ Monocyte", "CD14+_monocyte "} <= set(model.labels)
    del dirty.obs["_scvi_labels"]
    assert snapshot(dirty)["obs"] == before
    model.train(train_size=0.8)  # warns of nothing more
    query = dirty[:20].copy()
    model.predict(query)


def test_setup_of_a_mudata_warns(dirty: AnnData) -> None:
    mdata = MuData({"rna": dirty[:, 20:].copy(), "prot": dirty[:, :20].copy()})
    mdata.obs["y"] = dirty.obs["y"]
    with doubted("`mdata.obs['y']`", *MISSING, *TWICE):
        SCMPT.setup_mudata(mdata, "y", modalities={"expression": "rna", "protein": "prot"})


def test_several_unlabeled_categories(dirty: AnnData, tmp_path: Any) -> None:
    dirty.obs["y"] = dirty.obs["y"].replace({"CD14+_monocyte ": "CD14+ Monocyte"})
    dirty.obs.iloc[0, dirty.obs.columns.get_loc("y")] = None
    is_labelled = ~dirty.obs["y"].isin(["nan", "Unassigned", None]).to_numpy()
    model = model_of(dirty, unlabeled_category=["Unassigned", "nan"])
    assert model.unlabeled_category == "Unassigned"
    assert not {"nan", "Unassigned"} & set(model.labels)
    model.train(train_size=0.8)
    used = np.concatenate([np.asarray(part) for part in (model.train_indices, model.validation_indices)])
    assert sorted(used) == np.flatnonzero(is_labelled).tolist()
    table = model.cross_validate(n_splits=2, baselines=("majority",))
    assert set(table.groupby("predictor")["n_cells"].sum()) == {is_labelled.sum()}
    model.save(str(tmp_path / "model"))
    loaded = SCMPT.load(str(tmp_path / "model"), adata=dirty.copy())
    assert loaded.labels.tolist() == model.labels.tolist()
    assert loaded.unlabeled_category == "Unassigned"
    other = dirty[5:].copy()
    n_known = int((~other.obs["y"].isin(["nan", "Unassigned", None])).sum())
    with pytest.warns(UserWarning, match="cells were trained on"):
        table = loaded.evaluate(other, baselines=("majority",))
    assert set(table["n_cells"]) == {n_known}


def test_cross_validation_and_advice_warn_once_of_cells_that_are_new_to_the_model(dirty: AnnData) -> None:
    model = quiet_model_of(dirty)
    other = dirty[::-1].copy()
    other.obs["y"] = other.obs["y"].replace("CD14+_monocyte ", "CD14+ Monocyte")
    with doubted(*MISSING):
        model.cross_validate(other, n_splits=2, baselines=("majority", "knn"))
    with doubted(*MISSING):
        model.advise(other, n_splits=2)
    model.cross_validate(n_splits=2, baselines=("majority", "knn"))  # setup has warned
    model.advise(n_splits=2)


def test_evaluation_warns_of_labels_that_the_model_spells_otherwise(pbmc: AnnData, dirty: AnnData) -> None:
    train = pbmc[210:].copy()
    train.obs["y"] = train.obs[LABELS_KEY]
    model = model_of(train)
    model.train(train_size=1.0)
    with doubted("'nan' (4 cells), 'Unassigned' (2 cells)", *TWICE):
        model.evaluate(dirty, baselines=("majority",))
    dirty.obs["y"] = dirty.obs[LABELS_KEY]
    model.evaluate(dirty, baselines=("majority",))  # warns of nothing


def test_arrays_warn_too(dirty: AnnData) -> None:
    labels, features = dirty.obs["y"].to_numpy(), dirty.obsm["X_pca"]
    with doubted("`train_labels`", "'nan' (4 cells)", "leave these cells out", *TWICE):
        evaluation.baseline_probabilities("majority", features, labels, features)
    frequent = dirty.obs["y"].map(dirty.obs["y"].value_counts()).to_numpy() >= 2
    with doubted("`labels`", "leave these cells out", *TWICE):
        metrics.linear_probe(features[frequent], labels[frequent], n_splits=2)
    donors = np.array(["d1", "d2", "d3", "D1", "NA", "d2 "], dtype=object)[np.arange(210) % 6]
    with doubted("`groups`", "'NA' (35 cells)", "'D1' (35 cells) and 'd1' (35 cells)", "'d2' (35 cells) and 'd2 '"):
        evaluation.cell_splits(dirty.obs[LABELS_KEY], donors, n_splits=2)
