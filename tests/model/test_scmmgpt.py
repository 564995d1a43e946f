"""The text model end to end, on simulated studies of real cell types."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from safetensors.numpy import load_file, save_file
from tests._zero_shot import LABELS, OPTIONS, SEEN, TYPES, UNSEEN, WordEncoder, genes_of, markers, study, two_studies

from scmpt_scverse import SCMMGPT
from scmpt_scverse.zero_shot import Refine

pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")


@pytest.fixture
def model(text_model: SCMMGPT) -> SCMMGPT:
    return text_model


@pytest.fixture
def query(text_query: AnnData) -> AnnData:
    return text_query


def accuracy(model: SCMMGPT, query: AnnData, refine: Refine = "self-train") -> float:
    return float((model.predict(query, labels=LABELS, refine=refine) == query.obs["cell_type"].to_numpy()).mean())


def test_types_that_no_study_had_are_found(model: SCMMGPT, query: AnnData) -> None:
    raw, smooth, taught = (accuracy(model, query, refine=each) for each in ("none", "smooth", "self-train"))
    assert raw > 0.6
    assert min(raw, smooth, taught) > 0.7


def test_annotate_writes_its_slots_and_nothing_else(model: SCMMGPT, query: AnnData) -> None:
    before = query.copy()
    model.annotate(query, LABELS)
    assert list(query.obs["scmmgpt_prediction"]) == list(model.predict(query, labels=LABELS))
    assert query.obs["scmmgpt_prediction"].cat.categories.isin([*LABELS, "Unknown"]).all()
    scores = query.obsm["scmmgpt_scores"]
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(query.obs["scmmgpt_confidence"], scores.max(axis=1))
    ids = dict(zip(query.obs["scmmgpt_prediction"], query.obs["scmmgpt_ontology_id"], strict=True))
    assert ids["B cell"] == "CL:0000236"
    of_labels = ("prediction", "confidence", "ontology_id", "novelty")
    of_levels = ("backed_off", "backed_off_id", "backed_off_confidence")
    assert set(query.obs) - set(before.obs) == {f"scmmgpt_{part}" for part in (*of_labels, *of_levels)}
    assert set(query.obsm) == {"scmmgpt_scores"}
    assert {name: list(of) for name, of in query.uns.items()} == {"scmpt": ["annotations"]}
    assert (query.X != before.X).nnz == 0


def test_unsure_cells_are_left_unlabelled(model: SCMMGPT, query: AnnData) -> None:
    model.annotate(query, LABELS, refine="none", min_confidence=0.6)
    unknown = query.obs["scmmgpt_prediction"] == "Unknown"
    assert 0 < unknown.mean() < 1
    np.testing.assert_array_equal(unknown, query.obs["scmmgpt_confidence"] < 0.6)
    right = query.obs["scmmgpt_prediction"].astype(str) == query.obs["cell_type"].astype(str)
    assert right[~unknown].mean() > accuracy(model, query, refine="none") + 0.03
    assert query.obs["scmmgpt_ontology_id"][unknown].isna().all()


def test_markers_of_the_user_define_a_type(model: SCMMGPT, query: AnnData) -> None:
    """Nonsense names with the markers of two types; words about genes count like a list of them."""
    labels = {"odd one": genes_of(UNSEEN[0]), "other": f"expresses {' and '.join(genes_of(UNSEEN[1]))}"}
    some = query[query.obs["cell_type"].isin(UNSEEN[:2])].copy()
    predicted = model.predict(some, labels=labels)
    expected = some.obs["cell_type"].map({UNSEEN[0]: "odd one", UNSEEN[1]: "other"}).to_numpy()
    assert (predicted == expected).mean() > 0.9


def test_all_registered_types_and_those_of_a_tissue(model: SCMMGPT, query: AnnData) -> None:
    table = model.predict(query, soft=True)
    assert set(table.columns) == set(TYPES)
    assert (table.idxmax(axis=1).to_numpy() == query.obs["cell_type"].to_numpy()).mean() > 0.7
    assert set(model.predict(query, soft=True, tissue="liver").columns) == set(UNSEEN)
    with pytest.raises(ValueError, match="Choose from 'blood', 'liver'"):
        model.predict(query, tissue="lung")
    with pytest.raises(ValueError, match="either `labels=` or `tissue=`"):
        model.predict(query, labels=LABELS, tissue="liver")


def test_indices_choose_among_the_cells_of_the_whole_query(model: SCMMGPT, query: AnnData) -> None:
    whole = model.predict(query, labels=LABELS, soft=True)
    some = model.predict(query, [7, 3, 150], soft=True, labels=LABELS)
    pd.testing.assert_frame_equal(some, whole.iloc[[7, 3, 150]])


def test_order_of_cells_and_genes_does_not_matter(model: SCMMGPT, query: AnnData) -> None:
    rng = np.random.default_rng(0)
    cells, genes = rng.permutation(query.n_obs), rng.permutation(query.n_vars)
    whole = model.predict(query, labels=LABELS, soft=True, refine="none")
    mixed = model.predict(query[cells][:, genes].copy(), labels=LABELS, soft=True, refine="none")
    np.testing.assert_allclose(mixed.loc[whole.index], whole, atol=1e-6)
    smooth = [model.predict(each, labels=LABELS, soft=True, refine="smooth") for each in (query, query[cells].copy())]
    np.testing.assert_allclose(smooth[1].loc[whole.index], smooth[0], atol=1e-4)


def test_search_finds_the_cells_of_a_text_and_says_if_there_are_none(model: SCMMGPT, query: AnnData) -> None:
    model.search(query, "hepatocyte")
    is_one = query.obs["cell_type"] == "hepatocyte"
    found = query.obs["scmmgpt_search"]
    assert found[is_one].median() > 0.8
    assert found[~is_one].median() < 0.6
    model.search(query, f"expresses {genes_of('monocyte')[0]} and {genes_of('monocyte')[1]}", key_added="absent")
    assert query.obs["absent"].median() < 0.7
    with pytest.raises(ValueError, match="Expected a text"):
        model.search(query, " ")


def test_confidence_is_that_of_studies_left_out(model: SCMMGPT, query: AnnData) -> None:
    for refine in ("none", "smooth", "self-train"):
        table = model.predict(query, labels=LABELS, soft=True, refine=refine)
        right = (table.idxmax(axis=1).to_numpy() == query.obs["cell_type"].to_numpy()).mean()
        assert abs(table.max(axis=1).mean() - right) < 0.25


def test_save_and_load(model: SCMMGPT, query: AnnData, tmp_path: Path) -> None:
    model.save(str(tmp_path / "model"))
    again = SCMMGPT.load(str(tmp_path / "model"), text_encoder=WordEncoder())
    expected = model.predict(query, labels=LABELS, soft=True)
    pd.testing.assert_frame_equal(again.predict(query, labels=LABELS, soft=True), expected)
    with pytest.raises(ValueError, match="overwrite=True"):
        model.save(str(tmp_path / "model"))
    other = WordEncoder()
    other.fingerprint = "words-2"
    with pytest.raises(ValueError, match="not the one that the model was trained with"):
        SCMMGPT.load(str(tmp_path / "model"), text_encoder=other)
    file = tmp_path / "model" / "model.json"
    content = json.loads(file.read_text())
    del content["types"]["terms"]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="cannot be read"):
        SCMMGPT.load(str(tmp_path / "model"), text_encoder=WordEncoder())


def test_bad_input_is_refused_in_words(model: SCMMGPT, query: AnnData) -> None:
    with pytest.raises(ValueError, match="at least two labels"):
        model.predict(query, labels=["B cell"])
    with pytest.raises(ValueError, match="at least one label"):
        model.predict(query, labels=[])
    few = query[:, :5].copy()
    with pytest.raises(ValueError, match="Expected at least 10 of the"):
        model.predict(few, labels=LABELS)
    same = AnnData(np.repeat(query.X[:1].toarray(), 60, axis=0), var=query.var)
    with pytest.raises(ValueError, match="differs between cells"):
        model.predict(same, labels=LABELS)
    with pytest.raises(RuntimeError, match="not trained"):
        SCMMGPT(registry=model.registry, text_encoder=WordEncoder()).predict(query, labels=LABELS)
    with pytest.raises(ValueError, match="Unknown `refine='more'`"):
        model.predict(query, labels=LABELS, refine="more")  # type: ignore[call-overload]


def test_the_query_is_read_where_the_model_was_set_up_to_read(query: AnnData) -> None:
    cells = two_studies()
    cells.layers["counts"] = cells.X.copy()
    cells.X = np.zeros(cells.shape, dtype=np.float32)
    SCMMGPT.setup_anndata(cells, "cell_type", batch_key="study", layer="counts")
    model = SCMMGPT(cells, text_encoder=WordEncoder())
    model.train(markers=[markers()], options=OPTIONS, accelerator="cpu", progress=False)
    predicted = model.predict(labels=SEEN, refine="none")
    assert (predicted == cells.obs["cell_type"].to_numpy()).mean() > 0.8
    with pytest.raises(KeyError, match="The model was set up with layer='counts'"):
        model.predict(query, labels=LABELS)
    assert set(model.predict(query, labels=LABELS, layer="X")) <= {*LABELS}
    with pytest.raises(ValueError, match="which is read"):
        model.search(None, "a hepatocyte", key_added="cell_type")
    assert (cells.obs["cell_type"].astype(str).isin(SEEN)).all()


def test_studies_in_files_teach_as_in_memory(tmp_path: Path) -> None:
    cells = two_studies()
    one, two = (cells[cells.obs["study"] == name].copy() for name in cells.obs["study"].unique())
    two.write_h5ad(tmp_path / "two.h5ad")
    models = []
    for data, studies, batch_key in ((cells, [], "study"), (one, [tmp_path / "two.h5ad"], None), (one, [two], None)):
        SCMMGPT.setup_anndata(data, "cell_type", batch_key=batch_key)
        model = SCMMGPT(data, text_encoder=WordEncoder())
        model.train(markers=[markers()], studies=studies, options=OPTIONS, accelerator="cpu", progress=False)
        assert model.alignment is not None
        models.append(model.alignment.arrays())
    for other in models[1:]:
        for name, values in models[0].items():
            np.testing.assert_array_equal(other[name], values, err_msg=name)
    two.obs = two.obs.rename(columns={"cell_type": "label"})
    two.write_h5ad(tmp_path / "two.h5ad")
    with pytest.raises(KeyError, match=r"two\.h5ad: No 'cell_type' in `adata\.obs`"):
        model.train(markers=[markers()], studies=[tmp_path / "two.h5ad"], options=OPTIONS, accelerator="cpu")
    with pytest.raises(FileNotFoundError, match=r"found none"):
        model.label_report(markers=[markers()], studies=[tmp_path / "three.h5ad"])


def test_studies_whose_labels_have_no_markers(query: AnnData) -> None:
    """Nothing is known of what these studies hold; the markers of other types still find these."""
    cells = study(SEEN[:3], seed=1)
    cells.obs["cell_type"] = cells.obs["cell_type"].map(
        dict(zip(SEEN[:3], ["gribble", "flonk", "wozzle"], strict=True))
    )
    SCMMGPT.setup_anndata(cells, "cell_type")
    model = SCMMGPT(cells, text_encoder=WordEncoder())
    model.train(markers=[markers()], options=OPTIONS, accelerator="cpu", progress=False)
    assert accuracy(model, query, refine="none") > 0.6


def test_several_unlabeled_categories_and_spellings_of_one_label() -> None:
    cells = study(SEEN[:3], seed=1)
    names = cells.obs["cell_type"].astype(str).to_numpy(dtype=object)
    names[::10], names[1::10] = "Unknown", "n.d."
    names[names == "T cell"] = np.where(np.arange((names == "T cell").sum()) % 2, "T cell", "T cells")
    cells.obs["cell_type"] = names
    with pytest.warns(UserWarning, match="differ only in how they are spelled"):
        SCMMGPT.setup_anndata(cells, "cell_type", unlabeled_category=["Unknown", "n.d."])
    model = SCMMGPT(cells, text_encoder=WordEncoder())
    model.train(markers=[markers()], options=OPTIONS, accelerator="cpu", progress=False)
    assert model.alignment is not None
    assert 0.02 < model.alignment.scale.refined < 2


def test_words_of_a_label_count_as_genes_wherever_they_stand(model: SCMMGPT, query: AnnData) -> None:
    some = query[query.obs["cell_type"].isin(UNSEEN[:2])].copy()
    first, second = (genes_of(name) for name in UNSEEN[:2])
    expected = (some.obs["cell_type"] == UNSEEN[0]).to_numpy()
    in_list = model.predict(some, labels=[f"my type: expresses {', '.join(first)}", f"other: {' and '.join(second)}"])
    assert (pd.Series(in_list).str.startswith("my type") == expected).mean() > 0.9
    blanks = model.predict(some, labels={"my  type ": first, "other": second})
    assert (blanks == np.where(expected, "my type", "other")).mean() > 0.9
    missing = model.predict(some, labels={UNSEEN[0]: float("nan"), UNSEEN[1]: None})
    assert set(missing) <= set(UNSEEN[:2])
    with pytest.raises(ValueError, match="'Unknown' is what cells without a label get"):
        model.predict(some, labels=[*UNSEEN, "Unknown"])


def test_what_is_doubtful_is_warned_of(model: SCMMGPT, query: AnnData) -> None:
    with pytest.warns(UserWarning, match="mean the same term"):
        model.predict(query, labels=["B cell", "B lymphocyte", "hepatocyte"])
    with pytest.warns(UserWarning, match="more than once"):
        model.predict(query, labels=["B cell", "hepatocyte", "B cell"])
    with pytest.warns(UserWarning, match="Nothing is known of 'gribble'"):
        model.predict(query, labels=["gribble", "hepatocyte"])
    with pytest.warns(UserWarning, match="has 12 cells only"):
        model.predict(query[::14][:12].copy(), labels=LABELS)


def test_a_cell_without_expression_is_unknown(model: SCMMGPT, query: AnnData) -> None:
    dense = query.X.toarray()
    dense[4] = 0
    query.X = dense
    model.annotate(query, LABELS)
    assert query.obs["scmmgpt_prediction"].iloc[4] == "Unknown"
    assert np.isnan(query.obs["scmmgpt_confidence"].iloc[4])
    assert query.obs["scmmgpt_confidence"].isna().sum() == 1


def test_layers_and_symbols_of_the_query(model: SCMMGPT, query: AnnData) -> None:
    expected = model.predict(query, labels=LABELS)
    other = query.copy()
    other.layers["counts"] = other.X.copy()
    other.X = None
    other.var["symbol"] = other.var_names
    other.var_names = [f"ENSG{number:011d}" for number in range(other.n_vars)]
    predicted = model.predict(other, labels=LABELS, layer="counts", gene_symbols="symbol")
    np.testing.assert_array_equal(predicted, expected)


def test_the_background_that_was_set_is_saved(text_model: SCMMGPT, text_query: AnnData, tmp_path: Path) -> None:
    text_model.save(str(tmp_path / "before"))
    opened = SCMMGPT.load(str(tmp_path / "before"), adata=False, text_encoder=WordEncoder())
    opened.background = 1.0
    opened.save(str(tmp_path / "after"))
    again = SCMMGPT.load(str(tmp_path / "after"), adata=False, text_encoder=WordEncoder())
    assert again.background == 1.0
    labels = [*UNSEEN, SEEN[0]]
    found, expected = (each.predict(text_query, labels=labels, soft=True) for each in (again, opened))
    pd.testing.assert_frame_equal(found, expected, atol=1e-5)


def test_a_background_that_does_not_fit_is_damage(text_model: SCMMGPT, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    text_model.save(str(folder))
    arrays = load_file(folder / "model.safetensors")
    for values in (arrays["background.mean"][:-1], np.full_like(arrays["background.mean"], np.nan)):
        save_file(arrays | {"background.mean": values}, folder / "model.safetensors")
        with pytest.raises(ValueError, match="cannot be read"):
            SCMMGPT.load(str(folder), adata=False, text_encoder=WordEncoder())


def test_evaluation_does_not_depend_on_the_order_of_cells(text_model: SCMMGPT, text_query: AnnData) -> None:
    finer = text_query.copy()
    finer.obs["cell_type"] = finer.obs["cell_type"].astype(object)
    rows = np.flatnonzero(finer.obs["cell_type"] == SEEN[0])
    finer.obs.iloc[rows[::2], finer.obs.columns.get_loc("cell_type")] = "naive B cell"
    finer.obs.iloc[rows[1::2], finer.obs.columns.get_loc("cell_type")] = "memory B cell"
    labels = [*UNSEEN, SEEN[0]]
    table, turned = (
        text_model.evaluate(each, "cell_type", labels=labels, refine="none") for each in (finer, finer[::-1].copy())
    )
    pd.testing.assert_frame_equal(table, turned, atol=1e-6)
