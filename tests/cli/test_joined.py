"""`scmpt train` on several files: as on their cells together, without reading them whole."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from typer.testing import CliRunner

from scmpt_scverse import SCMPT, datasets, encoders, tl
from scmpt_scverse.cli import app
from scmpt_scverse.cli._joined import FILE_KEY, joined_cells

TRAIN = ["--labels-key", "bulk_labels", "--text", "none", "--knowledge", "none", "--expression", "none"]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files of different cells, in part of different genes, in another order."""
    cells = datasets.pbmc68k_reduced()
    cells = AnnData(sparse.csr_matrix(cells.X), cells.obs[["bulk_labels", "phase"]], cells.var[[]])
    parts = {"blood": cells[::4, 20:].copy(), "marrow": cells[1::4, ::-1][:, 30:].copy()}
    parts["marrow"].obs["bulk_labels"] = parts["marrow"].obs["bulk_labels"].astype(str).replace({"CD34+": "cd34"})
    for name, part in parts.items():
        part.write_h5ad(tmp_path / f"{name}.h5ad")
    return [tmp_path / f"{name}.h5ad" for name in parts]


def run(runner: CliRunner, *arguments: object) -> tuple[int, str]:
    result = runner.invoke(app, ["train", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def test_files_are_learned_from_as_one(runner: CliRunner, files: list[Path], tmp_path: Path) -> None:
    code, output = run(runner, *files, tmp_path / "model", *TRAIN)
    assert code == 0, output
    assert "2 files share 715 genes, of 735 to 745." in output
    assert "Labels in one file only: 'CD34+', 'cd34'" in output
    model = SCMPT.load(str(tmp_path / "model"), adata=False)
    assert sorted(model.record.batches) == ["blood", "marrow"]
    joined = anndata.concat({path.stem: anndata.read_h5ad(path) for path in files}, label=FILE_KEY, index_unique="-")
    SCMPT.setup_anndata(joined, "bulk_labels", batch_key=FILE_KEY)
    together = SCMPT(joined, encoders={"counts": "counts"})
    together.train(seed=0)
    assert model.record.label_counts == together.record.label_counts
    expected = together.predict(joined, soft=True)
    pd.testing.assert_frame_equal(model.predict(joined, soft=True), expected, atol=1e-4)


def test_embedded_files_are_joined_without_their_embeddings(
    runner: CliRunner, files: list[Path], tmp_path: Path
) -> None:
    """Each is of the genes of its file; arrays that the user brought stay."""
    for path in files:
        part = anndata.read_h5ad(path)
        tl.embed(part, encoders.get("minilm-genes"), progress=False)
        part.obsm["X_own"] = np.asarray(part.X[:, :3].toarray())
        part.write_h5ad(path)
    with joined_cells(files, "bulk_labels", "Unknown", None) as cells:
        assert list(cells.obsm) == ["X_own"]
    code, output = run(runner, *files, tmp_path / "model", *TRAIN, "--text", "minilm-genes")
    assert code == 0, output


def test_a_cap_of_cells_and_own_batches(runner: CliRunner, files: list[Path], tmp_path: Path) -> None:
    for path in files:
        cells = anndata.read_h5ad(path)
        cells[:, datasets.pbmc68k_reduced().var_names[40:700]].copy().write_h5ad(path)
    options = [*TRAIN, "--max-cells-per-label", "5", "--batch-key", "phase"]
    code, output = run(runner, *files, tmp_path / "model", *options)
    assert code == 0, output
    assert "2 files have the same 660 genes." in output
    model = SCMPT.load(str(tmp_path / "model"), adata=False)
    assert max(model.record.label_counts.values()) == 5
    known = sum(int(model.is_training_cell(anndata.read_h5ad(path)).sum()) for path in files)
    assert known == sum(model.record.label_counts.values())  # so that `evaluate` leaves them out
    assert set(model.record.batches) <= {"G1", "S", "G2M"}


def test_joined_files_are_learned_from_again_where_training_stood(
    runner: CliRunner, files: list[Path], tmp_path: Path
) -> None:
    """The joined file is another one each time; what it holds is not."""
    kept, found = tmp_path / "kept", []
    for name in ("first", "second"):
        code, output = run(runner, *files, tmp_path / name, *TRAIN, "--checkpoints", kept)
        assert code == 0, output
        found.append({path.name: path.stat().st_mtime_ns for path in kept.iterdir()})
    assert found[0] == found[1]
    assert set(found[0]) == {"modality_0.safetensors", "run.json"}
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second
    code, output = run(runner, files[0], tmp_path / "third", *TRAIN, "--checkpoints", kept)
    assert code == 1
    assert "holds an interrupted run with other data or options" in output
    assert not (tmp_path / "third").exists()


def test_checkpoints_that_cannot_be_kept_are_refused_before_files_are_read(
    runner: CliRunner, files: list[Path], tmp_path: Path
) -> None:
    files[0].write_bytes(b"cannot be read")
    for folder in (tmp_path / "model", tmp_path / "model" / "run"):
        code, output = run(runner, *files, tmp_path / "model", *TRAIN, "--checkpoints", folder)
        assert code == 1
        assert "Expected a folder for checkpoints outside that of the model" in output
    code, output = run(runner, *files, tmp_path / "model", *TRAIN, "--checkpoints", tmp_path)
    assert code == 1
    assert "Expected an interrupted run" in output
    options = ["--fusion", "concat", "--checkpoints", tmp_path / "run"]
    code, output = run(runner, *files, tmp_path / "model", *TRAIN, *options)
    assert code == 2
    assert "Only of a stacked head; found 'concat'" in output
    assert not (tmp_path / "model").exists()


def test_files_that_cannot_be_joined(runner: CliRunner, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "model"
    other = anndata.read_h5ad(files[1])
    other.var_names = [f"ENSG{number:011d}" for number in range(other.n_vars)]
    other.write_h5ad(tmp_path / "ids.h5ad")
    without = other.copy()
    del without.obs["bulk_labels"]
    without.write_h5ad(tmp_path / "without.h5ad")
    dense = anndata.read_h5ad(files[1])
    dense.X = np.asarray(dense.X.todense())
    dense.write_h5ad(tmp_path / "dense.h5ad")
    for second, message in {
        "blood.h5ad": "Expected each file once",
        "none.h5ad": "Expected an .h5ad file at",
        "ids.h5ad": "Expected files with the same genes; found 0 that all have",
        "without.h5ad": "No 'bulk_labels' in",
        "dense.h5ad": "expected matrices and columns that are stored alike",
    }.items():
        code, output = run(runner, files[0], tmp_path / second, out, *TRAIN)
        assert (code, message in output) == (1, True), output
        assert not out.exists()


def test_symbols_in_a_column_are_those_of_all_files(runner: CliRunner, files: list[Path], tmp_path: Path) -> None:
    for path in files:
        cells = anndata.read_h5ad(path)
        cells.var["symbol"] = cells.var_names
        cells.var_names = [f"gene{number}" for number in map(hash, cells.var_names)]
        cells.write_h5ad(path)
    options = [*TRAIN, "--gene-symbols", "symbol"]
    code, output = run(runner, *files, tmp_path / "model", *options)
    assert code == 0, output
    cells = anndata.read_h5ad(files[1])
    cells.var["symbol"] = cells.var["symbol"].astype(str).replace({"CD3D": "CD3E", "NKG7": "GNLY"})
    cells.obs["scmpt_file"] = "mine"
    cells.write_h5ad(files[1])
    code, output = run(runner, *files, tmp_path / "other", *options)
    assert (code, "Expected no column 'scmpt_file'" in output) == (1, True), output
    del cells.obs["scmpt_file"]
    cells.write_h5ad(files[1])
    code, output = run(runner, *files, tmp_path / "other", *options)
    assert (code, "found 2 others in" in output) == (1, True), output
