"""Text models on the command line: `align` makes one, `annotate`, `search` and `info` use it."""

import os
import re
import shutil
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import rich
from anndata import AnnData
from tests._llm import ChatServer
from tests._zero_shot import TYPES, WordEncoder, genes_of, markers, study
from typer.testing import CliRunner

from scmpt_scverse import SCMMGPT, encoders
from scmpt_scverse.cli import app
from scmpt_scverse.cli._labels_file import read_labels

pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
SEEN, UNSEEN = TYPES[:5], TYPES[5:]
LABELS = [*UNSEEN, SEEN[0]]
AS_OPTIONS = [part for label in LABELS for part in ("--labels", label)]
TRAIN = ["--labels-key", "cell_type", "--accelerator", "cpu", "--text", "words"]


def read_words(patch: pytest.MonkeyPatch) -> None:
    get = encoders.get
    patch.setattr("scmpt_scverse.encoders.get", lambda name: WordEncoder() if name == "words" else get(name))


@pytest.fixture(scope="session")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a model of two studies that have neither all genes nor their spelling of labels in common."""
    folder = tmp_path_factory.mktemp("text_models")
    one, two = study(SEEN[:3], seed=1), study(SEEN[2:], seed=2)
    one = one[:, :-20].copy()
    one.var["symbol"] = one.var_names
    one.var_names = [f"ENSG{number:011d}" for number in range(one.n_vars)]
    two.var["symbol"] = two.var_names
    two.obs["cell_type"] = pd.Categorical(two.obs["cell_type"])
    for cells in (one, two):
        cells.layers["counts"] = cells.X
        cells.X = None
    two.obs.loc[two.obs_names[:3], "cell_type"] = None
    tables = markers()
    is_first = tables["type"].isin(TYPES[:4])
    tables[is_first].to_csv(folder / "first.csv", index=False)
    tables[~is_first].to_csv(folder / "second.tsv", index=False, sep="\t")
    for name, cells in (("one", one), ("two", two)):
        (folder / name).mkdir()
        cells.write_h5ad(folder / name / "cells.h5ad")  # the same name in two folders
    arguments = [*(str(folder / name / "cells.h5ad") for name in ("one", "two")), str(folder / "model"), *TRAIN]
    options = ["--markers", str(folder / "first.csv"), "--markers", str(folder / "second.tsv")]
    with pytest.MonkeyPatch.context() as patch:
        read_words(patch)
        where = ["--layer", "counts", "--gene-symbols", "symbol"]
        result = CliRunner().invoke(app, ["align", *arguments, *options, *where])
    assert result.exit_code == 0, result.output
    return folder, result.output


@pytest.fixture(autouse=True)
def _words(monkeypatch: pytest.MonkeyPatch) -> None:
    read_words(monkeypatch)


@pytest.fixture
def model(aligned: tuple[Path, str]) -> str:
    return str(aligned[0] / "model")


@pytest.fixture
def query(tmp_path: Path) -> Path:
    """Cells of three types that no study had, and of one that some had."""
    path = tmp_path / "query.h5ad"
    cells = study(LABELS, seed=3)
    cells.layers["counts"], cells.var["symbol"] = cells.X.copy(), cells.var_names
    cells.write_h5ad(path)
    return path


def annotated(runner: CliRunner, model: str, query: Path, *options: str) -> AnnData:
    out = query.with_name("out.h5ad")
    result = runner.invoke(app, ["annotate", model, str(query), str(out), *options, "--force"])
    assert result.exit_code == 0, result.output
    return anndata.read_h5ad(out)


def test_align_learns_from_all_studies(aligned: tuple[Path, str], model: str) -> None:
    assert "Learned from 237 labelled cells of 2 studies" in aligned[1]
    read = SCMMGPT.from_pretrained(model)
    assert set(read.genes) == {gene for name in TYPES for gene in genes_of(name)}
    assert read.types is not None
    assert set(read.types.names) == set(TYPES)
    setup = read.registry["setup_args"]
    assert [setup[name] for name in ("layer", "gene_symbols", "batch_key")] == ["counts", "symbol", None]
    saved = (Path(model) / "model.json").read_text()
    assert str(aligned[0]) not in saved, "a model does not tell where its studies were"
    assert not Path(f"{model}.partial").exists()


def test_align_goes_on_where_it_was_killed(
    runner: CliRunner, aligned: tuple[Path, str], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = aligned[0], aligned[0] / "killed"
    arguments = [*(str(folder / name / "cells.h5ad") for name in ("one", "two")), str(out), *TRAIN]
    options = ["--markers", str(folder / "first.csv"), "--markers", str(folder / "second.tsv")]
    command = ["align", *arguments, *options, "--layer", "counts", "--gene-symbols", "symbol"]
    written, replaced = os.replace, []

    def killed(source: Path, target: Path) -> None:
        written(source, target)
        replaced.append(target)
        if len(replaced) == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        assert runner.invoke(app, command).exit_code != 0
    assert not out.exists()
    assert (Path(f"{out}.partial") / "run.json").is_file()
    assert runner.invoke(app, [*command, "--seed", "1"]).exit_code != 0, "another training"
    result = runner.invoke(app, command)
    assert result.exit_code == 0, result.output
    assert (out / "model.safetensors").read_bytes() == (Path(model) / "model.safetensors").read_bytes()
    assert not Path(f"{out}.partial").exists()


@pytest.mark.filterwarnings("ignore:Expected at least two labels in each study")
def test_a_dry_run_shows_what_labels_are_taken_for(
    runner: CliRunner, aligned: tuple[Path, str], query: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rich.get_console(), "_width", 1000)  # it may be there already, so `COLUMNS` is too late
    cells = anndata.read_h5ad(query)
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(str).replace({LABELS[0]: "gribble"})
    odd, single, out = query.with_name("odd.h5ad"), query.with_name("single.h5ad"), query.with_name("model")
    cells.write_h5ad(odd)
    cells[cells.obs["cell_type"] == "gribble"].write_h5ad(single)
    files = [str(single), str(odd), str(query)]  # the first has one label: another one is what the model is set up with
    tables = [part for name in ("first.csv", "second.tsv") for part in ("--markers", str(aligned[0] / name))]
    result = runner.invoke(app, ["align", *files, str(out), *TRAIN, *tables, "--dry-run"])
    assert result.exit_code == 0, result.output
    assert re.search(r"Training would take about \d+ min. Nothing was written.", result.output)
    rows = [[part.strip() for part in line.split("│")] for line in result.output.splitlines() if "gribble" in line]
    assert sorted((row[2], row[-2]) for row in rows if len(row) > 3) == [(str(odd), "yes"), (str(single), "no")]
    assert not out.exists()


def test_annotate_as_in_python(runner: CliRunner, model: str, query: Path) -> None:
    cells = annotated(runner, model, query, *AS_OPTIONS)
    expected = anndata.read_h5ad(query)
    SCMMGPT.from_pretrained(model).annotate(expected, LABELS)
    pd.testing.assert_frame_equal(cells.obs, expected.obs)
    pd.testing.assert_frame_equal(cells.obsm["scmmgpt_scores"], expected.obsm["scmmgpt_scores"])
    truth = cells.obs["cell_type"].astype(str)
    assert (cells.obs["scmmgpt_prediction"].astype(str) == truth).mean() > 0.7


def test_options_of_text_models(runner: CliRunner, model: str, query: Path) -> None:
    options = ["--refine", "none", "--min-confidence", "0.6", "--key-added", "mine"]
    cells = annotated(runner, model, query, *AS_OPTIONS, *options)
    unknown = cells.obs["mine_prediction"] == "Unknown"
    np.testing.assert_array_equal(unknown, cells.obs["mine_confidence"] < 0.6)
    assert 0 < unknown.mean() < 1
    assert not any(name.startswith("scmmgpt") for name in cells.obs)
    few = [part for label in LABELS[1:] for part in ("--labels", label)]
    novel = annotated(runner, model, query, *few, "--max-novelty", "0.5")
    np.testing.assert_array_equal(novel.obs["scmmgpt_prediction"] == "Unknown", novel.obs["scmmgpt_novelty"] > 0.5)
    assert set(annotated(runner, model, query, "--tissue", "liver").obsm["scmmgpt_scores"]) == set(UNSEEN)
    assert set(annotated(runner, model, query).obsm["scmmgpt_scores"]) == set(TYPES)
    alone = annotated(runner, model, query, *AS_OPTIONS, "--background", "1").obsm["scmmgpt_scores"]
    text_model = SCMMGPT.from_pretrained(model)
    text_model.background = 1
    expected = text_model.predict(anndata.read_h5ad(query), labels=LABELS, soft=True)
    np.testing.assert_allclose(alone, expected)
    assert not np.allclose(alone, annotated(runner, model, query, *AS_OPTIONS).obsm["scmmgpt_scores"])
    where = ["--layer", "X", "--gene-symbols", "var_names"]
    same = annotated(runner, model, query, *AS_OPTIONS, *where, *options)
    pd.testing.assert_frame_equal(same.obs, cells.obs)


def test_labels_of_a_file(runner: CliRunner, model: str, query: Path) -> None:
    file = query.with_name("labels.tsv")
    file.write_text(
        f"odd one\t{', '.join(genes_of(UNSEEN[0]))}\nother\texpresses {' and '.join(genes_of(UNSEEN[1]))}\n"
    )
    cells = annotated(runner, model, query, "--labels-file", str(file), "--labels", UNSEEN[2], "--labels", SEEN[0])
    names = {UNSEEN[0]: "odd one", UNSEEN[1]: "other"}
    truth = cells.obs["cell_type"].astype(str).replace(names)
    assert (cells.obs["scmmgpt_prediction"].astype(str) == truth).mean() > 0.8


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("l.txt", "\ufeffB cell\r\n\r\nCD4-positive, alpha-beta T cell\r\n", {"CD4-positive, alpha-beta T cell": ""}),
        (
            "l.tsv",
            "a\tCD3E, HLA-DRA;CD4-\nb\tlymphoid, large\n",
            {"a": ["CD3E", "HLA-DRA", "CD4-"], "b": "lymphoid, large"},
        ),
        (
            "l.tsv",
            "a\tCD3E+ cells\nb\nc\tINS GCG C1orf43",
            {"a": "CD3E+ cells", "b": "", "c": ["INS", "GCG", "C1orf43"]},
        ),
        ("l.tsv", "Label\tMarkers\na\tCd3e\nlabel\t", {"a": ["Cd3e"], "label": ""}),
        ("l.tsv", "label\tdescription\tmarkers\na\tT CELL\t\nb\t\tCD19", {"a": "T CELL", "b": ["CD19"]}),
        ("l.csv", 'cell_type,markers\n"T cell, naive","CD3E,CD8A"\n', {"T cell, naive": ["CD3E", "CD8A"]}),
        ("l.txt", 'cell type\n"B" cell\n', {"B cell": ""}),
    ],
)
def test_forms_of_a_file_of_labels(tmp_path: Path, name: str, text: str, expected: dict[str, object]) -> None:
    (tmp_path / name).write_bytes(text.encode())
    read = dict(read_labels(tmp_path / name))
    assert {label: read[label] for label in expected} == expected
    assert len(read) == len(expected) + ("B cell\r" in text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\n \n", "Expected labels in .*; found none"),
        (b"\xff\xfe\x00label", "as text in UTF-8; found something else"),
        (b"a\tb\tc", "Expected rows of 2 columns at most in .*; found 'a', 'b', 'c'"),
        (b"\tCD3E\nb\tCD4", "Expected a label first in every row"),
        (b"label\tdescription\tmarkers\na\tx\tCD3E", "of 'a' in .*; found both"),
        (b"a\tCD3E\nb\na\tCD4", "found 'a' more than once"),
    ],
)
def test_a_bad_file_of_labels_is_refused(runner: CliRunner, model: str, query: Path, text: bytes, words: str) -> None:
    file = query.with_name("labels.txt")
    file.write_bytes(text)
    result = runner.invoke(
        app, ["annotate", model, str(query), str(query.with_name("out.h5ad")), "--labels-file", str(file)]
    )
    assert result.exit_code == 1
    assert re.search(words, result.stderr), result.stderr
    assert not query.with_name("out.h5ad").exists()


def test_search_scores_cells(runner: CliRunner, model: str, query: Path) -> None:
    out = query.with_name("found.h5ad")
    result = runner.invoke(app, ["search", model, str(query), str(out), "hepatocyte", "--key-added", "is_one"])
    assert result.exit_code == 0, result.output
    cells = anndata.read_h5ad(out)
    is_one = cells.obs["cell_type"] == "hepatocyte"
    assert cells.obs["is_one"][is_one].median() > 0.8 > cells.obs["is_one"][~is_one].median()
    assert f"{(cells.obs['is_one'] > 0.95).sum()} of 160 cells score above 0.95: {out}" in result.output


def test_a_model_of_the_package_by_its_name(
    runner: CliRunner, model: str, query: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = query.with_name("bundled")
    shutil.copytree(model, bundled / "scmmgpt-mini")
    monkeypatch.setattr("scmpt_scverse.model._saving.BUNDLED_MODELS", bundled)
    assert "scmmgpt_prediction" in annotated(runner, "scmmgpt-mini", query, *AS_OPTIONS).obs
    result = runner.invoke(app, ["info", "scmmgpt-mini"])
    assert result.exit_code == 0, result.output
    assert all(re.search(words, result.output) for words in ("words, words-1", "genes +120", "types +8", "CL:0000236"))
    for command in (["annotate", "scmmgpt-mni", str(query), "o.h5ad"], ["info", "scmmgpt-mni"]):
        result = runner.invoke(app, command)
        assert result.exit_code == 1
        assert "'scmmgpt-mini'" in result.stderr
    monkeypatch.chdir(model)  # a relative path is no name
    assert "scmmgpt_prediction" in annotated(runner, ".", query, *AS_OPTIONS).obs
    result = runner.invoke(app, ["align", str(query), "scmmgpt-mini", *TRAIN, "--markers", "markers.csv"])
    assert (result.exit_code, "name of a model" in result.stderr) == (2, True)


@pytest.fixture
def other_model(runner: CliRunner, cells_file: Path) -> str:
    """A model that learned its labels from cells."""
    path = cells_file.with_name("learned")
    train = ["--labels-key", "bulk_labels", "--obsm", "expression=X_pca", "--fusion", "concat", "--max-epochs", "1"]
    assert runner.invoke(app, ["train", str(cells_file), str(path), *train]).exit_code == 0
    return str(path)


def test_options_and_commands_of_the_other_kind_of_model(
    runner: CliRunner, model: str, query: Path, other_model: str
) -> None:
    query_out = [str(query), str(query.with_name("out.h5ad"))]
    for arguments, words in (
        (["annotate", other_model, *query_out, *AS_OPTIONS], "--labels"),
        (["annotate", other_model, *query_out, "--tissue", "liver", "--refine", "none"], "--tissue, --refine"),
        (["annotate", other_model, *query_out, "--background", "1"], "--background"),
        (["annotate", model, *query_out, "--background", "1.5"], "--background"),
        (["search", other_model, *query_out, "B cell"], "Expected a text model"),
        (["evaluate", model, str(query)], "found a text model"),
        (["refine", other_model, *query_out, "--llm", "x", "--tissue", "liver"], "--tissue"),
        (["refine", model, *query_out, "--llm", "x", *AS_OPTIONS], "needs it, or --labels-key"),
        (["annotate", model, *query_out, "--labels", "B cell"], "at least two labels"),
        (["annotate", model, *query_out, "--labels", "B cell", "--labels", " "], "a blank one"),
        (["annotate", model, *query_out, *AS_OPTIONS, "--tissue", "liver"], "--tissue"),
        (["annotate", model, *query_out, "--refine", "more"], "'more' is not one of"),
        (["annotate", model, *query_out, "--min-confidence", "2"], "--min-confidence"),
        (["search", model, *query_out, " "], "a blank one"),
    ):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert words in " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split()), result.stderr
        assert "Traceback" not in result.stderr
    assert not query.with_name("out.h5ad").exists()


def test_labels_are_refused_before_cells_are_read(
    runner: CliRunner, model: str, query: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai", reason="needs the extra `llm`")
    for command in ("annotate", "refine"):
        monkeypatch.setattr(f"scmpt_scverse.cli._{command}.read_cells", lambda path: pytest.fail("cells were read"))
    query_out = [str(query), str(query.with_name("out.h5ad"))]
    asked = ["--llm", "x", "--base-url", "http://localhost:9/v1"]
    for arguments, code, words in (
        (["annotate", model, *query_out, "--tissue", "the moon"], 1, "Expected a tissue"),
        (["annotate", model, *query_out, *AS_OPTIONS, "--labels", "Unknown"], 1, "'Unknown' is what cells"),
        (["annotate", model, *query_out, "--labels-file", "absent.txt"], 1, "Expected a file of labels"),
        (["refine", model, *query_out, *asked, "--weight", "0.5", "--tissue", "the moon"], 1, "Expected a tissue"),
    ):
        result = runner.invoke(app, arguments)
        assert result.exit_code == code, (arguments, result.output)
        assert words in " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split()), result.stderr


def test_refine_asks_about_text_labels(runner: CliRunner, model: str, query: Path, server: ChatServer) -> None:
    out, answers = query.with_name("refined.h5ad"), query.with_name("answers.jsonl")
    command = ["refine", model, str(query), str(out), "--llm", "good", "--answers", str(answers), *AS_OPTIONS]
    command += ["--base-url", f"{server.address}/v1", "--max-calls", "12"]
    result = runner.invoke(app, [*command, "--weight", "0.5"])
    assert result.exit_code == 0, result.output
    assert len(server.received()) == 12
    cells = anndata.read_h5ad(out)
    assert cells.obs["scmmgpt_llm_prediction"].notna().sum() == 12
    assert "scmmgpt_mixed_prediction" in cells.obs
    result = runner.invoke(app, [*command, "--labels-key", "cell_type", "--force"])
    assert result.exit_code == 0, result.output
    assert "language model" in result.stdout


def test_align_refuses_before_it_reads_cells(
    runner: CliRunner, aligned: tuple[Path, str], query: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, out = str(aligned[0] / "first.csv"), str(query.with_name("model"))
    base = ["align", str(query), out, *TRAIN]
    for arguments, code, words in (
        ([*base, "--markers", "absent.csv"], 1, "No table of markers at absent.csv"),
        ([*base, "--markers", table, "--marker-organism", "mouse"], 2, "'mouse' is not one of 'human'"),
        (["align", str(query), str(query), out, *TRAIN, "--markers", table], 2, "more than once"),
        (["align", str(query), str(query), *TRAIN, "--markers", table], 1, "found a file"),
        ([*base[:-1], "scgpt-mini", "--markers", table], 2, "Expected an encoder of texts; found 'scgpt-mini'"),
        ([*base[:-1], "minilmm", "--markers", table], 1, "Did you mean 'minilm'?"),
        (["align", str(query), out, "--markers", table], 2, "--labels-key"),
        ([*base], 2, "--markers"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr("scmpt_scverse.cli._align.read_cells", lambda path, **_: pytest.fail("cells were read"))
            result = runner.invoke(app, arguments)
        assert result.exit_code == code, (arguments, result.output)
        assert words in " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split()), result.stderr
    result = runner.invoke(app, ["align", str(query), out, "--labels-key", "celltype", "--markers", table])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {query}: No 'celltype' in `adata.obs`")
    assert "Did you mean 'cell_type'?" in result.stderr
    assert not Path(out).exists()
