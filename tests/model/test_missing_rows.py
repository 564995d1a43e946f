"""Cells without an embedding beside cells that have one, as `anndata.concat` leaves them."""

import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from tests._adata import LABELS_KEY
from tests._model import probabilities

from scmpt_scverse import SCMPT, encoders
from scmpt_scverse.encoders import Encoder
from scmpt_scverse.pp import GeneExpression

KEY = "X_minilm"


@pytest.fixture(scope="module")
def query(_pbmc: AnnData) -> AnnData:
    """21 cells that the model did not see, without embedding by the encoder."""
    return _pbmc[1:84:4].copy()


@pytest.fixture(scope="module")
def expected(_trained: tuple[SCMPT, AnnData], query: AnnData) -> np.ndarray:
    """Probabilities of these cells, predicted alone."""
    return probabilities(_trained[0], query.copy()).to_numpy()


def joined(reference: AnnData, query: AnnData, **options: Any) -> AnnData:
    return ad.concat([reference, query], join="outer", **{"uns_merge": "unique", **options})


def with_another_modality(rna: AnnData) -> MuData:
    other = rna[:, :3].copy()
    other.var_names = ["a", "b", "c"]
    mdata = MuData({"rna": rna, "other": other})
    mdata.obs["cell_type"] = rna.obs[LABELS_KEY]
    return mdata


def count_encoded(monkeypatch: pytest.MonkeyPatch, encoder: Encoder) -> list[int]:
    """Fills with the number of cells that the encoder is given."""
    seen: list[int] = []
    prepare = type(encoder).prepare

    def counted(self: Encoder, expression: GeneExpression) -> Any:
        seen.append(expression.matrix.shape[0])
        return prepare(self, expression)

    monkeypatch.setattr(type(encoder), "prepare", counted)
    return seen


@pytest.mark.parametrize("fill_value", [None, 0.0], ids=["NaN", "zeros"])
@pytest.mark.parametrize("method", ["predict", "annotate", "embed", "indices", "view", "file"])
def test_they_are_embedded_and_no_other_cell_is(
    trained: SCMPT,
    embedded: AnnData,
    query: AnnData,
    expected: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    method: str,
    fill_value: float | None,
) -> None:
    both = joined(embedded, query, fill_value=fill_value)
    before = both.obsm[KEY][:175].copy()
    seen = count_encoded(monkeypatch, trained.modalities.built["text"])
    rows = np.arange(175, 196)
    if method == "annotate":
        trained.annotate(both)
        found = both.obsm["scmpt_probabilities"].to_numpy()[rows]
    elif method == "embed":
        trained.embed(both, progress=False)
        assert np.isfinite(both.obsm[KEY]).all()
        found = probabilities(trained, both).to_numpy()[rows]
    elif method == "indices":
        found = probabilities(trained, both, indices=rows[::-1]).to_numpy()[::-1]
    elif method == "view":
        view = both[100:]
        found = probabilities(trained, view).to_numpy()[-21:]
        assert view.is_view
    elif method == "file":
        both.write_h5ad(tmp_path / "both.h5ad")
        found = probabilities(trained, ad.read_h5ad(tmp_path / "both.h5ad", backed="r")).to_numpy()[rows]
    else:
        found = probabilities(trained, both).to_numpy()[rows]
    assert np.abs(found - expected).max() < 1e-5
    assert sum(seen) == 21
    assert np.array_equal(both.obsm[KEY][:175], before)
    is_written = method in {"predict", "annotate", "embed"}
    assert (np.isfinite(both.obsm[KEY][175:]).all() and both.obsm[KEY][175:].any(axis=1).all()) == is_written


@pytest.mark.parametrize("kind", [AnnData, MuData])
def test_training_reads_them_too(embedded: AnnData, query: AnnData, kind: type) -> None:
    both = joined(embedded, query)
    data: Any = both
    if kind is MuData:
        data = with_another_modality(both)
        SCMPT.setup_mudata(data, "cell_type", modalities={"expression": "rna"})
    else:
        SCMPT.setup_anndata(data, LABELS_KEY)
    model = SCMPT(data, encoders={"text": encoders.get("minilm", max_genes=10)}, fusion="stacked")
    model.train()  # a warning would be an error
    assert len(model.train_indices) == 196
    assert np.isfinite((data["rna"] if kind is MuData else data).obsm[KEY]).all()


@pytest.fixture
def part(trained: SCMPT, embedded: AnnData, query: AnnData) -> AnnData:
    """Embedded cells and others, of which two express nothing."""
    values = query.X.toarray()
    values[[2, 7]] = 0
    query = AnnData(sparse.csr_matrix(values), query.obs, query.var, obsm={"X_pca": query.obsm["X_pca"]})
    return joined(embedded, query)


def test_cells_that_cannot_be_read_are_counted_each_time(trained: SCMPT, part: AnnData) -> None:
    reason = "2 of 196 cells have no expression in any gene that 'minilm' knows; they are not trained on and stay unl"
    for _ in range(2):
        with pytest.warns(UserWarning, match=reason):
            labels = trained.predict(part)
        assert np.flatnonzero(labels == "Unknown").tolist() == [177, 182]
    with pytest.warns(UserWarning, match="1 of 3 cells have no expression"):
        assert np.isnan(probabilities(trained, part, indices=[3, 177, 190])).any(axis=1).tolist() == [
            False,
            True,
            False,
        ]
    SCMPT.setup_anndata(part, LABELS_KEY)
    model = SCMPT(part, encoders={"text": {"encoder": "minilm", "max_genes": 10}}, fusion="stacked")
    with pytest.warns(UserWarning, match=reason):
        model.train()
    assert not np.isin([177, 182], model.train_indices).any()


@pytest.mark.filterwarnings("ignore:158 of 196 cells were trained on")
def test_the_warning_points_at_the_caller(trained: SCMPT, part: AnnData) -> None:
    for call in (trained.predict, trained.annotate, trained.evaluate, trained.get_latent_representation):
        with pytest.warns(UserWarning, match="2 of 196 cells have no expr") as caught:
            call(part)
        assert {warning.filename for warning in caught if "no expression" in str(warning.message)} == {__file__}


def test_cross_validation_counts_them_once(part: AnnData) -> None:
    SCMPT.setup_anndata(part, LABELS_KEY)
    model = SCMPT(part, encoders={"text": {"encoder": "minilm", "max_genes": 10}}, fusion="stacked")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.cross_validate(n_splits=2, baselines=("majority",))
    unread = [str(warning.message) for warning in caught if "have no expression" in str(warning.message)]
    assert len(unread) == 1
    assert unread[0].startswith("2 of 196 cells")


def test_without_expression_the_reason_is_said(trained: SCMPT, embedded: AnnData, query: AnnData) -> None:
    both = joined(embedded, query)
    scaled = both.copy()
    scaled.X = scaled.X.toarray() - 1
    with pytest.warns(
        UserWarning,
        match=r"21 of 196 cells have no embedding by 'minilm', and it cannot be made;.*Expected non-negative",
    ):
        labels = trained.predict(scaled)
    assert (labels[175:] == "Unknown").all()
    assert (labels[:175] == trained.predict(embedded)).all()
    without = AnnData(None, both.obs, obsm=dict(both.obsm), uns=dict(both.uns))
    with pytest.warns(
        UserWarning, match="21 of 196 cells have no embedding by 'minilm'.*Expected expression in `adata.X`; fo"
    ):
        trained.predict(without)


def test_a_lost_record_is_explained(trained: SCMPT, embedded: AnnData, query: AnnData) -> None:
    trained.embed(query := query.copy(), progress=False)
    with pytest.raises(ValueError, match="nothing records which encoder made it.*pass `uns_merge='unique'` there"):
        trained.predict(joined(embedded, query, uns_merge=None))
    query.uns["scmpt"]["embeddings"][KEY]["fingerprint"] = "0" * 64  # of another encoder of the same width
    with pytest.raises(ValueError, match="nothing records which encoder made it"):
        trained.predict(joined(embedded, query))


@pytest.mark.parametrize("in_mudata", [False, True])
def test_own_arrays_of_some_cells(trained: SCMPT, embedded: AnnData, query: AnnData, in_mudata: bool) -> None:
    without = AnnData(query.X, query.obs, query.var)
    both = joined(embedded, without)
    expected = trained.predict(embedded)
    message = r"21 of 196 cells have no values in `adata.obsm\['X_pca'\]`; they are not trained on and stay unlabelled"
    with pytest.warns(UserWarning, match=message):
        labels = trained.predict(both)
    assert (labels == [*expected, *["Unknown"] * 21]).all()
    with pytest.warns(UserWarning, match="21 of 21 cells have no values"):  # as in the company of others
        assert set(trained.predict(both[175:].copy())) == {"Unknown"}
    data: Any = both
    if in_mudata:
        data = with_another_modality(both)
        SCMPT.setup_mudata(data, "cell_type", modalities={"expression": "rna"}, obsm_keys={"mine": "X_pca"})
    else:
        SCMPT.setup_anndata(both, LABELS_KEY, obsm_keys={"mine": "X_pca"})
    model = SCMPT(data, fusion="stacked")
    with pytest.warns(UserWarning, match=message):
        model.train()
    assert len(model.train_indices) == 175
    both.obsm["X_pca"][3, 0] = np.nan
    with pytest.raises(ValueError, match="found NaN or infinite ones in 1 of 196 cells"):
        model.predict(data)


def test_expression_itself_of_a_cell_without_any(pbmc: AnnData) -> None:
    cells, empty = pbmc[::4].copy(), pbmc[1:10].copy()
    values = empty.X.toarray()
    values[3] = 0
    empty.X = sparse.csr_matrix(values)
    cells.obsm.clear()
    empty.obsm.clear()
    SCMPT.setup_anndata(cells, LABELS_KEY)
    model = SCMPT(cells, encoders={"counts": {"encoder": "counts", "n_genes": 100}}, fusion="stacked")
    model.train()
    with pytest.warns(UserWarning, match="1 of 9 cells have no expression; they are not trained on"):
        labels = model.predict(empty)
    assert np.flatnonzero(labels == "Unknown").tolist() == [3]
    SCMPT.setup_anndata(empty, LABELS_KEY)
    again = SCMPT(empty, encoders={"counts": {"encoder": "counts", "n_genes": 100}}, fusion="stacked")
    with pytest.warns(UserWarning, match="1 of 9 cells have no expression"):
        again.train()
    assert 3 not in again.train_indices


def test_an_encoder_that_is_not_there_is_not_needed_for_cells_without_expression(
    trained: SCMPT, part: AnnData, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del part.X
    part.X = sparse.csr_matrix(part.shape, dtype=np.float32)
    loaded = SCMPT.load(str(saved), adata=False)
    monkeypatch.setattr("scmpt_scverse.encoders.get", lambda *_, **__: pytest.fail("loaded"))
    with pytest.warns(UserWarning, match="21 of 196 cells have no expression in any gene that 'minilm' knows"):
        loaded.predict(part)
