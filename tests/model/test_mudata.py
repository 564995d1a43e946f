"""MuData in place of AnnData: RNA for the encoders, and other modalities of the same cells fused beside it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from tests._adata import LABELS_KEY

from scmpt_scverse import SCMPT
from scmpt_scverse.modalities._joined_obs import JoinedObs

MODALITIES = {"expression": "rna", "protein": "prot"}
N_PROTEINS = 40


def mudata_of(cells: AnnData) -> MuData:
    """Real cells, of whose genes the last ones stand in for proteins."""
    rna, proteins = cells[:, :-N_PROTEINS].copy(), cells[:, -N_PROTEINS:].copy()
    proteins.obsm.clear()
    proteins.X = sparse.csr_matrix(proteins.X)
    mdata = MuData({"rna": rna, "prot": proteins})
    mdata.obs["label"] = cells.obs[LABELS_KEY].astype(str)
    mdata.obs["batch"] = np.where(np.arange(cells.n_obs) % 2, "a", "b")
    return mdata


@pytest.fixture(scope="module")
def mdata(_pbmc: AnnData) -> MuData:
    return mudata_of(_pbmc[::4])


@pytest.fixture(scope="module")
def model(mdata: MuData) -> SCMPT:
    """Trained on every fourth cell, with `scgpt-mini` and proteins."""
    SCMPT.setup_mudata(mdata, "label", modalities=MODALITIES, batch_key="batch")
    model = SCMPT(mdata, encoders={"expression": "scgpt-mini"}, fusion="concat", n_hidden=64)
    model.train(max_epochs=15, plan_kwargs={"lr": 1e-3}, enable_progress_bar=False)
    return model


@pytest.fixture
def query(_pbmc: AnnData) -> MuData:
    """Other cells, without labels."""
    query = mudata_of(_pbmc[1::8])
    del query.obs["label"]
    return query


def test_where_things_are_written(model: SCMPT, mdata: MuData, query: MuData) -> None:
    assert mdata["rna"].obsm["X_scgpt-mini"].shape == (mdata.n_obs, 128)
    assert mdata["rna"].uns["scmpt"]["embeddings"]["X_scgpt-mini"]["encoder"] == "scgpt-mini"
    assert "X_scgpt-mini" not in mdata.obsm
    model.annotate(query)
    assert "X_scgpt-mini" in query["rna"].obsm
    assert query.obs["scmpt_prediction"].tolist() == model.predict(query).tolist()
    assert query.obsm["scmpt_probabilities"].shape == (query.n_obs, 10)
    assert not [column for column in query["rna"].obs if column.startswith("scmpt")]


def test_it_is_what_an_anndata_with_the_same_arrays_gives(model: SCMPT, mdata: MuData) -> None:
    adata = mdata["rna"].copy()
    adata.obs["label"] = mdata.obs["label"]
    adata.obsm["prot"] = mdata["prot"].to_df()
    SCMPT.setup_anndata(adata, "label", obsm_keys={"protein": "prot"})
    same = SCMPT(adata, encoders={"expression": "scgpt-mini"}, fusion="concat", n_hidden=64)
    same.train(max_epochs=15, plan_kwargs={"lr": 1e-3}, enable_progress_bar=False)
    assert np.allclose(same.predict(soft=True), model.predict(soft=True), atol=1e-6)


def test_proteins_count_and_their_order_does_not(model: SCMPT, query: MuData) -> None:
    expected = model.predict(query, soft=True)
    order = np.random.default_rng(0).permutation(N_PROTEINS)
    permuted = MuData({"rna": query["rna"].copy(), "prot": query["prot"][:, order].copy()})
    assert np.allclose(model.predict(permuted, soft=True), expected, atol=1e-6)
    other = MuData({"rna": query["rna"].copy(), "prot": query["prot"].copy()})
    other["prot"].X = other["prot"].X[::-1].copy()
    assert not np.allclose(model.predict(other, soft=True), expected, atol=1e-2)


def test_evaluation(model: SCMPT) -> None:
    table = model.evaluate()
    assert table.loc["scmpt", "accuracy"] > table.loc["majority", "accuracy"]
    replicates = model.cross_validate(n_splits=2, group_key=None, max_epochs=2)
    assert "scmpt (protein alone)" in set(replicates["predictor"])


def test_labels_are_those_of_now(model: SCMPT, query: MuData) -> None:
    query.obs["label"] = "another"
    unknown = "88 of 88 labelled cells have labels .* does not know, such as 'another'"
    known = "88 of 88 cells come from batches that were trained on, 'a', 'b'"
    with pytest.warns(UserWarning, match=unknown), pytest.warns(UserWarning, match=known):
        assert model.evaluate(query).loc["scmpt", "accuracy"] == 0
    query.obs["batch"] = "new"
    with pytest.warns(UserWarning, match=unknown):
        assert model.evaluate(query).loc["scmpt", "accuracy"] == 0
    query.obs["label"] = model.predict(query)
    assert model.evaluate(query).loc["scmpt", "accuracy"] == 1


def test_saved_and_loaded(model: SCMPT, mdata: MuData, query: MuData, tmp_path: Path) -> None:
    model.save(str(tmp_path / "model"), save_anndata=True)
    for data in (query, None, False):
        restored = SCMPT.load(str(tmp_path / "model"), adata=data)
        assert np.allclose(restored.predict(query, soft=True), model.predict(query, soft=True), atol=1e-6)
    assert restored.predict(mdata[:5]).tolist() == model.predict(indices=range(5)).tolist()


def test_an_anndata_with_the_same_arrays_is_a_query_too(model: SCMPT, query: MuData) -> None:
    adata = query["rna"].copy()
    adata.obsm["prot"] = query["prot"].to_df()
    assert np.allclose(model.predict(adata, soft=True), model.predict(query, soft=True), atol=1e-6)


def test_refusals(model: SCMPT, mdata: MuData, query: MuData, trained: SCMPT) -> None:
    fresh = mdata.copy()
    with pytest.raises(TypeError, match="Expected a MuData; found AnnData"):
        SCMPT.setup_mudata(fresh["rna"], "label", modalities=MODALITIES)
    with pytest.raises(ValueError, match="`modalities` must say which modality holds the expression"):
        SCMPT.setup_mudata(fresh, "label", modalities={"protein": "prot"})
    with pytest.raises(KeyError, match="No 'adt' in `mdata.mod`; found 'rna', 'prot'"):
        SCMPT.setup_mudata(fresh, "label", modalities={"expression": "rna", "protein": "adt"})
    with pytest.raises(KeyError, match=r"Expected 'bulk_labels' in .mdata.obs. or in one modality; found 'rna:bulk"):
        SCMPT.setup_mudata(fresh, "bulk_labels", modalities=MODALITIES)  # of both modalities
    with pytest.raises(KeyError, match="No 'absent' in `mdata.obs`"):
        SCMPT.setup_mudata(fresh, "absent", modalities=MODALITIES)
    with pytest.raises(ValueError, match="found a view"):
        SCMPT.setup_mudata(fresh[:50], "label", modalities=MODALITIES)
    with pytest.raises(TypeError, match="found a MuData, and the model was set up with `setup_anndata`"):
        trained.predict(fresh)
    unpaired = MuData({"rna": query["rna"].copy(), "prot": query["prot"][:30].copy()})
    with pytest.raises(ValueError, match="in its modality 'prot', in the same order; found 30 cells"):
        model.predict(unpaired)
    broken = mdata.copy()
    broken["prot"].X = pd.DataFrame(broken["prot"].X.toarray()).replace(0, np.nan).to_numpy()
    with pytest.raises(ValueError, match="Expected finite values"):
        SCMPT.setup_mudata(broken, "label", modalities=MODALITIES)


def test_a_query_without_proteins_is_predicted_without_them(model: SCMPT, query: MuData) -> None:
    with pytest.warns(UserWarning, match=r"there is no `adata.obsm\['prot'\]`; predictions do without it"):
        predicted = model.predict(MuData({"rna": query["rna"].copy()}))
    assert set(predicted) <= set(model.labels)


@pytest.mark.parametrize("labels_key", ["bulk_labels", "rna:bulk_labels", "prot:site"])
def test_labels_and_batches_of_a_modality(mdata: MuData, query: MuData, labels_key: str, tmp_path: Path) -> None:
    fresh = mdata.copy()
    fresh["prot"].obs["site"] = fresh["prot"].obs.pop("bulk_labels").astype(str)
    for column in fresh.obs:
        del fresh.obs[column]  # also what mudata copied there
    fresh["prot"].obs["run"] = np.where(np.arange(fresh.n_obs) % 2, "a", "b")
    SCMPT.setup_mudata(fresh, labels_key, modalities=MODALITIES, batch_key="run")
    assert [column for column in fresh.obs if not column.startswith("_scvi")] == []
    model = SCMPT(fresh, encoders={"counts": "counts"})
    model.train(enable_progress_bar=False)
    assert len(model.labels) == 10
    assert model.cross_validate(n_splits=2, group_key=False, modalities_alone=False).shape[0] > 0
    model.annotate(query)
    assert set(query.obs["scmpt_prediction"]) <= set(model.labels)
    model.rank_attributions(fresh, groupby="rna:louvain", method="random", n_cells_per_group=1, progress=False)
    model.save(str(tmp_path / "model"))
    restored = SCMPT.load(str(tmp_path / "model"), adata=fresh)
    assert restored.predict().tolist() == model.predict().tolist()


def test_cells_that_a_modality_does_not_have_have_no_value(mdata: MuData) -> None:
    few = mdata["prot"][:90, :5].copy()
    few.var_names = [f"few{number}" for number in range(5)]
    few.obs["kind"] = "some"
    column = JoinedObs(MuData({"rna": mdata["rna"], "few": few}))["kind"]
    assert column.index.equals(mdata.obs_names)
    assert column.notna().tolist() == [True] * 90 + [False] * (mdata.n_obs - 90)


def test_arrays_of_another_modality(mdata: MuData, query: MuData) -> None:
    def with_lsi(data: MuData) -> MuData:
        both = data.copy()
        both["prot"].obsm["X_lsi"] = np.asarray(both["prot"].X[:, :8].todense())
        return both

    cells, asked = with_lsi(mdata), with_lsi(query)
    SCMPT.setup_mudata(cells, "label", modalities={"expression": "rna"}, obsm_keys={"atac": "prot:X_lsi"})
    model = SCMPT(cells, encoders={"counts": "counts"})
    model.train(enable_progress_bar=False)
    adata, other = (each["rna"].copy() for each in (cells, asked))
    for flat, data in ((adata, cells), (other, asked)):
        flat.obsm["lsi"] = data["prot"].obsm["X_lsi"]
    adata.obs["label"] = cells.obs["label"]
    SCMPT.setup_anndata(adata, "label", obsm_keys={"atac": "lsi"})
    same = SCMPT(adata, encoders={"counts": "counts"})
    same.train(enable_progress_bar=False)
    assert np.allclose(model.predict(asked, soft=True), same.predict(other, soft=True), atol=1e-6)
    assert "scmpt (atac alone)" in set(model.cross_validate(n_splits=2, group_key=False)["predictor"])
    with pytest.raises(KeyError, match=r"No 'X_lsi' in `adata.obsm`.*Did you mean 'prot:X_lsi'"):
        SCMPT.setup_mudata(cells, "label", modalities={"expression": "rna"}, obsm_keys={"atac": "X_lsi"})


def test_a_query_with_labels_is_evaluated_without_batches(mdata: MuData, query: MuData) -> None:
    fresh = mdata.copy()
    SCMPT.setup_mudata(fresh, "rna:bulk_labels", modalities=MODALITIES)
    model = SCMPT(fresh, encoders={"counts": "counts"})
    model.train(enable_progress_bar=False)
    assert model.evaluate(query).loc["scmpt", "accuracy"] > 0.5
    two = query.copy()
    two["prot"].obs["bulk_labels"] = "another"
    SCMPT.setup_mudata(fresh, "label", modalities=MODALITIES)
    by_plain_name = SCMPT(fresh, encoders={"counts": "counts"})
    by_plain_name.train(enable_progress_bar=False)
    two["rna"].obs["label"] = two["prot"].obs["label"] = "a"
    with pytest.raises(KeyError, match=r"found 'rna:label', 'prot:label'. Pass one of these names"):
        by_plain_name.evaluate(two)


def test_modalities_that_cannot_be_read(mdata: MuData) -> None:
    twice = {"expression": "rna", "again": "rna"}
    with pytest.raises(ValueError, match="names 'rna' as the expression that encoders read, and again as 'again'"):
        SCMPT.setup_mudata(mdata.copy(), "label", modalities=twice)
    empty = mdata.copy()
    empty["prot"].X = None
    with pytest.raises(ValueError, match=r"Expected values in `mdata\['prot'\].X`; found none"):
        SCMPT.setup_mudata(empty, "label", modalities=MODALITIES)
    repeated = mdata.copy()
    repeated["prot"].var_names = ["CD3", "CD3", *repeated["prot"].var_names[2:]]
    SCMPT.setup_mudata(repeated, "label", modalities=MODALITIES)
    with pytest.raises(ValueError, match="Expected columns of different names.*several called 'CD3'"):
        SCMPT(repeated, encoders={"counts": "counts"}).train(enable_progress_bar=False)


def test_a_query_with_repeated_proteins(model: SCMPT, query: MuData) -> None:
    adata, table = query["rna"].copy(), query["prot"].to_df()
    adata.obsm["prot"] = pd.concat([table, table.iloc[:, :1]], axis=1)
    with pytest.raises(ValueError, match=f"several called '{table.columns[0]}'"):
        model.predict(adata)
