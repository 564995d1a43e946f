"""Promises of the whole model: trained again it calibrates anew, knows its data, and treats each cell by itself."""

from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from docs.developer.examples.toy_encoder import ToyEncoder
from scipy import sparse
from tests._adata import LABELS_KEY
from tests._model import probabilities

from scmpt_scverse import SCMPT, trust
from scmpt_scverse.modalities import ExpressionSource, cell_keys
from scmpt_scverse.module import in_batches
from scmpt_scverse.trust import TrainingRecord


def of_components(adata: AnnData, labels_key: str = LABELS_KEY, **options: Any) -> SCMPT:
    """Untrained, on two halves of the principal components."""
    adata.obsm["X_first"], adata.obsm["X_second"] = adata.obsm["X_pca"][:, :5], adata.obsm["X_pca"][:, 5:]
    SCMPT.setup_anndata(adata, labels_key, obsm_keys={"first": "X_first", "second": "X_second"})
    return SCMPT(adata, **options)


def train(model: SCMPT, **options: Any) -> SCMPT:
    model.train(enable_progress_bar=False, **options)
    return model


def of_split(model: SCMPT, adata: AnnData, part: str) -> dict[str, Any]:
    return model.modalities.read(adata, np.asarray(getattr(model, f"{part}_indices")))


def test_a_solved_model_trained_again_is_that_of_the_second_training_alone(pbmc: AnnData) -> None:
    cells = pbmc[::2].copy()
    model = train(of_components(cells))
    before = model.calibration
    shuffled = np.random.default_rng(0).permutation(cells.obs[LABELS_KEY].to_numpy())
    cells.obs[LABELS_KEY] = pd.Categorical(shuffled, categories=cells.obs[LABELS_KEY].cat.categories)
    train(model)
    fresh = train(of_components(cells.copy()))
    assert before is not None
    assert model.calibration is not None
    assert fresh.calibration is not None
    assert model.calibration.is_correct.mean() < 0.5 < before.is_correct.mean()
    found, expected = model.calibration.arrays(), fresh.calibration.arrays()
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert float(model.module.temperature) == pytest.approx(fresh.calibration.temperature)
    assert model.novelty is not None
    assert fresh.novelty is not None
    for name, values in fresh.novelty.arrays().items():
        np.testing.assert_array_equal(model.novelty.arrays()[name], values, err_msg=name)
    query = pbmc[1::14].copy()
    query.obsm["X_first"], query.obsm["X_second"] = query.obsm["X_pca"][:, :5], query.obsm["X_pca"][:, 5:]
    pd.testing.assert_frame_equal(probabilities(model, query), probabilities(fresh, query))
    pd.testing.assert_frame_equal(model.predict_sets(query), fresh.predict_sets(query))
    assert model.record.digest == fresh.record.digest
    assert model.record.label_counts == fresh.record.label_counts
    np.testing.assert_array_equal(model.record.rows, fresh.record.rows)


def test_a_model_trained_again_on_other_cells_calibrates_on_those_held_out_now(pbmc: AnnData) -> None:
    model = train(of_components(pbmc, fusion="concat", n_hidden=16), max_epochs=2, train_size=0.9)
    first, first_rows = model.calibration, np.asarray(model.train_indices)
    train(model, max_epochs=2, train_size=0.6, seed=1)
    assert first is not None
    assert model.calibration is not None
    assert len(first.confidence) == 70
    assert len(model.calibration.confidence) == 280
    assert float(model.module.temperature) == pytest.approx(model.calibration.temperature)
    held_out = probabilities(model, indices=np.asarray(model.validation_indices)).to_numpy()
    np.testing.assert_allclose(np.sort(model.calibration.confidence), np.sort(held_out.max(axis=1)), atol=0.01)
    assert model.record.rows.tolist() == np.union1d(first_rows, np.asarray(model.train_indices)).tolist()
    assert sum(model.record.label_counts.values()) == len(model.record.rows) > 630


def test_a_model_trained_again_without_cells_to_calibrate_on_is_not_calibrated(pbmc: AnnData) -> None:
    model = train(of_components(pbmc, fusion="concat", n_hidden=16), max_epochs=2)
    assert float(model.module.temperature) != 1
    train(model, max_epochs=1, train_size=1.0)
    assert model.calibration is None
    assert float(model.module.temperature) == 1


def test_calibration_cells_are_scored_by_the_heads_that_left_them_out(pbmc: AnnData) -> None:
    model = train(of_components(pbmc))
    calibration = model.calibration
    assert calibration is not None
    inputs = of_split(model, pbmc, "train")
    states = list(calibration.fold_states)
    by_fold = in_batches(lambda each: (model.module.logits_by_fold(each, states),), inputs, torch.device("cpu"))[0]
    codes = pd.Index(model.labels).get_indexer(pbmc.obs[LABELS_KEY].astype(str))[np.asarray(model.train_indices)]
    odds = trust.log_odds(torch.from_numpy(by_fold)).numpy()
    own = odds[np.arange(len(codes)), calibration.folds, codes]
    np.testing.assert_allclose(own, calibration.true_scores, atol=0.02, rtol=0.01)
    final = trust.log_odds(torch.from_numpy(model.module.logits(inputs))).numpy()[np.arange(len(codes)), codes]
    assert np.mean(final - own) > 0.1  # the head that saw them is surer


def test_contributions_and_disagreement_are_those_of_the_modalities_alone(pbmc: AnnData) -> None:
    model = train(of_components(pbmc))
    model.annotate()
    inputs = {name: torch.from_numpy(rows[np.arange(700)]) for name, rows in model.modalities.read(pbmc).items()}
    standardised = model.module.standardised(inputs)
    with torch.no_grad():
        whole = model.module(inputs)
        nothing = model.module.logits_of_standardised({key: 0 * values for key, values in standardised.items()})
        alone = torch.stack([model.module({key: values}).argmax(dim=1) for key, values in inputs.items()])
    predicted = whole.argmax(dim=1)
    differs = (alone != predicted).float().mean(dim=0).numpy()
    assert set(differs) == {0, 0.5, 1}
    np.testing.assert_allclose(pbmc.obs["scmpt_disagreement"], differs)
    gain = (whole.log_softmax(1) - nothing.log_softmax(1)).gather(1, predicted[:, None])[:, 0]
    contributions = pbmc.obsm["scmpt_contributions"]
    np.testing.assert_allclose(contributions.sum(axis=1), gain, atol=1e-4)
    # A modality that alone says the same mostly speaks for the label.
    assert contributions["first"][alone[0].numpy() == predicted.numpy()].mean() > 0
    assert contributions["first"][alone[0].numpy() != predicted.numpy()].mean() < contributions["first"].mean()


def test_novelty_is_unknown_where_a_modality_is_missing(pbmc: AnnData) -> None:
    model = train(of_components(pbmc))
    query = pbmc[:30].copy()
    del query.obsm["X_second"]
    with pytest.warns(UserWarning, match="there is no `adata.obsm\\['X_second'\\]`"):
        model.annotate(query)
    assert query.obs["scmpt_novelty"].isna().all()
    assert query.obs["scmpt_confidence"].notna().all()


#: The same cells, stored in another way.
SAME: dict[str, Any] = {
    "copy": lambda cells: cells.copy(),
    "dense": lambda cells: AnnData(cells.X.toarray(), cells.obs, cells.var),
    "columns": lambda cells: AnnData(sparse.csc_matrix(cells.X), cells.obs, cells.var),
    "float64": lambda cells: AnnData(cells.X.astype(np.float64), cells.obs, cells.var),
    "genes permuted": lambda cells: cells[:, np.random.default_rng(0).permutation(cells.n_vars)].copy(),
    # A subset keeps the order of stored values, and this does not.
    "genes reversed": lambda cells: AnnData(sparse.csr_matrix(cells.X.toarray()[:, ::-1]), cells.obs, cells.var[::-1]),
    "stored zeros": lambda cells: AnnData(with_stored_zeros(cells.X), cells.obs, cells.var),
    "other labels": lambda cells: AnnData(cells.X, cells.obs.assign(**{LABELS_KEY: "B"}), cells.var),
}
#: Cells of the same names, or the same cells by other names.
OTHER: dict[str, Any] = {
    "content": lambda cells: AnnData(cells.X[::-1], cells.obs, cells.var),
    "names": lambda cells: AnnData(cells.X, cells.obs.set_axis([f"x{name}" for name in cells.obs_names]), cells.var),
}


def with_stored_zeros(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    stored = matrix.tolil().tocsr()
    stored[:5, :5] = 1.0
    stored[:5, :5] = matrix[:5, :5].toarray()
    stored.data[stored.data == 0] = 0
    assert (stored.data == 0).any()
    return stored


@pytest.fixture(scope="module")
def known(_pbmc: AnnData) -> tuple[SCMPT, AnnData]:
    return train(of_components(_pbmc.copy(), fusion="concat", n_hidden=8), max_epochs=1, train_size=0.8), _pbmc


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize("change", SAME)
def test_training_data_are_known_however_they_are_stored(known: tuple[SCMPT, AnnData], change: str) -> None:
    model, cells = known
    assert np.flatnonzero(model.is_training_cell(SAME[change](cells))).tolist() == sorted(model.train_indices)


@pytest.mark.parametrize("change", OTHER)
def test_other_data_of_the_same_names_are_no_training_data(known: tuple[SCMPT, AnnData], change: str) -> None:
    model, cells = known
    assert not model.is_training_cell(OTHER[change](cells)).any()


@pytest.mark.parametrize("row", [0, 123, 699])
def test_a_cell_that_was_changed_is_another_one(known: tuple[SCMPT, AnnData], row: int) -> None:
    model, cells = known
    spoilt = sparse.coo_matrix(([1.0], ([row], [0])), cells.shape)
    found = np.flatnonzero(model.is_training_cell(AnnData(cells.X + spoilt, cells.obs, cells.var)))
    assert found.tolist() == sorted(set(model.train_indices.tolist()) - {row})


def test_keys_read_the_layer_of_the_model(pbmc: AnnData) -> None:
    pbmc.layers["other"] = pbmc.X[::-1].copy()
    names = pbmc.var_names.to_numpy()
    of_x, of_layer = (cell_keys(pbmc, ExpressionSource(layer, None, names)) for layer in (None, "other"))
    assert (of_x != of_layer).mean() > 0.99
    np.testing.assert_array_equal(of_x, cell_keys(pbmc, ExpressionSource("not there", None, names)))
    np.testing.assert_array_equal(of_x, cell_keys(pbmc.copy(), ExpressionSource(None, None, names)))
    assert len(np.unique(of_x)) == pbmc.n_obs


def test_further_training_unions_rows_of_the_same_data_only() -> None:
    labels = np.array(["B", "T", "", "T", "", "B", "", "NK"], dtype=object)
    one, other = np.arange(8, dtype=np.uint64), np.arange(50, 58, dtype=np.uint64)
    first = TrainingRecord().extended(one, np.array([5, 1]), labels)
    assert first.label_counts == {"B": 1, "T": 1}
    further = first.extended(one, np.array([7, 5]), labels)
    assert further.rows.tolist() == [1, 5, 7]
    assert further.label_counts == {"B": 1, "NK": 1, "T": 1}
    assert further.rows_in(one).tolist() == [1, 5, 7]
    assert further.rows_in(other).tolist() == []
    assert further.rows_in(one[::-1]).tolist() == [0, 2, 6]
    elsewhere = further.extended(other, np.array([3]), labels)
    assert elsewhere.rows.tolist() == [3]
    assert elsewhere.label_counts == {"T": 1}
    assert elsewhere.rows_in(one).tolist() == [1, 5, 7]  # which it has seen, too
    assert TrainingRecord(**elsewhere.state()).rows.tolist() == [3]


def test_training_cells_are_known_again_in_part_in_any_order_and_among_others(
    known: tuple[SCMPT, AnnData], pbmc: AnnData
) -> None:
    model, cells = known
    trained = np.zeros(cells.n_obs, dtype=bool)
    trained[model.train_indices] = True
    order = np.random.default_rng(0).permutation(cells.n_obs)[: cells.n_obs // 2]
    np.testing.assert_array_equal(model.is_training_cell(cells[order].copy()), trained[order])
    others = cells.copy()
    others.obs_names = [f"other{number}" for number in range(others.n_obs)]
    joined = anndata.concat([others, cells])
    expected = np.concatenate([np.zeros(cells.n_obs, dtype=bool), trained])
    np.testing.assert_array_equal(model.is_training_cell(joined), expected)
    n_trained = int(trained[order].sum())
    part = cells[order].copy()
    part.obsm["X_first"], part.obsm["X_second"] = part.obsm["X_pca"][:, :5], part.obsm["X_pca"][:, 5:]
    with pytest.warns(UserWarning, match=f"{n_trained} of {len(order)} cells were trained on"):
        model.evaluate(part, baselines=("majority",))


def test_class_weights_of_whole_numbers(pbmc: AnnData) -> None:
    pbmc.obs["cluster"] = np.random.default_rng(0).integers(0, 3, pbmc.n_obs)  # nothing to learn
    shares = {}
    for name, weight in {"none": None, "given": {0: np.float32(0), 1: np.int64(50)}}.items():
        model = train(of_components(pbmc, "cluster"), class_weight=weight)
        shares[name] = pd.Series(model.predict()).value_counts(normalize=True).reindex(["0", "1", "2"], fill_value=0)
    assert shares["none"].max() < 0.7
    assert shares["given"]["1"] > 0.95
    assert shares["given"]["0"] == 0
    for unknown in (7, "7", 1.5):
        with pytest.raises(ValueError, match=rf"Unknown `class_weight='{unknown}'`. Choose one of '0', '1', '2'"):
            train(of_components(pbmc, "cluster"), class_weight={unknown: 2.0})
    with pytest.raises(ValueError, match="weights of at least 0; found -1 for '0'"):
        train(of_components(pbmc, "cluster"), class_weight={0: -1})


def test_balanced_weights_are_those_that_one_could_give(pbmc: AnnData) -> None:
    counts = pbmc.obs[LABELS_KEY].value_counts()
    by_hand = {label: 700 / (len(counts) * count) for label, count in counts.items()}
    balanced, given = (train(of_components(pbmc), class_weight=weight) for weight in ("balanced", by_hand))
    np.testing.assert_allclose(probabilities(balanced), probabilities(given), atol=0.02)
    assert np.abs(probabilities(balanced) - probabilities(train(of_components(pbmc)))).to_numpy().max() > 0.1


def volumes(cells: AnnData) -> Any:
    """Counts divided by the volume of each cell: fractions, of which some cells reach 50 and others do not."""
    counts = np.rint(np.expm1(cells.X.toarray()))
    return sparse.csr_matrix(counts / np.random.default_rng(0).uniform(0.1, 30, size=(cells.n_obs, 1))).astype(
        np.float32
    )


UNITS: dict[str, Any] = {
    "counts": lambda cells: sparse.csr_matrix(np.rint(np.expm1(cells.X.toarray()))),
    "logarithms": lambda cells: cells.X,
    "volumes": volumes,
}


@pytest.mark.parametrize("unit", UNITS)
def test_a_cell_alone_in_any_subset_and_in_any_order_gets_the_same_answer(pbmc: AnnData, unit: str) -> None:
    pbmc.X = UNITS[unit](pbmc)
    largest = pbmc.X.max(axis=1).toarray().ravel()
    reference, query = pbmc[::2].copy(), pbmc[1::58].copy()
    if unit == "volumes":
        assert (largest[1::58] < 50).any()
        assert (largest[1::58] >= 50).any()
    SCMPT.setup_anndata(reference, LABELS_KEY, obsm_keys={"mine": "X_pca"})
    encoders: dict[str, Any] = {"toy": ToyEncoder, "counts": {"encoder": "counts", "n_genes": 300}}
    model = train(SCMPT(reference, encoders=encoders))
    expected = {name: rows[np.arange(13)] for name, rows in model.modalities.read(query.copy()).items()}
    soft = probabilities(model, query.copy())
    assert soft.to_numpy().std(axis=0).max() > 0.1
    order = np.random.default_rng(1).permutation(13)
    subsets: list[Any] = [*([cell] for cell in range(13)), order[:5], order]
    for rows in subsets:
        some = query[rows].copy()
        for name, values in model.modalities.read(some).items():
            np.testing.assert_allclose(values[np.arange(len(rows))], expected[name][rows], atol=1e-5, err_msg=name)
        np.testing.assert_allclose(probabilities(model, some), soft.iloc[rows], atol=1e-5)
        np.testing.assert_allclose(probabilities(model, query.copy(), indices=rows), soft.iloc[rows], atol=1e-5)


def test_expression_is_what_scanpy_makes_of_it(pbmc: AnnData) -> None:
    """Counts and volumes are log-normalised, logarithms stay, whichever cells come together."""
    cells = pbmc[::2].copy()
    counts = np.rint(np.expm1(cells.X.toarray()))
    normalised = np.log1p(counts * 1e4 / counts.sum(axis=1, keepdims=True))
    for matrix in (counts, normalised, volumes(cells).toarray()):
        adata = AnnData(matrix.astype(np.float32), cells.obs[[LABELS_KEY]].copy(), cells.var)
        SCMPT.setup_anndata(adata, LABELS_KEY)
        model = train(SCMPT(adata, encoders={"counts": {"encoder": "counts", "n_genes": 100}}))
        assert model.modalities.expression is not None
        columns = adata.var_names.get_indexer(model.modalities.expression.genes)
        assert len(columns) == 100
        found = model.modalities.read(adata)["counts"][np.arange(adata.n_obs)]
        np.testing.assert_allclose(found, normalised[:, columns], rtol=1e-4, atol=1e-4)
        variances = np.where((counts > 0).sum(axis=0) >= 3, normalised.var(axis=0), 0)
        assert set(columns) == set(np.argsort(-variances)[:100])


def test_the_default_is_the_preset_mini(pbmc: AnnData) -> None:
    SCMPT.setup_anndata(pbmc, LABELS_KEY)
    default, mini = SCMPT(pbmc), SCMPT(pbmc, preset="mini")
    encoders = {"text": "minilm-genes", "knowledge": "knowledge", "expression": "scgpt-mini", "counts": "counts"}
    by_hand = SCMPT(pbmc, encoders=encoders, fusion="stacked")
    for model in (mini, by_hand):
        assert model.modalities.keys == default.modalities.keys
        assert type(model.module.head) is type(default.module.head)
        assert model.module.head.modality_dims == default.module.head.modality_dims
        assert model.module.default_train_size == default.module.default_train_size == 1
