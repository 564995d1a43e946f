"""Registration: what is accepted, what is refused and how, and that nothing of the user's changes."""

import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from tests._adata import LABELS_KEY, snapshot

from scmpt_scverse import SCMPT
from scmpt_scverse.modalities import DEFAULT_PRESET, preset_of
from scmpt_scverse.module._fusion_concat import ConcatFusion
from scmpt_scverse.module._fusion_stacked import StackedFusion


def test_adds_only_scvi_names(embedded: AnnData) -> None:
    before = snapshot(embedded)
    SCMPT.setup_anndata(embedded, LABELS_KEY, batch_key="phase", obsm_keys={"expression": "X_pca"})
    assert {column for column in embedded.obs if column.startswith("_scvi")} == {"_scvi_labels", "_scvi_batch"}
    embedded.obs = embedded.obs[[column for column in embedded.obs if not column.startswith("_scvi")]]
    for key in [key for key in embedded.uns if key.startswith("_scvi")]:
        del embedded.uns[key]
    assert snapshot(embedded) == before


def test_fortran_order_and_sparse_arrays_are_left_as_they_are(embedded: AnnData) -> None:
    for matrix in (np.asfortranarray(embedded.X.toarray()), sparse.csr_array(embedded.X), sparse.csc_array(embedded.X)):
        cells = embedded.copy()
        cells.X = matrix
        SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"expression": "X_pca"})
        assert cells.X is matrix


def test_global_random_state_is_left_alone(embedded: AnnData) -> None:
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"expression": "X_pca"})
    SCMPT(embedded)
    assert np.random.rand() == expected  # noqa: NPY002


def test_runs_no_encoder_and_may_come_before_embeddings(pbmc: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scmpt_scverse.encoders.get", lambda *_, **__: pytest.fail("an encoder was made"))
    SCMPT.setup_anndata(pbmc, LABELS_KEY)
    model = SCMPT(pbmc)
    assert model.modalities.keys == {
        "text": "X_minilm-genes",
        "knowledge": "X_knowledge",
        "expression": "X_scgpt-mini",
        "counts": "X_counts",
    }
    assert isinstance(model.module.head, StackedFusion)
    model = SCMPT(pbmc, preset="large")
    assert model.modalities.keys == {"text": "X_ember-v1", "expression": "X_scgpt-human", "counts": "X_counts"}
    assert isinstance(model.module.head, StackedFusion)
    model = SCMPT(pbmc, preset="paper")  # neither of whose encoders is on this machine
    assert "text: X_ember-v1, expression: X_scgpt-human}" in model._model_summary_string
    assert isinstance(model.module.head, ConcatFusion)
    assert sum(parameter.numel() for parameter in model.module.head.hidden.parameters()) == 1537 * 4096


def test_presets_can_be_overridden(pbmc: AnnData) -> None:
    SCMPT.setup_anndata(pbmc, LABELS_KEY)
    model = SCMPT(pbmc, encoders={"text": "minilm"}, preset="paper")
    assert (model.modalities.names, type(model.module.head)) == (["text"], ConcatFusion)
    model = SCMPT(pbmc, fusion="concat", n_hidden=8)
    assert (model.modalities.names, type(model.module.head)) == (
        ["text", "knowledge", "expression", "counts"],
        ConcatFusion,
    )
    SCMPT.setup_anndata(pbmc, LABELS_KEY, obsm_keys={"mine": "X_pca"})
    assert SCMPT(pbmc).modalities.names == ["mine"]
    assert SCMPT(pbmc, preset="mini").modalities.names == ["text", "knowledge", "expression", "counts", "mine"]
    assert SCMPT(pbmc, preset=inspect.signature(SCMPT.__init__).parameters["preset"].default).modalities.names == [
        "mine"
    ]
    with pytest.raises(ValueError, match="Unknown `preset='minni'`. Choose one of 'mini', 'large', 'paper'. Did you"):
        SCMPT(pbmc, preset="minni")


def test_the_signature_shows_the_preset() -> None:
    default = inspect.signature(SCMPT.__init__).parameters["preset"].default
    assert (repr(default), DEFAULT_PRESET) == ("'mini'", default)
    assert preset_of(default) is preset_of("mini")


def test_labels_are_sorted_and_the_unlabeled_category_comes_last(embedded: AnnData) -> None:
    embedded.obs["y"] = pd.Series(["b", "a", "Unknown", "c"] * 50, dtype=object).to_numpy()[: embedded.n_obs]
    SCMPT.setup_anndata(embedded, "y", obsm_keys={"e": "X_pca"})
    model = SCMPT(embedded)
    assert model.labels.tolist() == ["a", "b", "c"]
    assert model.unlabeled_category == "Unknown"
    assert embedded.obs["_scvi_labels"].tolist()[:4] == [1, 0, 3, 2]


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 1, 2],
        [True, False, True, False],
        pd.Categorical(["1", "2", None, "1"]),
        ["1", None, np.nan, "2"],
        [1.0, 2.0, np.nan, 1.0],
    ],
    ids=["int", "bool", "categorical", "missing", "float"],
)
def test_labels_of_any_type(embedded: AnnData, values: Any) -> None:
    cells = embedded[:4].copy()
    cells.obs["y"] = values
    SCMPT.setup_anndata(cells, "y", obsm_keys={"e": "X_pca"})
    model = SCMPT(cells)
    assert model.summary_stats.n_labels == 2
    assert all(isinstance(label, str) for label in model.labels)
    missing = pd.isna(cells.obs["y"]).to_numpy()
    assert ((cells.obs["_scvi_labels"] == 2).to_numpy() == missing).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"labels_key": "bulk_label"}, KeyError, "No 'bulk_label' in `adata.obs`.*Did you mean 'bulk_labels'"),
        ({"labels_key": LABELS_KEY, "layer": "counts"}, KeyError, "No 'counts' in `adata.layers`; found none"),
        ({"labels_key": LABELS_KEY, "batch_key": "donor"}, KeyError, "No 'donor' in `adata.obs`"),
        (
            {"labels_key": LABELS_KEY, "obsm_keys": {"text": "X_mine"}},
            KeyError,
            "No 'X_mine' in `adata.obsm`; found .*'X_pca'",
        ),
        ({"labels_key": "one"}, ValueError, "at least two labels .*found only 'B cell' beside the unlabeled category"),
        ({"labels_key": "none"}, ValueError, "at least two labels .*found no labelled cell"),
    ],
)
def test_refusals(embedded: AnnData, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    embedded.obs["one"], embedded.obs["none"] = "B cell", "Unknown"
    before = snapshot(embedded)
    with pytest.raises(error, match=message):
        SCMPT.setup_anndata(embedded, **arguments)
    assert snapshot(embedded) == before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((175, 3), np.nan), r"found NaN or infinite ones in 175 of 175 cells, such as 'AAAGCC"),
        (np.zeros((175, 0)), r"shape \(n_obs, dim\).*found shape \(175, 0\)"),
        (np.full((175, 2), "x"), r"Expected numbers of shape"),
    ],
)
def test_own_embeddings_are_checked_at_once(embedded: AnnData, values: Any, message: str) -> None:
    embedded.obsm["X_mine"] = values
    with pytest.raises(ValueError, match=message):
        SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"text": "X_mine"})


def test_views_are_refused_by_their_name(embedded: AnnData) -> None:
    with pytest.raises(ValueError, match=r"found a view. Pass `adata.copy\(\)`"):
        SCMPT.setup_anndata(embedded[:50], LABELS_KEY, obsm_keys={"e": "X_pca"})


def test_model_arguments(embedded: AnnData) -> None:
    SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"text": "X_pca"})
    with pytest.raises(ValueError, match="The modality 'text' is given twice: by `encoders` and by `obsm_keys`"):
        SCMPT(embedded, encoders={"text": "minilm"})
    with pytest.raises(ValueError, match="Unknown encoder 'minilmm'.*Did you mean 'minilm'"):
        SCMPT(embedded, encoders={"other": "minilmm"})
    with pytest.raises(TypeError, match="`encoders` must map modalities to encoders"):
        SCMPT(embedded, encoders="minilm")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="An encoder must be a name, a hub id, a folder"):
        SCMPT(embedded, encoders={"other": 3})  # type: ignore[dict-item]
    wrong: dict[str, Any] = {"n_hidden": 0, "n_layers": 0, "dropout_rate": 1.0}
    for argument, value in wrong.items():
        with pytest.raises(ValueError, match=f"`{argument}`"):
            SCMPT(embedded, **{argument: value})
    SCMPT.setup_anndata(embedded, LABELS_KEY)
    with pytest.raises(ValueError, match="There is no modality to fuse"):
        SCMPT(embedded, encoders={})


def test_annbatch_needs_no_loader_of_its_own() -> None:
    with pytest.raises(NotImplementedError, match="read_lazy.*use setup_anndata"):
        SCMPT.setup_annbatch()


def test_own_embeddings_are_not_copied(embedded: AnnData) -> None:
    for values in (np.asfortranarray(embedded.obsm["X_pca"]), sparse.csc_matrix(embedded.obsm["X_pca"])):
        embedded.obsm["X_mine"] = values
        before = embedded.obsm["X_mine"]
        SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"e": "X_mine"})
        assert embedded.obsm["X_mine"] is before
        model = SCMPT(embedded, fusion="concat", n_hidden=8)
        model.train(max_epochs=1, enable_progress_bar=False)
        assert len(model.predict()) == 175
        assert embedded.obsm["X_mine"] is before
