"""Pseudo-cells end to end: what is written, what it depends on, and what is refused."""

import dataclasses
import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from safetensors.numpy import load_file, save_file
from scipy import sparse
from tests._zero_shot import SEEN, UNSEEN, WordEncoder, genes_of, study, two_studies
from tests.generation.conftest import SMALL

from scmpt_scverse import SCMMGPT, SCMPT
from scmpt_scverse._slots import is_synthetic
from scmpt_scverse.generation._text_generator import _may_be_same
from scmpt_scverse.module import TowerOptions


def mean_of(cells: AnnData, label: str, genes: list[str]) -> float:
    return float(cells[(cells.obs["label"] == label).to_numpy(), genes].X.mean())


def same(first: AnnData, second: AnnData) -> bool:
    return bool((first.X != second.X).nnz == 0) and first.obs.equals(second.obs)


def test_each_type_expresses_its_markers(generating: SCMMGPT) -> None:
    cells = generating.generate(SEEN, 60)
    assert sparse.isspmatrix_csr(cells.X)
    assert cells.X.dtype == np.int32
    assert cells.X.data.min() >= 1
    for name in SEEN:
        others = [other for other in SEEN if other != name]
        assert mean_of(cells, name, genes_of(name)) > 3 * max(mean_of(cells, each, genes_of(name)) for each in others)
    assert cells.obs["label"].value_counts().to_dict() == dict.fromkeys(SEEN, 60)
    assert not cells.obs["is_low_confidence"].any()
    assert (cells.obs["text_distance"] == 0).all()
    assert (cells.obs["nearest_type"].astype(str) == cells.obs["label"].astype(str)).all()
    assert cells.obs["text"].iloc[0].startswith("B cell; B cell: ")
    assert cells.obs["is_synthetic"].all()
    record = cells.uns["scmpt"]["synthetic"]
    assert record["model"] == "SCMMGPT"
    assert record["seed"] == 0
    assert {"version", "text_encoder_fingerprint", "trained_on"} <= set(record)


def test_a_type_is_of_the_batches_that_it_was_in(generating: SCMMGPT) -> None:
    """The first study has B and T cells and natural killer cells, the second the last of these and two others."""
    cells = generating.generate(["B cell", "platelet", "natural killer cell"], 80)
    table = pd.crosstab(cells.obs["label"], cells.obs["batch"])
    assert table.loc["B cell", "one"] == table.loc["platelet", "two"] == 80
    assert table.loc["natural killer cell"].min() > 20
    forced = generating.generate("B cell", 5, batch="two")
    assert set(forced.obs["batch"]) == {"two"}
    with pytest.raises(ValueError, match="Unknown `batch='three'`. Choose one of 'one', 'two'"):
        generating.generate("B cell", 5, batch="three")


def test_cells_are_a_function_of_text_number_and_seed(generating: SCMMGPT) -> None:
    both = generating.generate(["T cell", "B cell"], [70, 3])
    alone = generating.generate("B cell", 90)
    assert (alone.X[:3] != both.X[70:]).nnz == 0
    assert list(alone.obs_names[:3]) == list(both.obs_names[70:])
    assert same(generating.generate("B cell", 90), alone)
    assert (generating.generate("B cell", 90, seed=1).X != alone.X).nnz > 500
    wanted = [*genes_of("B cell")[::-1], "OTHER3"]
    some = generating.generate("B cell", 90, genes=wanted)
    assert list(some.var_names) == wanted
    assert (some.X != alone[:, wanted].X).nnz == 0
    synonym = generating.generate("B lymphocyte", 5)
    assert synonym.obs["nearest_type"].iloc[0] == "B cell"
    assert not synonym.obs["is_low_confidence"].any()


def test_reference_cells_do_not_leak(generating: SCMMGPT, tmp_path: Path) -> None:
    """Blanked, permuted, gone: bitwise the same pseudo-cells."""
    texts = [*SEEN[:2], "hepatocyte"]
    with pytest.warns(UserWarning, match="Low confidence"):
        expected = generating.generate(texts, 20)
    generating.save(str(tmp_path / "model"), save_anndata=True)
    for change in ("permuted", "blank", "gone"):
        model = SCMMGPT.load(str(tmp_path / "model"), text_encoder=WordEncoder())
        assert model.adata is not None
        if change == "permuted":
            order = np.random.default_rng(0).permutation(model.adata.n_obs)
            model.adata.X = model.adata.X[order]
        elif change == "blank":
            model.adata.X = sparse.csr_matrix(model.adata.shape, dtype=np.float32)
            model.adata.obs["cell_type"] = "none"
        else:
            model._adata = None  # as scvi-tools keeps it
        with pytest.warns(UserWarning, match="Low confidence"):
            assert same(model.generate(texts, 20), expected), change


def test_labels_that_were_permuted_in_training_teach_nothing(generating: SCMMGPT) -> None:
    cells = two_studies()
    labels = cells.obs["cell_type"].to_numpy(dtype=object)
    cells.obs["cell_type"] = np.random.default_rng(0).permutation(labels)
    SCMMGPT.setup_anndata(cells, "cell_type")
    wrong = SCMMGPT(cells, text_encoder=WordEncoder())
    wrong.alignment, wrong.types, wrong.genes = generating.alignment, generating.types, generating.genes
    wrong.train("generate", options=SMALL, accelerator="cpu", progress=False)
    right, permuted = (marker_accuracy(each.generate(SEEN, 40)) for each in (generating, wrong))
    assert right > 0.9
    assert permuted < 0.5


def marker_accuracy(cells: AnnData) -> float:
    """Share of cells that express the markers of their label most."""
    scores = np.stack([np.asarray(cells[:, genes_of(name)].X.sum(axis=1)).ravel() for name in SEEN], axis=1)
    return float((np.array(SEEN)[scores.argmax(axis=1)] == cells.obs["label"].to_numpy()).mean())


def test_the_mean_of_a_type_is_that_of_its_cells(generating: SCMMGPT) -> None:
    """Beyond the noise of the cells that it is measured on, which an autoencoder alone does not reach."""
    generator, cells = generating.generator, two_studies()
    assert generator is not None
    real = mean_shares(cells[:, list(generator.genes)])
    plain = dataclasses.replace(generator, corrections=np.zeros_like(generator.corrections))
    off = []
    for each in (generator, plain):
        conditions = each.recognised(each.texts, None).conditions
        made = [
            AnnData(
                each.cells.draw(condition, 4000, key=name, seed=3).counts.astype(np.float32),
                obs=pd.DataFrame({"cell_type": [name] * 4000}, index=[f"{name}{n}" for n in range(4000)]),
            )
            for name, condition in zip(each.texts.names, conditions, strict=True)
        ]
        off.append(float(np.abs(np.log(mean_shares(ad.concat(made)) / real)).to_numpy().mean()))
    assert off[0] < 0.5 * off[1]


def mean_shares(cells: AnnData) -> pd.DataFrame:
    """Mean share of each gene in the counts of the cells of each type."""
    counts = cells.X.toarray()
    shares = pd.DataFrame(counts / counts.sum(axis=1, keepdims=True))
    return shares.groupby(cells.obs["cell_type"].to_numpy(dtype=object)).mean().sort_index()


def test_an_unseen_type_gets_markers_of_its_text_and_little_confidence(generating: SCMMGPT) -> None:
    with pytest.warns(UserWarning, match=r"Low confidence: 'hepatocyte' \(nearest: ") as warned:
        cells = generating.generate(["hepatocyte", "T cell"], 100)
    assert ["Low confidence" in str(warning.message) for warning in warned if warning.category is UserWarning] == [True]
    is_far = cells.obs.groupby("label", observed=True)["is_low_confidence"].all()
    assert is_far["hepatocyte"]
    assert not is_far["T cell"]
    assert cells.obs.loc[cells.obs["label"] == "hepatocyte", "text_distance"].iloc[0] > 0.1
    own = genes_of("hepatocyte")
    assert mean_of(cells, "hepatocyte", own) > 1.5 * mean_of(cells, "T cell", own)


def test_a_kind_of_a_type_is_another_type_however_near(generating: SCMMGPT) -> None:
    assert generating.generator is not None
    near = dataclasses.replace(generating.generator, threshold=2.0)
    reader = generating._text_reader()
    for text, is_far in (("naive B cell", True), ("plasma cell", True), ("some B thing", False)):
        found = near.recognised(reader.read([text], near.genes), None)
        assert found.is_far == [is_far], text
    lymphocyte, b_cell = "CL:0000542", "CL:0000236"
    assert _may_be_same(lymphocyte, b_cell)
    assert not _may_be_same(b_cell, lymphocyte)


def test_markers_of_the_user_are_genes(generating: SCMMGPT) -> None:
    markers = genes_of(UNSEEN[0])[:6]
    with pytest.warns(UserWarning, match="Low confidence: 'my type'"):
        cells = generating.generate({"my type": markers, "other": "a glorp of the flonk"}, 100)
    assert mean_of(cells, "my type", markers) > 1.5 * mean_of(cells, "other", markers)
    assert cells.obs["text"].str.contains("expresses FIBROBLAST0").any()


def test_save_load_and_older_models(generating: SCMMGPT, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    generating.save(str(folder))
    opened = SCMMGPT.load(str(folder), adata=False, text_encoder=WordEncoder())
    assert same(opened.generate(SEEN, 10), generating.generate(SEEN, 10))
    pd.testing.assert_frame_equal(
        opened.history["generator_loss"], generating.history["generator_loss"], check_names=False
    )
    content = json.loads((folder / "model.json").read_text())
    arrays = load_file(folder / "model.safetensors")
    damaged = arrays | {"generator.profiles": arrays["generator.profiles"][:, 1:]}
    save_file(damaged, folder / "model.safetensors")
    with pytest.raises(ValueError, match="cannot be read"):
        SCMMGPT.load(str(folder), adata=False, text_encoder=WordEncoder())
    del content["generator"]
    (folder / "model.json").write_text(json.dumps(content))
    save_file(
        {name: each for name, each in arrays.items() if not name.startswith("generator.")},
        folder / "model.safetensors",
    )
    older = SCMMGPT.load(str(folder), adata=False, text_encoder=WordEncoder())
    with pytest.raises(RuntimeError, match='no generator.*`train\\(stage="generate"\\)`'):
        older.generate("B cell")


def test_half_precision_still_generates(generating: SCMMGPT, tmp_path: Path) -> None:
    generating.save(str(tmp_path / "model"), half_precision=True)
    opened = SCMMGPT.load(str(tmp_path / "model"), adata=False, text_encoder=WordEncoder())
    assert marker_accuracy(opened.generate(SEEN, 40)) > 0.9


def test_models_refuse_pseudo_cells_unless_told(generating: SCMMGPT) -> None:
    made = generating.generate(SEEN[:2], 20)
    made.obs["cell_type"] = made.obs["label"].astype(str)
    real = study(SEEN[:2], n_each=20, seed=5)
    for join in ("inner", "outer"):
        mixed = ad.concat([real, made], join=join, index_unique="-")
        assert is_synthetic(mixed).sum() == 40, join
        for model in (SCMPT, SCMMGPT):
            with pytest.raises(ValueError, match="found 40 synthetic ones among 80.*`allow_synthetic=True`"):
                model.setup_anndata(mixed.copy(), "cell_type")
            model.setup_anndata(mixed.copy(), "cell_type", allow_synthetic=True)
    renamed = ad.concat([real, made], join="outer")
    renamed.obs_names = [f"c{number}" for number in range(80)]
    assert is_synthetic(renamed).sum() == 40
    assert not is_synthetic(real).any()
    for model in (SCMPT, SCMMGPT):
        model.setup_anndata(real.copy(), "cell_type")


def test_marks_survive_a_file(generating: SCMMGPT, tmp_path: Path) -> None:
    made = generating.generate(SEEN[:2], 5)
    made.write_h5ad(tmp_path / "made.h5ad")
    read = ad.read_h5ad(tmp_path / "made.h5ad")
    assert is_synthetic(read).all()
    assert read.uns["scmpt"]["synthetic"]["model"] == "SCMMGPT"
    assert same(read, made)


def test_other_texts_of_training(generating: SCMMGPT) -> None:
    """Labels that no ontology knows are described, and found by the words of their description."""
    cells = two_studies()
    cells.obs["cell_type"] = cells.obs["cell_type"].map(lambda name: "cluster 7" if name == "monocyte" else name)
    SCMMGPT.setup_anndata(cells, "cell_type", batch_key="study")
    model = SCMMGPT(cells, text_encoder=WordEncoder())
    model.alignment, model.types, model.genes = generating.alignment, generating.types, generating.genes
    with pytest.warns(UserWarning, match="Nothing is known of 'cluster 7' but the name"):
        model.train("generate", options=SMALL, accelerator="cpu", progress=False)
    model.train(
        "generate", texts={"cluster 7": "phagocytes of the blood"}, options=SMALL, accelerator="cpu", progress=False
    )
    found = model.generate({"cluster 7": "phagocytes of the blood"}, 40)
    own = genes_of("monocyte")
    assert float(found[:, own].X.mean()) > 3 * float(model.generate("B cell", 40)[:, own].X.mean())
    with pytest.raises(ValueError, match="Expected labels of the cells as keys of `texts`; found 'cluster 8'"):
        model.train("generate", texts={"cluster 8": "?"}, options=SMALL, accelerator="cpu", progress=False)


def test_a_pretrained_tower_takes_cells_of_ones_own(generating: SCMMGPT, tmp_path: Path) -> None:
    generating.save(str(tmp_path / "model"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scmpt_scverse.encoders.get", lambda name: WordEncoder())
        cells = study(SEEN[:3], seed=4)
        SCMMGPT.setup_anndata(cells, "cell_type")
        model = SCMMGPT.from_pretrained(tmp_path / "model", cells)
    model.train("generate", options=SMALL, accelerator="cpu", progress=False)
    made = model.generate(SEEN[:3], 10)
    assert "batch" not in made.obs
    with pytest.raises(ValueError, match="trained without batches; found 'one'"):
        model.generate("B cell", 3, batch="one")


def test_logarithms_are_put_back_to_counts() -> None:
    from scmpt_scverse.generation._training import _as_counts

    counts = sparse.csr_matrix(np.array([[4000.0, 1000, 5000], [100, 900, 9000]]))
    logarithms = counts.copy()
    logarithms.data = np.log1p(logarithms.data)
    np.testing.assert_array_equal(_as_counts(logarithms, is_linear=False).toarray(), counts.toarray())
    np.testing.assert_array_equal(_as_counts(counts / 7, is_linear=True).toarray(), counts.toarray())


@pytest.mark.parametrize(
    ("texts", "n_cells", "options", "message"),
    [
        ("", 5, {}, "missing or blank one, ''"),
        ("   ", 5, {}, "missing or blank one"),
        ([], 5, {}, "at least one label; found none"),
        ({}, 5, {}, "at least one label; found none"),
        (["B cell", None], 5, {}, "missing or blank one"),
        ("B cell", 0, {}, "`n_cells` must be a whole number of at least 1; found 0"),
        ("B cell", -3, {}, "found -3"),
        ("B cell", 2.5, {}, "found 2.5"),
        ("B cell", True, {}, "found True"),
        ("B cell", [1, 2], {}, "one per text, in `n_cells`; found 2 for 1 texts"),
        (["B cell", "B cell"], 5, {}, "Expected different texts; found 2, of which 1 differ"),
        ("B cell", 5, {"genes": ["NOPE1", "NOPE2"]}, "found none among 'NOPE1', 'NOPE2'"),
        ("B cell", 5, {"genes": []}, "at least one gene"),
        ("B cell", 5, {"library_size": -1}, "found -1"),
        ("B cell", 5, {"library_size": 0}, "found 0"),
        ("B cell", 5, {"library_size": 2**40}, "found 1.09951e\\+12"),
        ("B cell", 5, {"library_size": float("nan")}, "found nan"),
        ("B cell", 5, {"library_size": [100, 200]}, "one for each of 5 cells; found shape"),
        ("B cell", 5, {"seed": -1}, "`seed` must be a whole number of at least 0"),
        ("B cell", 5, {"batch": "unknown"}, "Unknown `batch='unknown'`"),
    ],
)
def test_bad_input_is_refused_before_anything_is_drawn(
    generating: SCMMGPT,
    monkeypatch: pytest.MonkeyPatch,
    texts: object,
    n_cells: object,
    options: dict[str, object],
    message: str,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("cells were drawn")

    monkeypatch.setattr("scmpt_scverse.module.CellGenerator.draw", refuse)
    with pytest.raises(ValueError, match=message):
        generating.generate(texts, n_cells, **options)  # type: ignore[arg-type]


def test_wrong_types_are_refused(generating: SCMMGPT) -> None:
    with pytest.raises(TypeError, match="Expected a text, several texts"):
        generating.generate(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Expected numbers of counts as `library_size`; found 'many'"):
        generating.generate("B cell", 5, library_size="many")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Expected a list of gene symbols as `genes`; found str"):
        generating.generate("B cell", 5, genes="MS4A1")
    with pytest.raises(TypeError, match="Expected GeneratorOptions as `options` of stage 'generate'"):
        generating.train("generate", options=TowerOptions(), progress=False)
    with pytest.warns(UserWarning, match="does not write 1 of 2 `genes`"):
        assert generating.generate("B cell", 3, genes=["OTHER1", "NOPE"]).n_vars == 1


def test_training_comes_in_order() -> None:
    cells = two_studies()
    SCMMGPT.setup_anndata(cells, "cell_type")
    model = SCMMGPT(cells, text_encoder=WordEncoder())
    with pytest.raises(RuntimeError, match="not trained"):
        model.train("generate", progress=False)
    with pytest.raises(ValueError, match="found `markers=None`"):
        model.train(progress=False)
    with pytest.raises(ValueError, match="Unknown `stage='generat'`.*Did you mean 'generate'"):
        model.train("generat")  # type: ignore[arg-type]
