"""No damaged file makes a command crash, hang, exhaust memory, or say anything but one sentence."""

from pathlib import Path

import anndata
import pytest
from tests.cli._damage import damage
from typer.testing import CliRunner

from scmpt_scverse import datasets
from scmpt_scverse.cli import app
from scmpt_scverse.cli._group import UNEXPECTED

resource = pytest.importorskip("resource", reason="POSIX only")

pytestmark = pytest.mark.filterwarnings("default")  # as for users: a warning is printed

N_CASES = 200
#: What any damaged file of 400 kB may cost.
_MOST_EXTRA_BYTES = 2_000_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole file, and a model that was trained on it."""
    folder = tmp_path_factory.mktemp("fuzz")
    cells = datasets.pbmc68k_reduced()[::14].copy()
    cells.raw = cells.copy()
    cells.layers["counts"] = cells.X.copy()
    cells.uns["nested"] = {"a": {"b": 1.5}, "text": "t"}
    cells.obs["flag"] = cells.obs["n_genes"] > 500
    cells.write_h5ad(folder / "whole.h5ad")
    arguments = ["train", str(folder / "whole.h5ad"), str(folder / "model"), *TRAIN]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return folder


TRAIN = ["--labels-key", "bulk_labels", "--obsm", "expression=X_pca"]


def _command(folder: Path, source: Path, number: int) -> tuple[list[str], Path]:
    out = folder / f"out{number}"
    cells, model = str(out) + ".h5ad", str(folder / "model")
    commands = {
        "annotate": ["annotate", model, str(source), cells],
        "embed": ["embed", str(source), cells, "--encoder", "scgpt-mini"],
        "train": ["train", str(source), str(out), *TRAIN],
        "evaluate": ["evaluate", model, str(source)],
    }
    name = list(commands)[number % len(commands)]
    return commands[name], out if name == "train" else Path(cells)


@pytest.mark.parametrize("seed", range(N_CASES))
def test_a_damaged_file_is_one_sentence_or_a_right_result(folder: Path, seed: int) -> None:
    source = folder / f"damaged{seed}.h5ad"
    done = damage(folder / "whole.h5ad", source, seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    # Every kind of damage meets every command: their numbers, 15 and 4, have no common factor.
    command, out = _command(folder, source, seed)
    for arguments in (["info", str(source)], command):
        result = CliRunner().invoke(app, arguments)

        assert result.exit_code in {0, 1}, (done, result.exception)
        assert isinstance(result.exception, SystemExit | None), (done, arguments[0], result.exception)
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == result.exit_code, (done, result.stderr)
        assert UNEXPECTED not in result.stderr, (done, arguments[0], errors)
        assert "Traceback" not in result.output + result.stderr
    if result.exit_code:
        assert not out.exists(), done
    elif command[0] in {"annotate", "embed"}:
        written = anndata.read_h5ad(out)
        assert "X_scgpt-mini" in written.obsm or written.obs["scmpt_prediction"].notna().all(), done
        out.unlink()
    source.unlink()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < _MOST_EXTRA_BYTES, (done, grown)
