"""Files in place of an `.h5ad` file, files of old and new versions of anndata: one sentence each, or a right result."""

import gzip
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import mudata
import numpy as np
import pytest
from anndata.io import write_elem
from tests._legacy import write_legacy
from typer.testing import CliRunner

from scmpt_scverse import datasets
from scmpt_scverse._h5ad import read_cells
from scmpt_scverse.cli import app

#: As for users, who see a warning and no error.
pytestmark = pytest.mark.filterwarnings("ignore")


def _hdf5(*names: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            for name in names:
                file.create_group(name)

    return write


def _text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def _few() -> anndata.AnnData:
    return datasets.pbmc68k_reduced()[:20].copy()


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (Path.touch, "found an empty file"),
    "lfs": (_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d\n"), "found a git-lfs pointer"),
    "page": (_text("\n<!DOCTYPE HTML><html>404</html>"), "found a web page"),
    "table": (_text("cell,CD3D\na,1\n"), "found a text file"),
    "umlauts": (_text("ä" * 600), "found a text file"),
    "market": (_text("%%MatrixMarket matrix coordinate\n"), "found a Matrix Market file"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"x")), "Unpack it with `gunzip`"),
    "zip": (lambda path: path.write_bytes(b"PK\x03\x04"), "found a zip archive"),
    "tar": (lambda path: path.write_bytes(b"a".ljust(257, b"\0") + b"ustar"), "found a tar archive"),
    "folder": (Path.mkdir, "found a folder"),
    "zarr": (lambda path: _few().write_zarr(path), "found a zarr store"),
    "h5mu": (lambda path: mudata.MuData({"rna": _few()}).write_h5mu(path), "found a MuData"),
    "10x": (_hdf5("matrix"), "found a 10x Genomics file"),
    "10x of version 2": (_hdf5("GRCh38/barcodes", "GRCh38/genes", "GRCh38/indptr"), "found a 10x Genomics file"),
    "loom": (_hdf5("matrix", "row_attrs", "col_attrs"), "found a loom file"),
    "hdf5": (_hdf5("X", "obs"), "found an HDF5 file without var"),
    "noise": (lambda path: path.write_bytes(bytes(range(256)) * 9), "cannot be read"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_a_file_is_instead_is_said(runner: CliRunner, tmp_path: Path, name: str) -> None:
    path, out = tmp_path / f"{name}.h5ad", tmp_path / "out.h5ad"
    write, words = ODD[name]
    write(path)
    for arguments in (
        *([["info", str(path)]] if name != "folder" else []),  # which may be that of a model
        ["embed", str(path), str(out), "--encoder", "scgpt-mini"],
        ["train", str(path), str(tmp_path / "model"), "--labels-key", "bulk_labels"],
        ["pretrain", str(path), "--out", str(tmp_path / "encoder")],
    ):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 1, (arguments, result.output)
        assert words in result.stderr, arguments
        assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5ad")
    with pytest.raises(ValueError, match="found a pipe or device"):
        read_cells(tmp_path / "pipe.h5ad")


@pytest.mark.parametrize("element", ["/", "X", "obs", "obsm/X_pca", "obs/bulk_labels", "uns"])
def test_an_unknown_encoding_is_named(runner: CliRunner, cells_file: Path, element: str) -> None:
    with h5py.File(cells_file, "r+") as file:
        file[element].attrs["encoding-type"] = "martian"
    out = cells_file.with_name("out.h5ad")
    for arguments in (
        ["info", str(cells_file)],
        ["embed", str(cells_file), str(out), "--encoder", "scgpt-mini"],
        ["train", str(cells_file), str(cells_file.with_name("model")), "--labels-key", "bulk_labels"],
    ):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 1
        assert f"'{element}' is stored as 'martian', which anndata {anndata.__version__} does not know" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_files_of_anndata_before_0_7_are_embedded(runner: CliRunner, tmp_path: Path) -> None:
    cells = datasets.pbmc68k_reduced()[::10].copy()
    old, out, new = (tmp_path / f"{name}.h5ad" for name in ("old", "out", "new"))
    write_legacy(cells, old, labels_key="bulk_labels")
    cells.write_h5ad(new)
    for source, target in ((old, out), (new, tmp_path / "expected.h5ad")):
        result = runner.invoke(app, ["embed", str(source), str(target), "--encoder", "scgpt-mini"])
        assert result.exit_code == 0, result.output
    written, expected = anndata.read_h5ad(out), anndata.read_h5ad(tmp_path / "expected.h5ad")
    assert np.array_equal(written.obsm["X_scgpt-mini"], expected.obsm["X_scgpt-mini"])
    assert np.array_equal(written.obsm["X_pca"], cells.obsm["X_pca"])
    assert written.obs["bulk_labels"].astype(str).tolist() == cells.obs["bulk_labels"].astype(str).tolist()
    assert "X_scgpt-mini" in written.uns["scmpt"]["embeddings"]
    again = runner.invoke(app, ["embed", str(out), str(out), "--encoder", "scgpt-mini", "--force"])
    assert again.exit_code == 0, again.output
    train = ["train", str(old), str(tmp_path / "model"), "--labels-key", "bulk_labels", "--obsm", "expression=X_pca"]
    assert runner.invoke(app, train).exit_code == 0


WHOLE = {"encoder": "scgpt-mini", "fingerprint": "0123456789abcdef"}


@pytest.mark.parametrize(
    "record",
    [
        *(5, "text", np.arange(3), {"embeddings": 5}, {"embeddings": "text"}, {"embeddings": {"X_pca": 5}}),
        *({"embeddings": {"X_pca": part}} for part in ({"encoder": "scgpt-mini"}, WHOLE | {"fingerprint": 5}, {})),
        {"embeddings": {"X_pca": WHOLE | {"encoder": np.arange(3)}}},
    ],
    ids=str,
)
def test_records_of_others_are_none_of_ours(runner: CliRunner, cells_file: Path, record: object) -> None:
    with h5py.File(cells_file, "r+") as file:
        write_elem(file["uns"], "scmpt", record)
    result = runner.invoke(app, ["info", str(cells_file)])
    assert result.exit_code == 0, result.output
    assert re.search("X_pca .* not recorded", result.stdout)


def test_names_with_any_bytes(runner: CliRunner, cells_file: Path) -> None:
    for name in ("with space [b].h5ad", "caf\udce9.h5ad", "\u6f22.h5ad"):
        path = cells_file.with_name(name)
        shutil.copyfile(cells_file, path)
        result = runner.invoke(app, ["info", str(path)])
        assert result.exit_code == 0, result.output
        result = runner.invoke(app, ["info", str(path) + "x"])
        assert result.exit_code == 1
        assert "found none" in result.stderr


def test_zeros_among_the_texts_do_not_hang(cells_file: Path) -> None:
    """HDF5 2.0.0 reads such a file for ever."""
    content = cells_file.read_bytes()
    place = content.find(b"GCOL\x01\0\0\0")
    assert place > 0
    cells_file.write_bytes(content[: place + 512] + bytes(2048) + content[place + 2560 :])
    with pytest.raises(ValueError, match="texts are damaged"):
        read_cells(cells_file)


def test_columns_out_of_range_are_refused(cells_file: Path, runner: CliRunner) -> None:
    """Scipy would read beyond its arrays."""
    with h5py.File(cells_file, "r+") as file:
        file["X/indices"][100] = 2**30
    with pytest.raises(ValueError, match="'X' is no valid sparse matrix"):
        read_cells(cells_file)
    out = cells_file.with_name("out.h5ad")
    result = runner.invoke(app, ["embed", str(cells_file), str(out), "--encoder", "scgpt-mini"])
    assert result.exit_code == 1
    assert "found column 1073741824 of 765" in result.stderr


def test_tables_of_other_lengths_are_refused_on_disk_too(cells_file: Path) -> None:
    """Anndata compares lengths in memory only."""
    few = cells_file.with_name("few.h5ad")
    datasets.pbmc68k_reduced()[:, :100].copy().write_h5ad(few)
    with h5py.File(cells_file, "r+") as file, h5py.File(few) as other:
        del file["var"]
        other.copy("var", file)
    for backed in (False, True):
        with pytest.raises(ValueError, match="cannot be read"):
            read_cells(cells_file, backed=backed)
