"""What cannot be written is known before the work, and a result is never lost."""

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from scmpt_scverse import datasets
from scmpt_scverse._folders import check_file, check_new_folder
from scmpt_scverse._h5ad import check_storable, write_cells
from scmpt_scverse.cli import app
from scmpt_scverse.cli._files import check_model_dir, save_cells, save_or_rescue, save_or_rescue_each
from scmpt_scverse.modalities import stream_embedding

resource = pytest.importorskip("resource", reason="POSIX only")

#: As for users, who see a warning and no error.
pytestmark = pytest.mark.filterwarnings("ignore")

TRAIN = ["--labels-key", "bulk_labels", "--obsm", "expression=X_pca"]


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A folder that cannot be written to, not even by the administrator."""
    if os.geteuid() == 0:
        return Path("/sys/kernel") if Path("/sys/kernel").is_dir() else pytest.skip("no such folder")
    folder = tmp_path / "read_only"
    folder.mkdir(mode=0o555)
    return folder


@pytest.fixture
def no_weights(tmp_path: Path) -> str:
    """A model of known class that cannot be loaded."""
    folder = tmp_path / "no_weights"
    folder.mkdir()
    (folder / "model.json").write_text('{"format": 1, "model": "SCMPT"}')
    (folder / "model.safetensors").touch()
    return str(folder)


@pytest.fixture
def no_work(cells_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading cells, which comes before all other work, is an error."""

    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("the work began")

    for module in ("_app", "_align", "_annotate", "_encoder_commands", "_refine"):
        monkeypatch.setattr(f"scmpt_scverse.cli.{module}.read_cells", fail)
    monkeypatch.setattr("scmpt_scverse.tl._embed_file.read_cells", fail)
    monkeypatch.setattr("scmpt_scverse.encoders.pretraining._corpus.read_cells", fail)
    monkeypatch.setattr("scmpt_scverse.datasets.pbmc68k_reduced", fail)


@pytest.mark.usefixtures("no_work")
def test_a_folder_that_cannot_be_written_to_is_known_first(
    runner: CliRunner, cells_file: Path, read_only: Path, tmp_path: Path
) -> None:
    cells, out = str(cells_file), str(read_only / "out.h5ad")
    for arguments in (
        ["annotate", "model", cells, out],
        ["embed", cells, out, "--encoder", "scgpt-mini"],
        ["refine", "model", cells, out, "--client", "recorded", "--llm", "answers.jsonl"],
        ["refine", "model", cells, str(tmp_path / "o.h5ad"), "--answers", str(read_only / "a" / "answers.jsonl")],
        ["train", cells, str(read_only / "model"), *TRAIN],
        ["align", cells, str(read_only / "model"), "--labels-key", "bulk_labels", "--markers", "markers.csv"],
        ["search", "model", cells, out, "B cells"],
        ["pretrain", cells, "--out", str(read_only / "encoder")],
        ["evaluate", "model", cells, "--csv", str(read_only / "scores.csv")],
        ["demo", "--out", str(read_only / "demo" / "inside")],
    ):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 1, (arguments, result.exception)
        assert re.search("folder .* cannot be written to", result.stderr), (arguments, result.stderr)


@pytest.mark.usefixtures("no_work")
def test_odd_outputs_are_refused_first(runner: CliRunner, cells_file: Path) -> None:
    folder = cells_file.parent
    os.mkfifo(folder / "pipe.h5ad")
    for out, words in (
        (folder / "absent" / "out.h5ad", "does not exist"),
        (cells_file / "out.h5ad", "does not exist"),
        (folder / "pipe.h5ad", "is no file"),
        (folder / ("x" * 300 + ".h5ad"), "File name too long"),
        (cells_file, "is the input itself"),
    ):
        force = [] if out == cells_file else ["--force"]
        result = runner.invoke(app, ["annotate", "model", str(cells_file), str(out), *force])
        assert (result.exit_code, words in result.stderr) == (1, True), result.stderr


@pytest.mark.parametrize("check", [check_file, check_new_folder, partial(check_model_dir, force=True)])
def test_names_that_no_file_can_have_are_refused_first(check: Callable[[Path], None], tmp_path: Path) -> None:
    """Also where `Path.exists` says no instead of why, as from Python 3.14 on."""
    with pytest.raises(OSError, match="File name too long"):
        check(tmp_path / ("x" * 300))
    check(tmp_path / ("x" * 30))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_known_first(runner: CliRunner, cells_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    out = str(cells_file.with_name("out.h5ad"))
    for arguments in (["annotate", "model", str(cells_file), out], ["embed", str(cells_file), out, "--encoder", "x"]):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 1
        assert "Expected room for" in result.stderr


@pytest.mark.parametrize("limit", [0, 1000, 50_000, 400_000, 900_000])
def test_a_disk_that_becomes_full_is_an_error(tmp_path: Path, limit: int) -> None:
    """HDF5 ends the process where its own writing fails."""
    cells = datasets.pbmc68k_reduced()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_cells(cells, tmp_path / "cells.h5ad")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    write_cells(cells, tmp_path / "cells.h5ad")
    written = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert np.array_equal(written.X.toarray(), cells.X.toarray())
    assert written.obs.equals(cells.obs)


def test_what_cannot_take_its_place_is_saved_beside(
    runner: CliRunner, cells_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody makes a folder of that name while the cells are embedded."""
    out = cells_file.with_name("out.h5ad")

    def late(*args: Any, **kwargs: Any) -> Any:
        out.mkdir()
        return stream_embedding(*args, **kwargs)

    monkeypatch.setattr("scmpt_scverse.tl._embed_file.stream_embedding", late)
    result = runner.invoke(app, ["embed", str(cells_file), str(out), "--encoder", "scgpt-mini"])
    beside = cells_file.with_name("out-1.h5ad")
    assert result.exit_code == 1
    assert f"The result is saved as {beside} instead" in result.stderr
    assert anndata.read_h5ad(beside).obsm["X_scgpt-mini"].shape == (700, 128)
    assert {path.name for path in cells_file.parent.iterdir()} == {"cells.h5ad", "out.h5ad", "out-1.h5ad"}


def test_a_result_is_written_elsewhere_or_named_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    refused: list[Path] = []

    def write(path: Path) -> None:
        if path.parent in refused:
            raise OSError(28, "No space left on device")
        path.write_text("result")

    refused.append(tmp_path)
    with pytest.raises(OSError, match="No space left on device.* saved as .*temporary/scores-1.csv instead"):
        save_or_rescue(write, tmp_path / "scores.csv")
    assert (temporary / "scores-1.csv").read_text() == "result"
    refused.append(temporary)
    with pytest.raises(OSError, match="neither it nor another file beside it or in .*temporary can be written"):
        save_or_rescue(write, tmp_path / "scores.csv")


def test_a_link_is_followed(tmp_path: Path, runner: CliRunner, cells_file: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.h5ad"
    link.symlink_to("disk/cells.h5ad")
    result = runner.invoke(app, ["embed", str(cells_file), str(link), "--encoder", "scgpt-mini"])
    assert result.exit_code == 0, result.output
    assert link.is_symlink()
    assert (tmp_path / "disk" / "cells.h5ad").is_file()


def test_cells_that_cannot_be_written_are_known_first(runner: CliRunner, cells_file: Path, no_weights: str) -> None:
    with h5py.File(cells_file, "r+") as file:
        raw = file.create_group("raw")
        raw.attrs.update({"encoding-type": "raw", "encoding-version": "0.1.0"})
        file.copy("X", raw)
        file.copy("var", raw)
        var = raw["var"]
        var.copy(var[var.attrs["_index"]], "names")
        del var[var.attrs["_index"]]
        var["_index"] = np.arange(765)
        var.attrs["column-order"] = [*var.attrs["column-order"], "_index"]
        var.attrs["_index"] = "names"
    out = cells_file.with_name("out.h5ad")
    result = runner.invoke(app, ["annotate", no_weights, str(cells_file), str(out)])
    assert result.exit_code == 1
    assert "`adata.raw.var` cannot be ('_index' is a reserved name" in result.stderr


def test_every_slot_is_tried() -> None:
    cells = datasets.pbmc68k_reduced()
    check_storable(cells)
    cells.uns["odd"] = {"deep": object()}
    with pytest.raises(ValueError, match=r"`adata.uns` cannot be"):
        check_storable(cells)
    del cells.uns["odd"]
    cells.obs["mixed"] = [1, "a"] * 350
    with pytest.raises(ValueError, match=r"`adata.obs` cannot be"):
        check_storable(cells)


def _mixed(index: pd.Index) -> pd.DataFrame:
    """A table whose first row alone could be written."""
    return pd.DataFrame({"number": range(len(index)), "mixed": ["a", 1.5, *[None] * (len(index) - 2)]}, index=index)


def _set_raw(cells: anndata.AnnData, x: object) -> anndata.AnnData:
    cells.raw = anndata.AnnData(x, obs=cells.obs, var=cells.var)
    return cells


LATER_ROWS: dict[str, Callable[[anndata.AnnData], object]] = {
    "obsm['odd']": lambda cells: cells.obsm.update(odd=_mixed(cells.obs_names)),
    "varm['odd']": lambda cells: cells.varm.update(odd=_mixed(cells.var_names)),
    "layers['odd']": lambda cells: cells.layers.update(odd=np.array([["a"] * 3, ["b"] * 3, [1] * 3, [2] * 3], object)),
    "obsm['NUL']": lambda cells: cells.obsm.update(NUL=np.array([["a"], ["b"], ["c"], ["d\0e"]])),
    "X": lambda cells: setattr(cells, "X", np.array([["1"] * 3] * 3 + [[1] * 3], object)),
    "raw.X": lambda cells: _set_raw(cells, np.array([["1"] * 3] * 3 + [[1] * 3], object)),
    "raw.varm['odd']": lambda cells: _set_raw(cells, cells.X).raw.varm.update(odd=_mixed(cells.var_names)),
}


@pytest.fixture
def few() -> anndata.AnnData:
    tables = {"obs": pd.DataFrame(index=list("abcd")), "var": pd.DataFrame(index=list("xyz"))}
    return anndata.AnnData(np.ones((4, 3), dtype=np.float32), **tables)


@pytest.mark.parametrize("slot", LATER_ROWS)
def test_rows_after_the_first_are_tried_where_they_may_differ(few: anndata.AnnData, slot: str, tmp_path: Path) -> None:
    check_storable(few)
    LATER_ROWS[slot](few)
    with pytest.raises(ValueError, match=re.escape(f"`adata.{slot}` cannot be")):
        check_storable(few)
    with pytest.raises((TypeError, ValueError)):  # as anndata finds too
        write_cells(few, tmp_path / "cells.h5ad")


def test_texts_that_are_written_as_categories_are_storable(few: anndata.AnnData, tmp_path: Path) -> None:
    few.obs["text"] = pd.array(["a", None, "b", "a"], dtype="string")
    few.raw = few.copy()
    few.raw.var["text"] = pd.array(["a", None, "a"], dtype="string")
    check_storable(few)
    assert few.obs["text"].dtype == "string"
    write_cells(few, tmp_path / "cells.h5ad")
    assert anndata.read_h5ad(tmp_path / "cells.h5ad").obs["text"].tolist() == ["a", np.nan, "b", "a"]


def test_tables_of_numbers_are_not_copied(few: anndata.AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: dict[str, Any] = {}

    def note(group: object, key: str, value: object) -> None:
        tried[key] = value

    few.obsm["soft"] = pd.DataFrame(np.ones((4, 2)), few.obs_names, ["B", "T"])
    monkeypatch.setattr("anndata.io.write_elem", note)
    check_storable(few)
    assert (tried["soft"].shape, tried["X"].shape) == ((1, 2), (1, 3))


def test_cells_without_form_in_a_file_are_an_error_in_words(few: anndata.AnnData, tmp_path: Path) -> None:
    few.obsm["odd"] = _mixed(few.obs_names)
    with pytest.raises(OSError, match=r"Expected to write .*out.h5ad; found that neither it nor .* key 'mixed'"):
        save_cells(few, tmp_path / "out.h5ad")
    assert not list(tmp_path.iterdir())


def test_each_result_is_written_whatever_becomes_of_the_others(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        raise TypeError("no form")

    failing: dict[Path, Callable[[Path], object]] = {tmp_path / "a.csv": fail}
    whole: dict[Path, Callable[[Path], object]] = {tmp_path / "b.csv": Path.touch}
    for results in ({**failing, **whole}, {**whole, **failing}):
        with pytest.raises(OSError, match=r"write .*a.csv; .*no form"):
            save_or_rescue_each(results)
        (tmp_path / "b.csv").unlink()
    with pytest.raises(OSError, match=r"write .*a.csv; .* write .*c.csv; "):
        save_or_rescue_each({**failing, tmp_path / "c.csv": fail})
    save_or_rescue_each({})


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("a/b", "HDF5 does not allow slashes in names"),
        ("", "`key_added` must be a text that is not empty"),
        (" ", "`key_added` must be a text that is not empty"),
        ("a\0b", "cannot be written to a file"),
        ("x" * 300, "names of folders"),
    ],
)
def test_a_key_that_cannot_be_written_is_known_first(
    runner: CliRunner, cells_file: Path, no_weights: str, key: str, words: str
) -> None:
    out = str(cells_file.with_name("out.h5ad"))
    result = runner.invoke(app, ["annotate", no_weights, str(cells_file), out, "--key-added", key])
    assert result.exit_code == 1
    assert words in result.stderr
