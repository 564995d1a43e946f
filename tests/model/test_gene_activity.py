"""Gene activity of the same cells, read as expression beside the RNA. The activity is synthetic, made from real RNA."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from tests._adata import LABELS_KEY, as_mouse

from scmpt_scverse import SCMPT, ablation

pytestmark = pytest.mark.filterwarnings("ignore:Cannot join columns with the same name:UserWarning")

MODALITIES = {"expression": "rna", "activity": "atac_ga"}
#: Genes that the synthetic activity is of; the RNA keeps the others alone, so that each says something.
N_ACTIVE = 300


def multiome(cells: AnnData, seed: int) -> MuData:
    """Real RNA of some genes; of the others, counts that are drawn around their real expression, with noise."""
    rna = AnnData(sparse.csr_matrix(cells.X[:, N_ACTIVE - 20 :]), cells.obs[[LABELS_KEY]].copy())
    rna.var_names = cells.var_names[N_ACTIVE - 20 :]  # twenty of the genes are in both
    expected = np.expm1(sparse.csr_matrix(cells.X).toarray()[:, :N_ACTIVE]) + 0.05
    drawn = np.random.default_rng(seed).poisson(2 * expected).astype(np.float32)
    activity = AnnData(sparse.csr_matrix(drawn), cells.obs[[]].copy(), pd.DataFrame(index=cells.var_names[:N_ACTIVE]))
    mdata = MuData({"rna": rna, "atac_ga": activity})
    mdata.obs = mdata.obs[[]]
    return mdata


@pytest.fixture(scope="module")
def mdata(_pbmc: AnnData) -> MuData:
    return multiome(_pbmc[::4], seed=0)


@pytest.fixture
def query(_pbmc: AnnData) -> MuData:
    return multiome(_pbmc[1::8], seed=1)


@pytest.fixture(scope="module")
def model(mdata: MuData) -> SCMPT:
    """Expression itself, and gene activity read as it."""
    return trained_on(mdata)


def trained_on(mdata: MuData) -> SCMPT:
    SCMPT.setup_mudata(mdata, f"rna:{LABELS_KEY}", modalities=MODALITIES)
    model = SCMPT(mdata, encoders={"counts": "counts", "activity": {"encoder": "counts", "n_genes": 200}})
    model.train()
    return model


def of_activity(query: MuData, activity: AnnData) -> MuData:
    return MuData({"rna": query["rna"].copy(), "atac_ga": activity})


def test_it_is_read_as_expression_is(model: SCMPT, mdata: MuData) -> None:
    assert model.modalities.names == ["counts", "activity"]
    assert model.modalities.dims["activity"] == 200
    features = model.modalities.genes.features["activity"]
    assert set(features.genes) <= set(mdata["atac_ga"].var_names)
    # The same genes and values as expression itself has of these cells alone.
    alone = mdata["atac_ga"].copy()
    alone.obs["label"] = mdata["rna"].obs[LABELS_KEY]
    SCMPT.setup_anndata(alone, "label")
    same = SCMPT(alone, encoders={"counts": {"encoder": "counts", "n_genes": 200}})
    same.train()
    assert same.modalities.expression is not None
    assert features.genes.tolist() == same.modalities.expression.genes.tolist()
    rows = np.arange(mdata.n_obs)
    found = model.modalities.read(model._cells(None))["activity"][rows]
    assert np.array_equal(found, same.modalities.read(alone)["counts"][rows])
    assert found.max() < 12  # logarithms of counts that go into the hundreds


def test_counts_and_their_logarithms_are_the_same_activity(model: SCMPT, query: MuData) -> None:
    expected = model.predict(query, soft=True)
    dense, fractions = query["atac_ga"].copy(), query["atac_ga"].copy()
    dense.X = dense.X.toarray()
    fractions.X = fractions.X.multiply(1e4 / fractions.X.sum(axis=1)).tocsr().log1p()
    assert np.allclose(model.predict(of_activity(query, dense), soft=True), expected, atol=1e-6)
    found = model.predict(of_activity(query, fractions), soft=True)
    assert (found.idxmax(axis=1) == expected.idxmax(axis=1)).mean() > 0.9
    assert np.abs(found - expected).to_numpy().mean() < 0.02


def test_genes_are_found_by_name_in_any_order(model: SCMPT, query: MuData) -> None:
    expected = model.predict(query, soft=True)
    order = np.random.default_rng(0).permutation(N_ACTIVE)
    assert np.allclose(model.predict(of_activity(query, query["atac_ga"][:, order].copy()), soft=True), expected)
    for prefix in ("atac_ga:", "ga_"):
        named = query["atac_ga"].copy()
        named.var_names = [f"{prefix}{name}" for name in named.var_names]
        if prefix == "ga_":
            with pytest.warns(UserWarning, match="hold more than a gene symbol"):
                found = model.predict(of_activity(query, named), soft=True)
        else:
            found = model.predict(of_activity(query, named), soft=True)
        assert np.allclose(found, expected)
    assert np.allclose(model.predict(query, indices=[9, 2, 5], soft=True), expected.iloc[[9, 2, 5]], atol=1e-6)


def test_it_says_which_modality_decided_and_helps(model: SCMPT, query: MuData) -> None:
    model.annotate(query)
    assert list(query.obsm["scmpt_contributions"]) == ["counts", "activity"]
    assert query.obsm["scmpt_contributions"]["activity"].abs().mean() > 0.05
    record = query["rna"].uns["scmpt"]["annotations"]["scmpt"]
    assert record["encoders"]["activity"] == {"encoder": "counts", "obsm_key": "atac_ga"}
    table = model.gene_coverage(query)
    assert table.loc["activity", "n_known"] == 200
    assert table["can_read"].all()
    scores = model.cross_validate(n_splits=3, baselines=("majority",)).groupby("predictor")["accuracy"].mean()
    assert scores["scmpt (activity alone)"] > scores["majority"] + 0.2


def test_genes_of_the_two_are_told_apart(model: SCMPT, query: MuData) -> None:
    shared = query["rna"].var_names.intersection(query["atac_ga"].var_names)
    assert len(shared) == 20
    table = model.explain_cell(query, query.obs_names[0])
    is_active = table.index.str.startswith("activity:")
    assert 0 < is_active.sum() < len(table)
    assert (table.loc[is_active, "counts"] == 0).all()
    assert (table.loc[~is_active, "activity"] == 0).all()
    assert table.loc[is_active, "activity"].abs().max() > 0
    assert table.attrs["completeness_error"] < 0.05
    assert table.index.is_unique
    cell = query["atac_ga"][[0]].to_df().iloc[0]
    name = table.index[is_active][0]
    assert table.loc[name, "value"] == cell[name.removeprefix("activity:")]
    curves = model.deletion_curves(query, n_cells=4, counts=(0, 50), progress=False)
    at = curves[(curves.method == "integrated_gradients") & (curves.kind == "deletion")].groupby("n_genes").probability
    assert at.mean()[50] < at.mean()[0]


def test_each_modality_has_its_ranking(model: SCMPT, query: MuData) -> None:
    model.rank_attributions(query, groupby=f"rna:{LABELS_KEY}", n_cells_per_group=4, per_cell=True, progress=False)
    for name, modality in (("rna", "counts"), ("atac_ga", "activity")):
        ranking = query[name].uns["scmpt_attributions"]
        assert list(ranking["by_modality"]) == [modality]
        assert set(ranking["names"]["CD19+ B"]) <= set(query[name].var_names)
        assert query[name].layers["scmpt_attributions"].shape == query[name].shape
        assert np.abs(ranking["scores"]["CD19+ B"]).max() > 0
    adata = query["rna"].copy()
    adata.obsm["atac_ga"] = query["atac_ga"].to_df()
    model.rank_attributions(adata, groupby=LABELS_KEY, n_cells_per_group=4, progress=False)
    beside = adata.uns["scmpt_attributions_activity"]
    assert beside["names"].tolist() == query["atac_ga"].uns["scmpt_attributions"]["names"].tolist()


def test_saved_and_loaded(model: SCMPT, query: MuData, tmp_path: Path) -> None:
    model.save(str(tmp_path / "model"), save_anndata=True)
    for data in (query, None, False):
        restored = SCMPT.load(str(tmp_path / "model"), adata=data)
        assert np.array_equal(restored.predict(query, soft=True), model.predict(query, soft=True))
    restored.save(str(tmp_path / "again"))
    for file in ("model.json", "model.safetensors"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "model" / file).read_bytes()


def test_a_query_without_it_is_predicted_without_it(model: SCMPT, query: MuData) -> None:
    with pytest.warns(UserWarning, match=r"modality 'activity', but there is no `adata.obsm\['atac_ga'\]`"):
        found = model.predict(MuData({"rna": query["rna"].copy()}), soft=True)
    assert np.allclose(found.sum(axis=1), 1)
    with pytest.warns(UserWarning, match="predictions do without it"):
        table = model.explain_cell(query["rna"], query.obs_names[0])
    assert list(table) == ["total", "counts", "value"]
    assert not table.index.str.startswith("activity:").any()


def test_ensembl_ids_are_names_of_genes(mdata: MuData, query: MuData) -> None:
    both = [mdata.copy(), query]
    for version, data in enumerate(both):
        data["atac_ga"].var_names = [f"ENSG{number:011d}.{version}" for number in range(N_ACTIVE)]
    model = trained_on(both[0])
    assert model.modalities.genes.features["activity"].genes[0].startswith("ENSG")
    assert (model.predict(both[1]) == both[1]["rna"].obs[LABELS_KEY]).mean() > 0.5
    assert model.explain_cell(both[1], query.obs_names[0]).index.str.startswith("activity:ENSG").any()


def test_refusals_before_anything_is_computed(model: SCMPT, mdata: MuData, query: MuData) -> None:
    fresh = mdata.copy()
    other = query["atac_ga"].copy()
    other.var_names = [f"GENE{number}A" for number in range(N_ACTIVE)]
    with pytest.raises(ValueError, match=r"genes that the modality 'activity' was trained on.*`mdata\['atac_ga'\].X`"):
        model.predict(of_activity(query, other))
    negative = query["atac_ga"].copy()
    negative.X = negative.X - sparse.csr_matrix(np.full(negative.shape, 0.5, dtype=np.float32))
    with pytest.raises(ValueError, match=r"non-negative expression in `mdata\['atac_ga'\].X`"):
        model.predict(of_activity(query, negative))
    with pytest.raises(ValueError, match="in its modality 'atac_ga', in the same order"):
        model.predict(of_activity(query, query["atac_ga"][::-1].copy()))
    SCMPT.setup_mudata(fresh, f"rna:{LABELS_KEY}", modalities=MODALITIES)
    with pytest.raises(
        ValueError, match="given twice: by `encoders` and by `obsm_keys`.*'counts' reads what you bring"
    ):
        SCMPT(fresh, encoders={"activity": "scgpt-mini"})
    with pytest.raises(ValueError, match="`genes` are those that encoders and expression itself read"):
        SCMPT(fresh, encoders={"activity": "counts"}, genes=list(fresh["rna"].var_names[:50]))
    with pytest.raises(ValueError, match="under the name that `setup_anndata` gave it; there are 'activity'"):
        SCMPT(fresh, encoders={"counts": "counts", "activty": "counts"})
    with pytest.raises(ValueError, match="'atac_ga' is the modality 'activity'"):
        SCMPT(fresh, encoders={"atac_ga": "counts"})
    peaks = mdata.copy()
    peaks["atac_ga"].var_names = [f"chr1:{start}-{start + 500}" for start in range(0, 1000 * N_ACTIVE, 1000)]
    SCMPT.setup_mudata(peaks, f"rna:{LABELS_KEY}", modalities=MODALITIES)
    with pytest.raises(
        ValueError, match=r"names of genes in the modality 'activity'.*genomic intervals \(ATAC peaks\)"
    ):
        SCMPT(peaks, encoders={"activity": "counts"})
    adata = mdata["rna"].copy()
    adata.obsm["ga"] = mdata["atac_ga"].X.toarray()
    SCMPT.setup_anndata(adata, LABELS_KEY, obsm_keys={"activity": "ga"})
    with pytest.raises(ValueError, match="found columns without names"):
        SCMPT(adata, encoders={"activity": "counts"})


def test_a_table_of_an_anndata_and_cells_without_a_row(model: SCMPT, mdata: MuData, query: MuData) -> None:
    adata = query["rna"].copy()
    adata.obsm["atac_ga"] = query["atac_ga"].to_df()
    assert np.array_equal(model.predict(adata, soft=True), model.predict(query, soft=True))
    adata.obsm["atac_ga"].iloc[3] = np.nan  # as `anndata.concat` leaves cells of which others have a row
    with pytest.warns(UserWarning, match="1 of 88 cells have no expression in the modality 'activity'"):
        found = model.predict(adata)
    assert found[3] == "Unknown"
    cells = mdata["rna"].copy()
    cells.obsm["ga"] = mdata["atac_ga"].to_df()
    SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"activity": "ga"})
    same = SCMPT(cells, encoders={"counts": "counts", "activity": {"encoder": "counts", "n_genes": 200}})
    same.train()
    assert np.allclose(same.predict(soft=True), model.predict(soft=True), atol=1e-6)


def test_ablation_leaves_it_as_it_is(model: SCMPT, query: MuData) -> None:
    table = ablation.run(model, query, [ablation.Shuffle()], n_replicates=1, progress=False)
    assert set(table["ablation"]) == {"intact", ablation.Shuffle().name}


def test_activity_alone(mdata: MuData, query: MuData, tmp_path: Path) -> None:
    fresh = mdata.copy()
    SCMPT.setup_mudata(fresh, f"rna:{LABELS_KEY}", modalities=MODALITIES)
    model = SCMPT(fresh, encoders={"activity": "counts"})
    model.train()
    assert (model.predict(query) == query["rna"].obs[LABELS_KEY]).mean() > 0.5
    model.rank_attributions(query, groupby=f"rna:{LABELS_KEY}", n_cells_per_group=2, progress=False)
    assert "scmpt_attributions" in query["atac_ga"].uns
    assert "scmpt_attributions" not in query["rna"].uns  # nothing of it was read
    with pytest.raises(KeyError, match="No 'atac_ga' in `adata.obsm`"):
        model.predict(query["rna"])
    model.save(str(tmp_path / "model"))
    saved = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    del saved["modalities"]["own_genes"]
    (tmp_path / "model" / "model.json").write_text(json.dumps(saved), encoding="utf-8")
    with pytest.raises(ValueError, match="the genes of 'activity'"):
        SCMPT.load(str(tmp_path / "model"), adata=False)


def test_a_panel_is_of_the_rna_alone(mdata: MuData) -> None:
    fresh = mdata.copy()
    SCMPT.setup_mudata(fresh, f"rna:{LABELS_KEY}", modalities=MODALITIES)
    encoders = {"counts": "counts", "activity": "counts"}
    model = SCMPT(fresh, encoders=encoders, genes=list(fresh["rna"].var_names[50:100]))
    assert model.modalities.dims == {"counts": 50, "activity": N_ACTIVE}


@pytest.mark.parametrize("organism", ["human", "mouse"])
def test_a_query_of_another_species(model: SCMPT, mdata: MuData, query: MuData, organism: str) -> None:
    def of_mice(data: MuData) -> MuData:
        parts = {name: as_mouse(data[name]) for name in ("rna", "atac_ga")}
        return MuData(parts)

    if organism == "mouse":
        expected, cells, trained = query, of_mice(query), model
    else:
        reference = of_mice(mdata)
        SCMPT.setup_mudata(reference, f"rna:{LABELS_KEY}", modalities=MODALITIES, organism="mouse")
        trained = SCMPT(reference, encoders={"counts": "counts", "activity": "counts"})
        trained.train()
        expected = cells = query
    labels = expected["rna"].obs[LABELS_KEY].astype(str)
    assert (trained.predict(cells, organism=organism) == labels).mean() > 0.6
    table = trained.explain_cell(cells, cells.obs_names[0], organism=organism)
    assert table.index.str.startswith("activity:").any()
