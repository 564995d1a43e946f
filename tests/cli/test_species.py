"""Cells of a mouse on the command line: read through orthologs, and refused without being told."""

from pathlib import Path

import anndata
import numpy as np
import pytest
import typer
from tests._adata import as_mouse
from typer.testing import CliRunner

from scmpt_scverse import datasets, pp
from scmpt_scverse.cli import app

LABELS = ["B cell", "monocyte", "natural killer cell", "T cell"]


@pytest.fixture
def mouse(tmp_path: Path) -> Path:
    """Human cells under the names of the mouse orthologs of their genes."""
    cells = as_mouse(datasets.pbmc68k_reduced()[:120].copy())
    cells.write_h5ad(tmp_path / "mouse.h5ad")
    return tmp_path / "mouse.h5ad"


def test_mouse_cells_are_annotated_by_a_human_model_only_if_told(runner: CliRunner, mouse: Path) -> None:
    out = mouse.with_name("out.h5ad")
    labels = [part for label in LABELS for part in ("--labels", label)]
    base = ["annotate", "scmmgpt-mini", str(mouse), str(out), *labels]
    refused = runner.invoke(app, base)
    assert refused.exit_code == 1
    assert "are of mouse genes" in refused.stderr
    assert "--organism mouse" in refused.stderr
    assert not out.exists()
    result = runner.invoke(app, [*base, "--organism", "mouse"])
    assert result.exit_code == 0, result.output
    assert "mouse genes have a human ortholog" in result.output
    found = anndata.read_h5ad(out)
    assert list(found.var) == []
    truth = found.obs["bulk_labels"].astype(str)
    is_b = truth == "CD19+ B"
    assert (found.obs["scmmgpt_prediction"][is_b] == "B cell").mean() > 0.8


def test_a_reference_of_mice_is_told_too(runner: CliRunner, mouse: Path) -> None:
    model, out = str(mouse.with_name("model")), str(mouse.with_name("out.h5ad"))
    train = ["train", str(mouse), model, "--labels-key", "bulk_labels", "--text", "none", "--no-counts"]
    assert runner.invoke(app, [*train, "--organism", "mouse"]).exit_code == 0
    result = runner.invoke(app, ["annotate", model, str(mouse), out])  # the model knows
    assert result.exit_code == 0, result.output
    assert "mouse genes have a human ortholog" in result.output
    assert np.isfinite(anndata.read_h5ad(out).obs["scmpt_confidence"]).all()


def test_an_unknown_species_is_named_before_cells_are_read(runner: CliRunner, mouse: Path) -> None:
    result = runner.invoke(app, ["annotate", "scmmgpt-mini", "absent.h5ad", "o.h5ad", "--organism", "yeti"])
    assert result.exit_code == 2
    assert "'yeti' is not one of 'human', 'mouse'" in " ".join(result.stderr.replace("│", " ").split())


def test_commands_that_read_cells_know_species() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {name: {flag for each in command.params for flag in each.opts} for name, command in commands.items()}
    readers = {name: flags for name, flags in options.items() if "--gene-symbols" in flags}
    assert set(readers) >= {
        *("train", "annotate", "evaluate", "search", "embed", "describe", "refine", "probe", "pretrain", "align")
    }
    assert [name for name, flags in readers.items() if not {"--organism", "--orthologs"} <= flags] == []


@pytest.mark.filterwarnings("default:`organism='auto'` took")
def test_the_commands_give_what_mapped_symbols_give(runner: CliRunner, mouse: Path) -> None:
    cells = anndata.read_h5ad(mouse)
    pp.map_orthologs(cells)
    mapped = mouse.with_name("mapped.h5ad")
    cells.write_h5ad(mapped)
    outs = [mouse.with_name(name) for name in ("of_mouse.h5ad", "of_symbols.h5ad")]
    how = (["--organism", "mouse"], ["--gene-symbols", "human_symbol"])
    for source, out, options in zip((mouse, mapped), outs, how, strict=True):
        encoder = ["--encoder", "scgpt-mini", "--precision", "float32"]
        result = runner.invoke(app, ["embed", str(source), str(out), *encoder, *options])
        assert result.exit_code == 0, result.output
    found, expected = map(anndata.read_h5ad, outs)
    assert np.array_equal(found.obsm["X_scgpt-mini"], expected.obsm["X_scgpt-mini"])
    search = ["search", "scmmgpt-mini", str(mouse), str(outs[0]), "B cell", "--force"]
    result = runner.invoke(app, [*search, "--organism", "auto"])
    assert result.exit_code == 0, result.output
    assert "`organism='auto'` took 'mouse': 663 of 664 names" in " ".join(result.stderr.split())
    runner.invoke(app, ["search", "scmmgpt-mini", str(mapped), str(outs[1]), "B cell", "--force", *how[1]])
    scores = [anndata.read_h5ad(out).obs["scmmgpt_search"].to_numpy() for out in outs]
    assert np.array_equal(scores[0], scores[1], equal_nan=True)


def test_a_table_of_orthologs(runner: CliRunner, mouse: Path) -> None:
    cells = anndata.read_h5ad(mouse)
    pp.map_orthologs(cells)
    table_of = cells.var["human_symbol"].rename_axis("gene").rename("human_gene").reset_index()
    table_of["gene"] = [f"yeti{number}" for number in range(len(table_of))]
    table, out = mouse.with_name("yeti.csv"), mouse.with_name("out.h5ad")
    table_of.to_csv(table, index=False)
    cells.var_names = table_of["gene"].to_numpy()
    cells.write_h5ad(mouse)
    base = ["search", "scmmgpt-mini", str(mouse), str(out), "B cell", "--force"]
    result = runner.invoke(app, [*base, "--organism", "yeti", "--orthologs", str(table)])
    assert result.exit_code == 0, result.output
    assert "yeti genes have a human ortholog" in result.output
    refused = runner.invoke(app, [*base, "--orthologs", str(table)])
    assert refused.exit_code == 2
    assert "It needs --organism" in " ".join(refused.stderr.replace("│", " ").split())
    table_of[["gene"]].to_csv(table, index=False)
    wrong = runner.invoke(app, [*base, "--organism", "yeti", "--orthologs", str(table)])
    assert (wrong.exit_code, "No 'human_gene' in `table`" in wrong.stderr) == (1, True)


def test_info_says_the_species(runner: CliRunner, mouse: Path) -> None:
    assert "mouse" in runner.invoke(app, ["info", str(mouse)]).output.replace(str(mouse), "")
    assert "organism" in runner.invoke(app, ["info", "scmmgpt-mini"]).output
