"""`scmpt refine`: through a real server, from file to file."""

from pathlib import Path

import anndata
import pytest
from tests._llm import ChatServer
from typer.testing import CliRunner

from scmpt_scverse.cli import app
from scmpt_scverse.llm import CLIENTS

TRAIN = ["--labels-key", "bulk_labels", "--obsm", "expression=X_pca", "--fusion", "concat", "--max-epochs", "3"]


@pytest.fixture
def model_dir(runner: CliRunner, cells_file: Path) -> Path:
    path = cells_file.with_name("model")
    result = runner.invoke(app, ["train", str(cells_file), str(path), *TRAIN])
    assert result.exit_code == 0, result.output
    return path


def test_from_file_to_file(runner: CliRunner, cells_file: Path, model_dir: Path, server: ChatServer) -> None:
    out, answers = cells_file.with_name("refined.h5ad"), cells_file.with_name("answers.jsonl")
    command = ["refine", str(model_dir), str(cells_file), str(out), "--llm", "good", "--answers", str(answers)]
    command += ["--base-url", f"{server.address}/v1", "--max-calls", "30"]

    result = runner.invoke(app, [*command, "--dry-run", "--price", "1", "10"])
    assert result.exit_code == 0, result.output
    assert "calls to make      30" in result.stdout
    assert "price              at most " in result.stdout
    assert server.received() == []
    assert not out.exists()

    result = runner.invoke(app, command)
    assert result.exit_code == 0, result.output
    assert len(server.received()) == 30
    assert "language model" in result.stdout
    cells = anndata.read_h5ad(out)
    assert cells.obs["scmpt_llm_prediction"].notna().sum() == 30
    assert "scmpt_mixed_prediction" in cells.obs

    result = runner.invoke(app, [*command, "--force", "--cluster-key", "louvain", "--confidence-below", "1"])
    assert result.exit_code == 0, result.output
    assert 30 < len(server.received()) <= 30 + cells.obs["louvain"].nunique()


def test_says_what_is_wrong(runner: CliRunner, cells_file: Path, model_dir: Path, server: ChatServer) -> None:
    command = ["refine", str(model_dir), str(cells_file), str(cells_file.with_name("out.h5ad")), "--llm"]
    result = runner.invoke(app, [*command, "unauthorised", "--base-url", f"{server.address}/v1"])
    assert result.exit_code == 1
    assert "error: The server" in result.stderr
    assert "does not accept the key" in result.stderr
    result = runner.invoke(app, [*command, "absent.jsonl", "--client", "recorded"])
    assert result.exit_code == 1
    assert "Expected a file of recorded answers at absent.jsonl" in result.stderr
    result = runner.invoke(app, command[:-1])
    assert result.exit_code == 2
    assert "missing a required argument: 'model'" in " ".join(result.stderr.replace("│", "").split())
    assert not cells_file.with_name("out.h5ad").exists()


def test_clients_are_those_of_the_registry(runner: CliRunner, cells_file: Path) -> None:
    text = " ".join(runner.invoke(app, ["refine", "--help"]).stdout.replace("│", "").split())
    assert ", ".join(CLIENTS.names()) in text
    result = runner.invoke(app, ["refine", str(cells_file), str(cells_file), "out.h5ad", "--client", "openia"])
    assert result.exit_code == 2
    assert "'openia' is not one of 'openai', 'transformers'" in " ".join(result.stderr.replace("│", "").split())
    assert "Did you mean 'openai'?" in " ".join(result.stderr.replace("│", "").split())
