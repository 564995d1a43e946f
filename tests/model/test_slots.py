"""Everything that a model writes: it replaces what an earlier run wrote, survives files, and is refused beforehand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse
from tests._adata import LABELS_KEY, snapshot
from tests._llm import ChatServer

from scmpt_scverse import SCMMGPT, SCMPT, pl, tl

RANKING = "scmpt_attributions"


@pytest.fixture(scope="module")
def slashed(_embedded: AnnData) -> tuple[SCMPT, AnnData]:
    """A model of labels that no file can hold as names, and cells with everything that the package writes."""
    cells = _embedded.copy()
    renamed = {"CD56+ NK": "T/NK cell", "CD19+ B": "B|plasma/x", "Dendritic": "_index", "CD34+": "stem " * 60}
    cells.obs["label"] = cells.obs[LABELS_KEY].astype(str).replace(renamed)
    SCMPT.setup_anndata(cells, "label", obsm_keys={"expression": "X_pca"})
    model = SCMPT(cells, encoders={"text": {"encoder": "minilm", "max_genes": 10}}, fusion="stacked")
    model.train()
    return model, cells


@pytest.fixture(scope="module")
def _written(
    slashed: tuple[SCMPT, AnnData], _chat_server: ChatServer, tmp_path_factory: pytest.TempPathFactory
) -> AnnData:
    model, cells = slashed
    cells = cells.copy()
    del cells.obs["_scvi_labels"]
    model.annotate(cells)
    options: dict[str, Any] = {"n_cells_per_group": 2, "progress": False}
    model.rank_attributions(cells, groupby="label", per_cell=True, **options)
    answers: dict[str, Any] = {"cache_path": tmp_path_factory.mktemp("llm") / "answers.jsonl", "progress": False}
    rows = np.arange(10)
    model.refine(cells, _chat_server.client(), cells=rows, weight=0.5, context="a\0b", key_added="mine", **answers)
    tl.annotate_with_llm(cells, _chat_server.client("none-fits"), list(model.labels), cluster_key="louvain", **answers)
    tl.back_off(cells, overrides=dict.fromkeys(model.labels, "CL:0000084"), key_added="mine")
    return cells


@pytest.fixture
def written(_written: AnnData) -> AnnData:
    return _written.copy()


def _assert_same(found: Any, expected: Any, where: str) -> None:
    if isinstance(expected, Mapping):
        assert set(found) == set(expected), where
        for key in expected:
            _assert_same(found[key], expected[key], f"{where}[{key!r}]")
    elif isinstance(expected, pd.DataFrame):
        assert list(found.columns) == list(expected.columns), where
        for column in expected:
            _assert_same(found[column].to_numpy(), expected[column].to_numpy(), f"{where}[{column!r}]")
    elif sparse.issparse(expected):
        assert (found != expected).nnz == 0, where
    elif getattr(expected, "dtype", None) is not None and expected.dtype.names:
        assert found.dtype.names == expected.dtype.names, where
        for name in expected.dtype.names:
            _assert_same(found[name], expected[name], f"{where}[{name!r}]")
    else:
        one, other = np.atleast_1d(np.asarray(found, dtype=object)), np.atleast_1d(np.asarray(expected, dtype=object))
        assert pd.isna(one).tolist() == pd.isna(other).tolist(), where
        assert one[~pd.isna(one)].tolist() == other[~pd.isna(other)].tolist(), where


@pytest.mark.parametrize(("kind", "version"), [("h5ad", 2), ("zarr", 2), ("zarr", 3)])
@pytest.mark.filterwarnings(
    "ignore:.*zarr v2",
    "ignore:.*Zarr V3 specification",
    "ignore:.*Consolidated metadata",
    "ignore:.*autosharding",
    "ignore:This setting will be removed",
    "ignore:zarr v3 will become the only option",
)
def test_every_slot_survives_files(written: AnnData, tmp_path: Path, kind: str, version: int) -> None:
    path = tmp_path / f"cells.{kind}"
    with anndata.settings.override(zarr_write_format=version):
        getattr(written, f"write_{kind}")(path)
    back = getattr(anndata, f"read_{kind}")(path)

    for container in ("obs", "obsm", "layers", "uns"):
        slots, expected = getattr(back, container), getattr(written, container)
        # anndata 0.13 lists X among the layers, as None
        ours = [key for key in expected if key is not None and key.startswith(("scmpt", "mine", "X_minilm"))]
        assert len(ours) >= {"obs": 14, "obsm": 4, "layers": 1, "uns": 2}[container]
        for key in ours:
            _assert_same(slots[key], expected[key], f"{container}[{key!r}]")
    group = "T/NK cell"
    table = sc.get.rank_genes_groups_df(back, group, key=RANKING)
    pd.testing.assert_frame_equal(table, sc.get.rank_genes_groups_df(written, group, key=RANKING), check_dtype=False)
    (ax,) = pl.attributions(back, kind="dots", groups=[group], show=False)
    assert ax.get_yticklabels()[0].get_text() == group


def test_a_second_run_leaves_nothing_of_the_first(written: AnnData, slashed: tuple[SCMPT, AnnData]) -> None:
    model, _ = slashed
    written.uns["scmpt_prediction_colors"] = ["#abcdef"] * len(written.obs["scmpt_prediction"].cat.categories)
    del written.obsm["X_pca"]  # one modality is left
    with pytest.warns(UserWarning, match="predictions do without it"):
        model.annotate(written, reject={"coverage": 0.5})
    assert "scmpt_disagreement" not in written.obs
    assert list(written.obsm["scmpt_contributions"]) == ["text"]
    kinds = written.obs["scmpt_prediction"].cat.categories
    colours = dict(zip(kinds, written.uns["scmpt_prediction_colors"], strict=True))
    assert colours.pop("Unknown") != "#abcdef", "a new label gets no label's colour"
    assert set(colours.values()) == {"#abcdef"}


def test_a_ranking_without_cells_removes_their_layer(trained: SCMPT, embedded: AnnData) -> None:
    options: dict[str, Any] = {"groupby": LABELS_KEY, "n_cells_per_group": 1, "progress": False}
    trained.rank_attributions(embedded, groups=["CD34+"], per_cell=True, key_added="mine", **options)
    assert "mine" in embedded.layers
    trained.rank_attributions(embedded, groups=["CD34+"], key_added="other", **options)
    assert "mine" in embedded.layers
    trained.rank_attributions(embedded, groups=["Dendritic"], key_added="mine", **options)
    assert "mine" not in embedded.layers
    assert embedded.uns["mine"]["names"].dtype.names == ("Dendritic",)


def test_what_only_reads_writes_nothing(trained: SCMPT, embedded: AnnData) -> None:
    before = snapshot(embedded)
    trained.predict(embedded)
    trained.predict_sets(embedded)
    with pytest.warns(UserWarning, match="were trained on"):
        trained.evaluate(embedded, indices=range(100), baselines=())
    curves = trained.deletion_curves(embedded, n_cells=2, counts=(0, 5), progress=False)
    tl.faithfulness(curves)
    trained.explain_cell(embedded, embedded.obs_names[0])
    assert snapshot(embedded) == before


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever reads cells fails."""

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("work began before the arguments were checked")

    monkeypatch.setattr("scmpt_scverse.pp._expression.ExpressionReader.__init__", fail)
    monkeypatch.setattr("scmpt_scverse.modalities._modalities.Modalities.read", fail)


BAD_KEYS = ["a/b", "", ".", "_index", 5, None, "x" * 300]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("key", BAD_KEYS)
def test_keys_are_checked_before_any_work(trained: SCMPT, embedded: AnnData, server: ChatServer, key: Any) -> None:
    calls = {
        "annotate": lambda: trained.annotate(embedded, key_added=key),
        "rank_attributions": lambda: trained.rank_attributions(embedded, key_added=key),
        "refine": lambda: trained.refine(embedded, server.client(), key_added=key),
        "annotate_with_llm": lambda: tl.annotate_with_llm(embedded, server.client(), ["T", "B"], key_added=key),
    }
    if key is not None:  # of these, the default
        calls["back_off"] = lambda: tl.back_off(embedded, key_added=key)
        calls["embed"] = lambda: tl.embed(embedded, "minilm", key_added=key)
    for name, call in calls.items():
        with pytest.raises(ValueError, match=r"key_added|HDF5 does not allow slashes|zarr makes names"):
            call()
        assert not server.received(), name


@pytest.mark.usefixtures("no_work")
def test_what_the_model_reads_is_not_overwritten(slashed: tuple[SCMPT, AnnData], server: ChatServer) -> None:
    _, cells = slashed
    cells = cells.copy()
    cells.obs["me_prediction"] = cells.obs["label"]
    cells.obs["a_confidence"] = "batch"
    cells.obsm["b_probabilities"] = cells.obsm["X_pca"]
    obsm_keys = {"expression": "b_probabilities"}
    SCMPT.setup_anndata(cells, "me_prediction", batch_key="a_confidence", obsm_keys=obsm_keys)
    model = SCMPT(cells)
    model.is_trained = True
    for key in ("me", "a", "b"):
        with pytest.raises(ValueError, match=rf"than `adata.obsm?\['{key}_.*', which is read|which is read"):
            model.annotate(cells, key_added=key)
    cells.obs["c_llm_prediction"] = "cluster"
    for call in (
        lambda: model.refine(cells, server.client(), cells="clusters", cluster_key="c_llm_prediction", key_added="c"),
        lambda: tl.annotate_with_llm(cells, server.client(), ["T"], cluster_key="c_llm_prediction", key_added="c"),
    ):
        with pytest.raises(ValueError, match=r"than `adata.obs\['c_llm_prediction'\]`, which is read"):
            call()


@pytest.mark.usefixtures("no_work")
def test_more_groups_than_a_file_holds_are_refused(trained: SCMPT, embedded: AnnData) -> None:
    embedded.obs["group"] = [f"{number:04}".ljust(800, "x") for number in range(embedded.n_obs)]
    with pytest.raises(ValueError, match=r"found 175 groups that need 1\d\d,\d\d\d.*Pass fewer with `groups=`"):
        trained.rank_attributions(embedded, groupby="group")


@pytest.mark.parametrize("key", [".", "_index"])
def test_keys_that_no_record_can_have_are_refused_by_a_text_model(pbmc: AnnData, key: str) -> None:
    model, labels = SCMMGPT.from_pretrained("scmmgpt-mini"), ["B cell", "T cell"]
    before = snapshot(pbmc)
    for call in (
        lambda: model.annotate(pbmc, labels, key_added=key),
        lambda: model.describe(pbmc, "louvain", labels=labels, key_added=key),
        lambda: model.search(pbmc, "B cell", key_added=key),
    ):
        with pytest.raises(ValueError, match="files have another use for this name"):
            call()
    assert snapshot(pbmc) == before
